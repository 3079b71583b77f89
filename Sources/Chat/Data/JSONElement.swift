/// A JSON value as a data file holds it: keys keep their order, and a repeated key is an error rather than a silent choice.
package enum JSONElement: Sendable, Equatable {
  case null
  case bool(Bool)
  /// The number as written; training data never computes with it.
  case number(String)
  case string(String)
  case array([JSONElement])
  case object([Member])

  /// One key and its value.
  package struct Member: Sendable, Equatable {
    package let key: String
    package let value: JSONElement

    package init(key: String, value: JSONElement) {
      self.key = key
      self.value = value
    }
  }

  /// What the value is, as messages name it.
  package var kindName: String {
    switch self {
    case .null: "null"
    case .bool: "a boolean"
    case .number: "a number"
    case .string: "a string"
    case .array: "a list"
    case .object: "an object"
    }
  }

  /// The value of `key`, when this is an object that has it.
  package subscript(key: String) -> JSONElement? {
    guard case .object(let members) = self else { return nil }
    return members.first { $0.key == key }?.value
  }

  /// The keys of an object in the order they were written.
  package var keys: [String] {
    guard case .object(let members) = self else { return [] }
    return members.map(\.key)
  }
}

/// Reads one JSON value (RFC 8259) at a time out of UTF-8 bytes.
///
/// Foundation's reader neither reports repeated keys nor tells a lone surrogate or an early end from any other mistake;
/// people who fix data files need those told apart.
package struct JSONReader {
  /// What is wrong and at which byte of the input.
  package struct Failure: Error, Equatable {
    let kind: DatasetError.Kind
    package let offset: Int
    package let expected: String
    package let found: String
  }

  private let bytes: [UInt8]
  private let end: Int
  /// The next byte to read.
  package private(set) var position: Int
  /// Nesting beyond this is refused, so that hostile input cannot exhaust the stack.
  package static let maximumDepth = 64

  /// Reads from `bytes[range]`, which must hold UTF-8.
  package init(_ bytes: [UInt8], range: Range<Int>? = nil) {
    let range = (range ?? 0..<bytes.count).clamped(to: 0..<bytes.count)
    self.bytes = bytes
    position = range.lowerBound
    end = range.upperBound
  }

  /// The byte at the reading position, nil at the end.
  package var next: UInt8? { position < end ? bytes[position] : nil }

  /// Moves over spaces, tabs and line ends.
  package mutating func skipWhitespace() {
    while position < end {
      switch bytes[position] {
      case 0x20, 0x09, 0x0A, 0x0D: position += 1
      default: return
      }
    }
  }

  /// Moves over `byte` when it comes next.
  mutating func take(_ byte: UInt8) -> Bool {
    guard next == byte else { return false }
    position += 1
    return true
  }

  /// Reads one value, with whitespace before it.
  ///
  /// - Throws: `Failure` at the first byte that does not belong.
  package mutating func value(depth: Int = 0) throws(Failure) -> JSONElement {
    guard depth <= Self.maximumDepth else {
      throw failure(.tooDeep, "at most \(Self.maximumDepth) levels of nesting", "more")
    }
    skipWhitespace()
    guard let byte = next else { throw failure(.truncated, "a JSON value", "the end") }
    switch byte {
    case UInt8(ascii: "{"): return try object(depth: depth)
    case UInt8(ascii: "["): return try array(depth: depth)
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): return try word("true", .bool(true))
    case UInt8(ascii: "f"): return try word("false", .bool(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
    default: throw failure(.malformedJSON, "a JSON value", found())
    }
  }

  /// Builds a failure at the reading position.
  package func failure(_ kind: DatasetError.Kind, _ expected: String, _ found: String) -> Failure {
    Failure(kind: kind, offset: position, expected: expected, found: found)
  }

  /// The byte at the reading position as messages show it.
  package func found() -> String {
    guard let byte = next else { return "the end" }
    if byte == 0 { return "a NUL byte" }
    if byte < 0x20 { return "control character 0x" + String(byte, radix: 16) }
    if byte < 0x7F { return "'\(Character(UnicodeScalar(byte)))'" }
    return "a character outside a string"
  }

  private mutating func object(depth: Int) throws(Failure) -> JSONElement {
    position += 1
    var members: [JSONElement.Member] = []
    var seen: Set<String> = []
    skipWhitespace()
    if take(UInt8(ascii: "}")) { return .object([]) }
    while true {
      skipWhitespace()
      guard next == UInt8(ascii: "\"") else { throw unexpected("a key in double quotes") }
      let start = position
      let key = try string()
      guard seen.insert(key).inserted else {
        throw Failure(
          kind: .duplicateKey, offset: start, expected: "each key once", found: "\"\(key)\" twice")
      }
      skipWhitespace()
      guard take(UInt8(ascii: ":")) else { throw unexpected("':' after the key \"\(key)\"") }
      members.append(.init(key: key, value: try value(depth: depth + 1)))
      skipWhitespace()
      if take(UInt8(ascii: ",")) { continue }
      if take(UInt8(ascii: "}")) { return .object(members) }
      throw unexpected("',' or '}' in an object")
    }
  }

  private mutating func array(depth: Int) throws(Failure) -> JSONElement {
    position += 1
    var elements: [JSONElement] = []
    skipWhitespace()
    if take(UInt8(ascii: "]")) { return .array([]) }
    while true {
      elements.append(try value(depth: depth + 1))
      skipWhitespace()
      if take(UInt8(ascii: ",")) { continue }
      if take(UInt8(ascii: "]")) { return .array(elements) }
      throw unexpected("',' or ']' in a list")
    }
  }

  private mutating func word(_ text: String, _ element: JSONElement) throws(Failure) -> JSONElement {
    for byte in text.utf8 {
      guard take(byte) else { throw unexpected("the word \(text)") }
    }
    return element
  }

  private mutating func number() throws(Failure) -> JSONElement {
    let start = position
    _ = take(UInt8(ascii: "-"))
    if !take(UInt8(ascii: "0")) { try digits() }
    if take(UInt8(ascii: ".")) { try digits() }
    if take(UInt8(ascii: "e")) || take(UInt8(ascii: "E")) {
      if !take(UInt8(ascii: "+")) { _ = take(UInt8(ascii: "-")) }
      try digits()
    }
    return .number(String(decoding: bytes[start..<position], as: UTF8.self))
  }

  private mutating func digits() throws(Failure) {
    let start = position
    while let byte = next, byte >= 0x30, byte <= 0x39 { position += 1 }
    guard position > start else { throw unexpected("a digit") }
  }

  private func unexpected(_ expected: String) -> Failure {
    failure(next == nil ? .truncated : .malformedJSON, expected, found())
  }
}

extension JSONReader {
  /// Reads a string, from its opening to its closing quote.
  fileprivate mutating func string() throws(Failure) -> String {
    position += 1
    var text: [UInt8] = []
    var runStart = position
    while let byte = next {
      switch byte {
      case UInt8(ascii: "\""):
        text.append(contentsOf: bytes[runStart..<position])
        position += 1
        guard let valid = String(validating: text, as: UTF8.self) else {
          throw failure(.invalidUTF8, "UTF-8", "bytes that are not UTF-8 in a string")
        }
        return valid
      case UInt8(ascii: "\\"):
        text.append(contentsOf: bytes[runStart..<position])
        position += 1
        text.append(contentsOf: Array(String(Character(try escape())).utf8))
        runStart = position
      case 0:
        throw failure(.nulCharacter, "text", "a NUL byte")
      case 1..<0x20:
        throw failure(.malformedJSON, "line ends and tabs in strings written as \\n and \\t", found())
      default:
        position += 1
      }
    }
    throw failure(.truncated, "a closing quote", "the end")
  }

  private mutating func escape() throws(Failure) -> Unicode.Scalar {
    guard let byte = next else { throw failure(.truncated, "the rest of an escape", "the end") }
    position += 1
    switch byte {
    case UInt8(ascii: "\""): return "\""
    case UInt8(ascii: "\\"): return "\\"
    case UInt8(ascii: "/"): return "/"
    case UInt8(ascii: "b"): return "\u{8}"
    case UInt8(ascii: "f"): return "\u{C}"
    case UInt8(ascii: "n"): return "\n"
    case UInt8(ascii: "r"): return "\r"
    case UInt8(ascii: "t"): return "\t"
    case UInt8(ascii: "u"): return try unicodeEscape()
    default:
      position -= 1
      throw failure(.malformedJSON, "an escape such as \\n or \\u00e9", "a backslash before \(found())")
    }
  }

  private mutating func unicodeEscape() throws(Failure) -> Unicode.Scalar {
    let first = try fourHexDigits()
    if first == 0 { throw failure(.nulCharacter, "text", "\\u0000") }
    if let scalar = Unicode.Scalar(first) { return scalar }
    let lone = failure(
      .loneSurrogate, "surrogates in pairs (high, then low)",
      "a lone \\u" + String(first, radix: 16))
    guard first < 0xDC00, take(UInt8(ascii: "\\")), take(UInt8(ascii: "u")) else { throw lone }
    let second = try fourHexDigits()
    guard (0xDC00..<0xE000).contains(second),
      let scalar = Unicode.Scalar(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00))
    else { throw lone }
    return scalar
  }

  private mutating func fourHexDigits() throws(Failure) -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<4 {
      guard let byte = next else { throw failure(.truncated, "four hexadecimal digits", "the end") }
      guard let digit = Character(UnicodeScalar(byte)).hexDigitValue, byte < 0x80 else {
        throw failure(.malformedJSON, "four hexadecimal digits after \\u", found())
      }
      value = value << 4 | UInt32(digit)
      position += 1
    }
    return value
  }
}
