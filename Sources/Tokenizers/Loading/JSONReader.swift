/// Reads JSON (RFC 8259) strictly: no comments, no trailing commas, no lone surrogates, valid UTF-8.
struct JSONReader {
  /// Nesting beyond this is an error, not a stack overflow. Real tokenizers nest about eight deep.
  static let maximumDepth = 128

  private let bytes: [UInt8]
  private let source: String
  private var position = 0

  /// Reads the whole of `bytes` as one value.
  ///
  /// - Parameter source: the file's name, for messages.
  /// - Throws: on anything that is not one JSON value, naming the byte.
  static func read(_ bytes: [UInt8], source: String) throws(TokenizerError) -> JSONValue {
    var reader = JSONReader(bytes: bytes, source: source)
    // Some editors begin a file with a byte order mark.
    if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { reader.position = 3 }
    let value = try reader.value(depth: 0)
    reader.skipSpace()
    guard reader.position == bytes.count else { throw reader.fault("the end of the file") }
    return value
  }

  private init(bytes: [UInt8], source: String) {
    self.bytes = bytes
    self.source = source
  }

  private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

  private func fault(_ expected: String) -> TokenizerError {
    let found =
      next.map { byte in
        byte > 0x20 && byte < 0x7F
          ? "\"\(Unicode.Scalar(byte))\"" : "byte 0x\(String(byte, radix: 16))"
      } ?? "the end of the file"
    return TokenizerError(
      source: source, place: "byte \(position)", problem: "expected \(expected), found \(found)",
      advice: "the file is damaged or not JSON; fetch it again")
  }

  private mutating func skipSpace() {
    while let byte = next, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 {
      position += 1
    }
  }

  private mutating func expect(_ byte: UInt8) throws(TokenizerError) {
    guard next == byte else { throw fault("\"\(Unicode.Scalar(byte))\"") }
    position += 1
  }

