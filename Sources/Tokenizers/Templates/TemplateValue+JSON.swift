public import Foundation

extension TemplateValue {
  /// Levels of lists and objects that `init(json:)` reads.
  public static let jsonDepth = 128

  /// Reads JSON text (RFC 8259), keeping the order of keys.
  ///
  /// - Throws: `TemplateError` of kind `json`, with the line and the byte offset, for anything that
  ///   is not strictly JSON, for lone surrogates, for integers beyond 64 bits and for more than
  ///   `jsonDepth` levels.
  public init(json: Data) throws(TemplateError) {
    var reader = TemplateJSONReader(Array(json))
    self = try reader.document()
  }

  /// Reads JSON from a text; see `init(json:)` for data.
  public init(json: String) throws(TemplateError) {
    var reader = TemplateJSONReader(Array(json.utf8))
    self = try reader.document()
  }
}

/// A strict reader of JSON that keeps the order of keys.
private struct TemplateJSONReader {
  private let bytes: [UInt8]
  private var position = 0
  private var depth = 0

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  mutating func document() throws(TemplateError) -> TemplateValue {
    skipSpace()
    let result = try value()
    skipSpace()
    guard position == bytes.count else { throw unexpected("the end") }
    return result
  }

  private var byte: UInt8? { position < bytes.count ? bytes[position] : nil }

  private mutating func skipSpace() {
    while let byte, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
  }

  private func failure(_ message: String) -> TemplateError {
    let line = 1 + bytes[..<min(position, bytes.count)].count { $0 == 0x0A }
    return TemplateError(.json, "\(message) at byte \(position)", template: "JSON", line: line)
  }

  private func unexpected(_ expected: String) -> TemplateError {
    guard let byte else { return failure("expected \(expected), found the end of the text") }
    let found = byte >= 0x21 && byte < 0x7F ? "'\(Character(Unicode.Scalar(byte)))'" : "byte \(byte)"
    return failure("expected \(expected), found \(found)")
  }

  private mutating func skip(_ expected: UInt8) -> Bool {
    guard byte == expected else { return false }
    position += 1
    return true
  }

  private mutating func word(
    _ text: StaticString, _ value: TemplateValue
  ) throws(TemplateError) -> TemplateValue {
    let matches = text.withUTF8Buffer { bytes[position...].starts(with: $0) }
    guard matches else { throw unexpected("a value") }
    position += text.utf8CodeUnitCount
    return value
  }

