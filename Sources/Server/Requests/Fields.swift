internal import Chat

/// The members of a request's object, taken out one by one. What nobody has taken is unknown, and an error: ignoring it would
/// change the answer without a word.
struct Fields {
  /// How messages name the object: "" for the body, "messages[2]." inside of it.
  private let prefix: String
  private var rest: [String: JSON]
  /// In the order they were written.
  private let order: [String]

  /// - Throws: When `value` is no object.
  init(_ value: JSON, at path: String = "") throws(APIError) {
    guard let members = value.members else {
      throw .invalid(path.isEmpty ? "body" : path, "expected an object, found \(value.kindName)")
    }
    prefix = path.isEmpty ? "" : path + "."
    rest = Dictionary(members.map { ($0.key, $0.value) }) { first, _ in first }
    order = members.map(\.key)
  }

  /// How messages name a member.
  func path(_ name: String) -> String { prefix + name }

  /// Whether there is a member of this name that is not null.
  func has(_ name: String) -> Bool { rest[name].map { $0 != .null } ?? false }

  /// Whether a member is this text.
  func isText(_ name: String, _ text: String) -> Bool { rest[name] == .string(text) }

  /// The member as it was sent, which is still to be taken.
  func sent(_ name: String) -> JSON? { rest[name] }

  /// The member, if there is one; null counts as none.
  mutating func value(_ name: String) -> JSON? {
    guard let value = rest.removeValue(forKey: name), value != .null else { return nil }
    return value
  }

  mutating func string(_ name: String) throws(APIError) -> String? {
    guard let value = value(name) else { return nil }
    guard let text = value.text else { throw wrong(name, "a string", value) }
    return text
  }

  mutating func requiredString(_ name: String) throws(APIError) -> String {
    guard let text = try string(name) else { throw missing(name) }
    return text
  }

  mutating func bool(_ name: String) throws(APIError) -> Bool? {
    guard let value = value(name) else { return nil }
    guard case .bool(let flag) = value else { throw wrong(name, "true or false", value) }
    return flag
  }

  mutating func integer(_ name: String, in range: ClosedRange<Int>) throws(APIError) -> Int? {
    guard let value = value(name) else { return nil }
    guard case .number(let text) = value, let number = Fields.integer(text) else {
      throw wrong(name, "a whole number", value)
    }
    guard range.contains(number) else {
      throw .invalid(path(name), "\(path(name)) is \(number): expected \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }

  mutating func number(_ name: String, in range: ClosedRange<Double>) throws(APIError) -> Double? {
    guard let value = value(name) else { return nil }
    guard case .number(let text) = value, let number = Double(text) else { throw wrong(name, "a number", value) }
    guard range.contains(number) else {
      throw .invalid(
        path(name), "\(path(name)) is \(text.prefix(40)): expected \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }

  mutating func array(_ name: String, most: Int) throws(APIError) -> [JSON]? {
    guard let value = value(name) else { return nil }
    guard let elements = value.elements else { throw wrong(name, "a list", value) }
    guard elements.count <= most else {
      throw .invalid(path(name), "\(path(name)) has \(elements.count) elements: expected at most \(most)")
    }
    return elements
  }

  mutating func object(_ name: String) throws(APIError) -> Fields? {
    guard let value = value(name) else { return nil }
    return try Fields(value, at: path(name))
  }

  /// One of a few words.
  mutating func word(_ name: String, of words: [String]) throws(APIError) -> String? {
    guard let text = try string(name) else { return nil }
    guard words.contains(text) else {
      throw .invalid(path(name), "\(path(name)) is \"\(text.prefix(40))\": expected \(words.joined(separator: ", "))")
    }
    return text
  }

  /// Refuses what is known of the API and not offered here, unless its value is one of those that ask for nothing.
  mutating func refuse(_ name: String, unless harmless: [JSON] = [], _ reason: String) throws(APIError) {
    guard let value = value(name), !harmless.contains(value) else { return }
    throw .invalid(path(name), "\(path(name)) is not supported: \(reason)", code: "unsupported_parameter")
  }

  /// Takes members that change nothing about the answer.
  mutating func ignore(_ names: String...) { for name in names { rest[name] = nil } }

  /// - Throws: When there are members that nobody has taken.
  func finish() throws(APIError) {
    guard
      let name = order.first(where: { rest[$0] != nil && rest[$0] != .null }) ?? order.first(where: { rest[$0] != nil })
    else { return }
    throw .invalid(
      path(name),
      "unknown parameter: \(path(name).prefix(100)): this server refuses what it does not know rather than ignore it",
      code: "unknown_parameter")
  }

  func missing(_ name: String) -> APIError {
    .invalid(path(name), "\(path(name)) is missing", code: "missing_required_parameter")
  }

  func wrong(_ name: String, _ expected: String, _ found: JSON) -> APIError {
    .invalid(path(name), "\(path(name)): expected \(expected), found \(found.kindName)", code: "invalid_type")
  }

  /// "3", and "3.0" too, as some clients write whole numbers.
  static func integer(_ text: String) -> Int? {
    if let number = Int(text) { return number }
    guard let number = Double(text), number.rounded() == number else { return nil }
    return Int(exactly: number)
  }
}
