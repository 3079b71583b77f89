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