  private mutating func value() throws(TemplateError) -> TemplateValue {
    guard let byte else { throw unexpected("a value") }
    switch byte {
    case UInt8(ascii: "{"), UInt8(ascii: "["):
      depth += 1
      defer { depth -= 1 }
      guard depth <= TemplateValue.jsonDepth else {
        throw failure("expected at most \(TemplateValue.jsonDepth) levels, found more")
      }
      return byte == UInt8(ascii: "{") ? try object() : try array()
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): return try word("true", .bool(true))
    case UInt8(ascii: "f"): return try word("false", .bool(false))
    case UInt8(ascii: "n"): return try word("null", .none)
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
    default: throw unexpected("a value")
    }
  }

  private mutating func object() throws(TemplateError) -> TemplateValue {
    position += 1
    var entries: [(key: String, value: TemplateValue)] = []
    skipSpace()
    if skip(UInt8(ascii: "}")) { return .object([]) }
    while true {
      skipSpace()
      guard byte == UInt8(ascii: "\"") else { throw unexpected("a key") }
      let key = try string()
      skipSpace()
      guard skip(UInt8(ascii: ":")) else { throw unexpected("':'") }
      skipSpace()
      entries.append((key, try value()))
      skipSpace()
      if skip(UInt8(ascii: "}")) { return .object(entries) }
      guard skip(UInt8(ascii: ",")) else { throw unexpected("',' or '}'") }
    }
  }

  private mutating func array() throws(TemplateError) -> TemplateValue {
    position += 1
    var elements: [TemplateValue] = []
    skipSpace()
    if skip(UInt8(ascii: "]")) { return .array([]) }
    while true {
      skipSpace()
      elements.append(try value())
      skipSpace()
      if skip(UInt8(ascii: "]")) { return .array(elements) }
      guard skip(UInt8(ascii: ",")) else { throw unexpected("',' or ']'") }
    }
  }

  private mutating func digits() throws(TemplateError) {
    let start = position
    while let byte, byte >= 0x30, byte <= 0x39 { position += 1 }
    if position == start { throw unexpected("a digit") }
  }

  private mutating func number() throws(TemplateError) -> TemplateValue {
    let start = position
    _ = skip(UInt8(ascii: "-"))
    if skip(UInt8(ascii: "0")) {
      if let byte, byte >= 0x30, byte <= 0x39 { throw unexpected("no digit after a leading 0") }
    } else {
      try digits()
    }
    var isInteger = true
    if skip(UInt8(ascii: ".")) {
      isInteger = false
      try digits()
    }
    if byte == UInt8(ascii: "e") || byte == UInt8(ascii: "E") {
      isInteger = false
      position += 1
      if byte == UInt8(ascii: "+") || byte == UInt8(ascii: "-") { position += 1 }
      try digits()
    }
    let text = String(decoding: bytes[start..<position], as: UTF8.self)
    if isInteger {
      guard let value = Int(text) else {
        throw failure("the integer \(text.prefix(40)) does not fit 64 bits, ending")
      }
      return .integer(value)
    }
    guard let value = Double(text) else { throw failure("'\(text.prefix(40))' is no number, ending") }
    return .double(value)
  }

  private mutating func string() throws(TemplateError) -> String {
    position += 1
    var content: [UInt8] = []
    while true {
      guard let byte else { throw unexpected("'\"' to end the text") }
      switch byte {
      case UInt8(ascii: "\""):
        let end = position
        position += 1
        guard let text = String(validating: content, as: UTF8.self) else {
          position = end
          throw failure("the text is not valid UTF-8, ending")
        }
        return text
      case UInt8(ascii: "\\"):
        position += 1
        content.append(contentsOf: String(try escaped()).utf8)
      case ..<0x20: throw unexpected("no control character inside a text")
      default:
        content.append(byte)
        position += 1
      }
    }
  }

  private mutating func escaped() throws(TemplateError) -> Unicode.Scalar {
    guard let byte else { throw unexpected("an escape") }
    let start = position
    position += 1
    switch byte {
    case UInt8(ascii: "\""): return "\""
    case UInt8(ascii: "\\"): return "\\"
    case UInt8(ascii: "/"): return "/"
    case UInt8(ascii: "b"): return "\u{08}"
    case UInt8(ascii: "f"): return "\u{0C}"
    case UInt8(ascii: "n"): return "\n"
    case UInt8(ascii: "r"): return "\r"
    case UInt8(ascii: "t"): return "\t"
    case UInt8(ascii: "u"):
      let first = try hexadecimal()
      if let scalar = Unicode.Scalar(first) { return scalar }
      guard first < 0xDC00, skip(UInt8(ascii: "\\")), skip(UInt8(ascii: "u")) else {
        position = start
        throw failure("expected a pair of surrogates, found one alone")
      }
      let second = try hexadecimal()
      guard second >= 0xDC00, second < 0xE000,
        let scalar = Unicode.Scalar(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00))
      else {
        position = start
        throw failure("expected a pair of surrogates, found one alone")
      }
      return scalar
    default:
      position = start
      throw unexpected("an escape")
    }
  }

  private mutating func hexadecimal() throws(TemplateError) -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<4 {
      guard let byte, let digit = Unicode.Scalar(byte).hexadecimalValue else {
        throw unexpected("a hexadecimal digit")
      }
      value = value << 4 | digit
      position += 1
    }
    return value
  }
}
