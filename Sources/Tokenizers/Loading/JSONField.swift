/// A value together with where it stands, so that what is wrong with it can be said.
struct JSONField {
  let value: JSONValue
  let source: String
  /// The path of keys from the root, empty for the root.
  let place: String

  /// A fault of this value.
  func fault(_ problem: String, advice: String = "") -> TokenizerError {
    TokenizerError(source: source, place: place, problem: problem, advice: advice)
  }

  private func expected(_ what: String) -> TokenizerError {
    fault("expected \(what), found \(value.kind)")
  }

  private func child(_ value: JSONValue, _ key: String) -> JSONField {
    JSONField(value: value, source: source, place: place.isEmpty ? key : "\(place).\(key)")
  }

  /// Whether the value is `null`.
  var isNull: Bool {
    if case .null = value { true } else { false }
  }

  /// The value as an object.
  ///
  /// - Parameter known: the keys understood here, or nil if any may stand. Another key is an
  ///   error, because a setting that is passed over would change the ids unnoticed.
  func members(known: [String]? = nil) throws(TokenizerError) -> [JSONValue.Member] {
    guard case .object(let members) = value else { throw expected("an object") }
    if let known {
      for (index, member) in members.enumerated() {
        guard known.contains(member.key) else {
          throw child(member.value, member.key).fault(
            "unknown setting", advice: "this version of Hearth cannot honour it")
        }
        guard !members[..<index].contains(where: { $0.key == member.key }) else {
          throw child(member.value, member.key).fault("the key stands twice")
        }
      }
    }
    return members
  }

  /// The member called `key`, or nil if it is absent or null.
  func optional(_ key: String) throws(TokenizerError) -> JSONField? {
    guard case .object(let members) = value else { throw expected("an object") }
    guard let member = members.first(where: { $0.key == key }) else { return nil }
    let field = child(member.value, key)
    return field.isNull ? nil : field
  }

  /// The member called `key`, which must be there.
  func required(_ key: String) throws(TokenizerError) -> JSONField {
    guard let field = try optional(key) else { throw fault("\"\(key)\" is missing") }
    return field
  }

  /// The value as an array.
  func elements() throws(TokenizerError) -> [JSONField] {
    guard case .array(let elements) = value else { throw expected("an array") }
    return elements.enumerated().map { index, element in
      JSONField(value: element, source: source, place: "\(place)[\(index)]")
    }
  }

  /// The value as a string.
  func string() throws(TokenizerError) -> String {
    guard case .string(let text) = value else { throw expected("a string") }
    return text
  }

  /// The value as a truth value.
  func boolean() throws(TokenizerError) -> Bool {
    guard case .boolean(let flag) = value else { throw expected("true or false") }
    return flag
  }

  /// The value as a whole number.
  func integer() throws(TokenizerError) -> Int {
    guard case .integer(let number) = value else { throw expected("a whole number") }
    return number
  }

  /// The member `key` as a truth value, or `fallback` if it is absent or null.
  func boolean(_ key: String, or fallback: Bool) throws(TokenizerError) -> Bool {
    try optional(key)?.boolean() ?? fallback
  }

  /// The object's `type`, which says what the rest means.
  func type() throws(TokenizerError) -> String { try required("type").string() }
}
