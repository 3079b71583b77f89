package import Chat
internal import Foundation

/// JSON as clients send it and get it: keys keep their order, repeated ones are refused.
package typealias JSON = JSONElement

extension JSONElement {
  /// Reads a document of UTF-8 bytes.
  ///
  /// - Throws: `JSONReader.Failure` with the byte where it stops being one.
  init(parsing bytes: [UInt8]) throws(JSONReader.Failure) {
    var reader = JSONReader(bytes)
    self = try reader.value()
    reader.skipWhitespace()
    guard reader.next == nil else { throw reader.failure(.malformedJSON, "the end", reader.found()) }
  }

  /// A whole number.
  static func integer(_ value: Int) -> JSON { .number(String(value)) }

  /// A number; JSON has none that is not finite, so those are null.
  static func real(_ value: Double) -> JSON { value.isFinite ? .number(String(describing: value)) : .null }

  /// The text, or null.
  static func optional(_ value: String?) -> JSON { value.map { .string($0) } ?? .null }

  /// The text of a string.
  var text: String? {
    if case .string(let text) = self { return text }
    return nil
  }

  /// The members of an object.
  var members: [Member]? {
    if case .object(let members) = self { return members }
    return nil
  }

  /// The elements of a list.
  var elements: [JSON]? {
    if case .array(let elements) = self { return elements }
    return nil
  }

  /// An object without those of the members that are nil.
  static func object(_ members: KeyValuePairs<String, JSON?>) -> JSON {
    .object(members.compactMap { key, value in value.map { Member(key: key, value: $0) } })
  }
}

extension JSONElement: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral,
  ExpressibleByNilLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
  package init(stringLiteral value: String) { self = .string(value) }
  package init(integerLiteral value: Int) { self = .integer(value) }
  package init(booleanLiteral value: Bool) { self = .bool(value) }
  package init(nilLiteral: ()) { self = .null }
  package init(arrayLiteral elements: JSON...) { self = .array(elements) }
  package init(dictionaryLiteral elements: (String, JSON)...) {
    self = .object(elements.map { Member(key: $0, value: $1) })
  }
}

extension JSONElement {
  /// The value on one line, as UTF-8.
  var bytes: [UInt8] {
    var bytes: [UInt8] = []
    write(to: &bytes)
    return bytes
  }

  /// The value on one line.
  var line: String { String(decoding: bytes, as: UTF8.self) }

  private func write(to bytes: inout [UInt8]) {
    switch self {
    case .null: bytes += "null".utf8
    case .bool(let value): bytes += (value ? "true" : "false").utf8
    case .number(let text): bytes += text.utf8
    case .string(let text): JSONElement.write(text, to: &bytes)
    case .array(let elements):
      bytes.append(UInt8(ascii: "["))
      for (index, element) in elements.enumerated() {
        if index > 0 { bytes.append(UInt8(ascii: ",")) }
        element.write(to: &bytes)
      }
      bytes.append(UInt8(ascii: "]"))
    case .object(let members):
      bytes.append(UInt8(ascii: "{"))
      for (index, member) in members.enumerated() {
        if index > 0 { bytes.append(UInt8(ascii: ",")) }
        JSONElement.write(member.key, to: &bytes)
        bytes.append(UInt8(ascii: ":"))
        member.value.write(to: &bytes)
      }
      bytes.append(UInt8(ascii: "}"))
    }
  }

  private static func write(_ text: String, to bytes: inout [UInt8]) {
    bytes.append(UInt8(ascii: "\""))
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "\""): bytes += "\\\"".utf8
      case UInt8(ascii: "\\"): bytes += "\\\\".utf8
      case 0x0A: bytes += "\\n".utf8
      case 0x0D: bytes += "\\r".utf8
      case 0x09: bytes += "\\t".utf8
      case ..<0x20: bytes += ("\\u00" + (byte < 16 ? "0" : "") + String(byte, radix: 16)).utf8
      default: bytes.append(byte)
      }
    }
    bytes.append(UInt8(ascii: "\""))
  }
}