  private mutating func value(depth: Int) throws(TokenizerError) -> JSONValue {
    guard depth <= Self.maximumDepth else {
      throw TokenizerError(
        source: source, place: "byte \(position)",
        problem: "nested deeper than \(Self.maximumDepth) levels")
    }
    skipSpace()
    switch next {
    case UInt8(ascii: "{"): return try object(depth: depth)
    case UInt8(ascii: "["): return try array(depth: depth)
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): return try word("true", .boolean(true))
    case UInt8(ascii: "f"): return try word("false", .boolean(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    case let byte? where byte == UInt8(ascii: "-") || Self.isDigit(byte): return try number()
    default: throw fault("a value")
    }
  }

  private mutating func word(
    _ word: String, _ value: JSONValue
  ) throws(TokenizerError) -> JSONValue {
    for byte in word.utf8 {
      guard next == byte else { throw fault(word) }
      position += 1
    }
    return value
  }

  private mutating func object(depth: Int) throws(TokenizerError) -> JSONValue {
    try expect(UInt8(ascii: "{"))
    var members: [JSONValue.Member] = []
    skipSpace()
    if next == UInt8(ascii: "}") {
      position += 1
      return .object(members)
    }
    while true {
      skipSpace()
      let key = try string()
      skipSpace()
      try expect(UInt8(ascii: ":"))
      members.append(JSONValue.Member(key: key, value: try value(depth: depth + 1)))
      skipSpace()
      if next == UInt8(ascii: ",") {
        position += 1
      } else {
        guard next == UInt8(ascii: "}") else { throw fault("\",\" or \"}\"") }
        position += 1
        return .object(members)
      }
    }
  }

  private mutating func array(depth: Int) throws(TokenizerError) -> JSONValue {
    try expect(UInt8(ascii: "["))
    var elements: [JSONValue] = []
    skipSpace()
    if next == UInt8(ascii: "]") {
      position += 1
      return .array(elements)
    }
    while true {
      elements.append(try value(depth: depth + 1))
      skipSpace()
      if next == UInt8(ascii: ",") {
        position += 1
      } else {
        guard next == UInt8(ascii: "]") else { throw fault("\",\" or \"]\"") }
        position += 1
        return .array(elements)
      }
    }
  }

  private mutating func number() throws(TokenizerError) -> JSONValue {
    let start = position
    var isWhole = true
    if next == UInt8(ascii: "-") { position += 1 }
    let firstDigit = position
    try digits()
    if position - firstDigit > 1, bytes[firstDigit] == UInt8(ascii: "0") {
      position = firstDigit
      throw fault("a number without leading zeros")
    }
    if next == UInt8(ascii: ".") {
      isWhole = false
      position += 1
      try digits()
    }
    if next == UInt8(ascii: "e") || next == UInt8(ascii: "E") {
      isWhole = false
      position += 1
      if next == UInt8(ascii: "+") || next == UInt8(ascii: "-") { position += 1 }
      try digits()
    }
    let text = String(decoding: bytes[start..<position], as: UTF8.self)
    // A whole number too large for Int is kept as a real, and then fails wherever an id is wanted.
    if isWhole, let value = Int(text) { return .integer(value) }
    guard let value = Double(text) else { throw fault("a number") }
    return .real(value)
  }

  private static func isDigit(_ byte: UInt8) -> Bool {
    (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
  }

  private mutating func digits() throws(TokenizerError) {
    let start = position
    while let byte = next, Self.isDigit(byte) { position += 1 }
    guard position > start else { throw fault("a digit") }
  }

  private mutating func string() throws(TokenizerError) -> String {
    try expect(UInt8(ascii: "\""))
    let start = position
    while let byte = next, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\"), byte >= 0x20 {
      position += 1
    }
    var content = Array(bytes[start..<position])
    while true {
      guard let byte = next else { throw fault("the end of a string") }
      if byte == UInt8(ascii: "\"") {
        position += 1
        break
      }
      guard byte >= 0x20 else { throw fault("a control character written as an escape") }
      position += 1
      if byte == UInt8(ascii: "\\") {
        content.append(contentsOf: String(try escape()).utf8)
      } else {
        content.append(byte)
      }
    }
    guard let text = String(validating: content, as: UTF8.self) else {
      throw TokenizerError(
        source: source, place: "byte \(start)", problem: "the string is not valid UTF-8",
        advice: "the file is damaged; fetch it again")
    }
    return text
  }

  private mutating func escape() throws(TokenizerError) -> Unicode.Scalar {
    guard let byte = next else { throw fault("an escape") }
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"):
      position += 1
      return Unicode.Scalar(byte)
    case UInt8(ascii: "b"), UInt8(ascii: "f"), UInt8(ascii: "n"), UInt8(ascii: "r"),
      UInt8(ascii: "t"):
      position += 1
      switch byte {
      case UInt8(ascii: "b"): return "\u{08}"
      case UInt8(ascii: "f"): return "\u{0C}"
      case UInt8(ascii: "n"): return "\n"
      case UInt8(ascii: "r"): return "\r"
      default: return "\t"
      }
    case UInt8(ascii: "u"):
      let start = position
      position += 1
      let first = try fourHexadecimalDigits()
      if let scalar = Unicode.Scalar(first) { return scalar }
      // A high surrogate must be followed by an escaped low one.
      if first < 0xDC00, next == UInt8(ascii: "\\") {
        position += 1
        try expect(UInt8(ascii: "u"))
        let second = try fourHexadecimalDigits()
        if (0xDC00..<0xE000).contains(second),
          let scalar = Unicode.Scalar(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00))
        {
          return scalar
        }
      }
      position = start
      throw TokenizerError(
        source: source, place: "byte \(start)", problem: "half of a surrogate pair in a string",
        advice: "the file is damaged; fetch it again")
    default: throw fault("an escape")
    }
  }

  private mutating func fourHexadecimalDigits() throws(TokenizerError) -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<4 {
      guard let byte = next, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
        throw fault("a hexadecimal digit")
      }
      value = value << 4 + UInt32(digit)
      position += 1
    }
    return value
  }
}
