/// Reads one JSON document (RFC 8259), strictly but for Python's `NaN` and `Infinity`.
struct JSONParser: ~Escapable {
  /// Deeper nesting is refused: each level costs stack, and no model file needs a tenth of this.
  static let maximumDepth = 64

  private let bytes: Span<UInt8>
  private let file: String
  private let base: Int
  private var offset = 0

  /// - Parameters:
  ///   - bytes: The document.
  ///   - file: The file it stands in, for errors.
  ///   - base: The offset of the document in the file, for errors.
  @_lifetime(copy bytes)
  private init(_ bytes: Span<UInt8>, file: String, base: Int) {
    self.bytes = bytes
    self.file = file
    self.base = base
  }

  /// Parses the whole of `bytes`; only white space may follow the value.
  static func parse(
    _ bytes: Span<UInt8>, file: String, base: Int = 0
  ) throws(CheckpointError) -> JSONValue {
    var parser = JSONParser(bytes, file: file, base: base)
    let value = try parser.readValue(depth: 0)
    parser.skipSpace()
    guard parser.offset == bytes.count else {
      throw parser.error(expected: "the end of the document")
    }
    return value
  }

  private var next: UInt8? { offset < bytes.count ? bytes[offset] : nil }

  private mutating func skipSpace() {
    while let byte = next, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 {
      offset += 1
    }
  }

  private mutating func readValue(depth: Int) throws(CheckpointError) -> JSONValue {
    guard depth < Self.maximumDepth else {
      throw error("nests deeper than \(Self.maximumDepth) levels")
    }
    skipSpace()
    switch next {
    case UInt8(ascii: "{"): return .object(try readObject(depth: depth))
    case UInt8(ascii: "["): return .array(try readArray(depth: depth))
    case UInt8(ascii: "\""): return .string(try readString())
    case UInt8(ascii: "t"): return try readWord("true", .bool(true))
    case UInt8(ascii: "f"): return try readWord("false", .bool(false))
    case UInt8(ascii: "n"): return try readWord("null", .null)
    case UInt8(ascii: "N"): return try readWord("NaN", .real(.nan))
    case UInt8(ascii: "I"): return try readWord("Infinity", .real(.infinity))
    default: return try readNumber()
    }
  }

  private mutating func readObject(depth: Int) throws(CheckpointError) -> JSONObject {
    var object = JSONObject()
    offset += 1
    skipSpace()
    if take("}") { return object }
    while true {
      skipSpace()
      guard next == UInt8(ascii: "\"") else { throw error(expected: "a name in quotes") }
      let start = offset
      let name = try readString()
      skipSpace()
      guard take(":") else { throw error(expected: "a colon") }
      let value = try readValue(depth: depth + 1)
      guard object.add(name, value) else {
        offset = start
        throw error("holds the name \"\(printable(name))\" twice in one object")
      }
      skipSpace()
      if take("}") { return object }
      guard take(",") else { throw error(expected: "a comma or }") }
    }
  }

  private mutating func readArray(depth: Int) throws(CheckpointError) -> [JSONValue] {
    var values: [JSONValue] = []
    offset += 1
    skipSpace()
    if take("]") { return values }
    while true {
      values.append(try readValue(depth: depth + 1))
      skipSpace()
      if take("]") { return values }
      guard take(",") else { throw error(expected: "a comma or ]") }
    }
  }

  private mutating func take(_ character: Unicode.Scalar) -> Bool {
    guard next == UInt8(ascii: character) else { return false }
    offset += 1
    return true
  }

  private mutating func readWord(
    _ word: StaticString, _ value: JSONValue
  ) throws(CheckpointError) -> JSONValue {
    let start = offset
    for byte in "\(word)".utf8 {
      guard next == byte else {
        offset = start
        throw error(expected: "a value")
      }
      offset += 1
    }
    return value
  }

  // MARK: Numbers

  private mutating func readNumber() throws(CheckpointError) -> JSONValue {
    let start = offset
    let isNegative = take("-")
    if isNegative, next == UInt8(ascii: "I") { return try readWord("Infinity", .real(-.infinity)) }
    var isInteger = true
    guard let first = next, (0x30...0x39).contains(first) else { throw error(expected: "a value") }
    skipDigits()
    if first == 0x30, offset - start > (isNegative ? 2 : 1) {
      offset = start
      throw error(expected: "a number without leading zeros")
    }
    if take(".") {
      isInteger = false
      guard skipDigits() else { throw error(expected: "a digit") }
    }
    if next == UInt8(ascii: "e") || next == UInt8(ascii: "E") {
      isInteger = false
      offset += 1
      if !take("+") { _ = take("-") }
      guard skipDigits() else { throw error(expected: "a digit") }
    }
    let text = try decode(start..<offset)
    if isInteger, let value = Int(text) { return .integer(value) }
    guard let value = Double(text) else {
      offset = start
      throw error(expected: "a number")
    }
    return .real(value)
  }

  @discardableResult
  private mutating func skipDigits() -> Bool {
    let start = offset
    while let byte = next, (0x30...0x39).contains(byte) { offset += 1 }
    return offset > start
  }

  // MARK: Strings

  private mutating func readString() throws(CheckpointError) -> String {
    offset += 1
    var start = offset
    var result = ""
    while let byte = next {
      switch byte {
      case UInt8(ascii: "\""):
        result += try decode(start..<offset)
        offset += 1
        return result
      case UInt8(ascii: "\\"):
        result += try decode(start..<offset)
        offset += 1
        result.unicodeScalars.append(try readEscape())
        start = offset
      case 0..<0x20:
        throw error("holds a control character inside a string")
      default:
        offset += 1
      }
    }
    throw error(expected: "the end of a string")
  }

  private mutating func readEscape() throws(CheckpointError) -> Unicode.Scalar {
    guard let byte = next else { throw error(expected: "an escaped character") }
    offset += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(byte)
    case UInt8(ascii: "b"): return "\u{8}"
    case UInt8(ascii: "f"): return "\u{C}"
    case UInt8(ascii: "n"): return "\n"
    case UInt8(ascii: "r"): return "\r"
    case UInt8(ascii: "t"): return "\t"
    case UInt8(ascii: "u"): return try readUnicodeEscape()
    default:
      offset -= 1
      throw error(expected: "one of \\ \" / b f n r t u after a backslash")
    }
  }

  private mutating func readUnicodeEscape() throws(CheckpointError) -> Unicode.Scalar {
    let unit = try readHexadecimal()
    if let scalar = Unicode.Scalar(unit) { return scalar }
    // The first half of a surrogate pair; the second must follow.
    guard unit < 0xDC00, take("\\"), take("u") else {
      throw error("holds half of a surrogate pair in a string")
    }
    let low = try readHexadecimal()
    guard (0xDC00..<0xE000).contains(low),
      let scalar = Unicode.Scalar(0x10000 + (unit - 0xD800) << 10 + (low - 0xDC00))
    else { throw error("holds half of a surrogate pair in a string") }
    return scalar
  }

  private mutating func readHexadecimal() throws(CheckpointError) -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<4 {
      guard let byte = next, let digit = Character(Unicode.Scalar(byte)).hexDigitValue,
        byte < 0x80
      else { throw error(expected: "four hexadecimal digits") }
      value = value << 4 | UInt32(digit)
      offset += 1
    }
    return value
  }

  private func decode(_ range: Range<Int>) throws(CheckpointError) -> String {
    do {
      return String(copying: try UTF8Span(validating: bytes.extracting(range)))
    } catch {
      throw CheckpointError(
        .malformed, file: file,
        place: .byte(base + range.lowerBound + error.byteOffsets.lowerBound),
        "is not valid UTF-8")
    }
  }

  // MARK: Errors

  private func error(_ problem: String) -> CheckpointError {
    CheckpointError(.malformed, file: file, place: .byte(base + offset), problem)
  }

  private func error(expected: String) -> CheckpointError {
    let found =
      next.map { byte in
        (0x21...0x7E).contains(byte)
          ? "'\(Unicode.Scalar(byte))'" : "0x" + String(byte, radix: 16, uppercase: true)
      } ?? "the end of the document"
    return CheckpointError(
      .malformed, file: file, place: .byte(base + offset), "is not valid JSON", expected: expected,
      found: found)
  }
}
