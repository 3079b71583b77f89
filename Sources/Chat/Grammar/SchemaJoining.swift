/// Schemas that hold together, as one: what `allOf` says, and what stands beside `$ref`, `anyOf` and `oneOf`.
///
/// JSON Schema 2020-12, section 10.2: all of a schema's keywords hold, each by itself. What the joined schema accepts, each part
/// accepts; where that cannot be said in one schema, it is refused.
struct SchemaJoining {
  let root: JSONElement

  /// What says nothing about which values are valid.
  static let annotations: Set<String> = [
    "title", "description", "default", "examples", "$schema", "$id", "$comment", "deprecated", "readOnly", "writeOnly",
    "$defs", "definitions",
  ]

  /// Every keyword that is enforced, alone or with others.
  static let keywords: Set<String> = [
    "type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref", "properties", "required", "additionalProperties",
    "items",
    "prefixItems", "minItems", "maxItems", "uniqueItems", "minLength", "maxLength", "pattern", "format", "minimum",
    "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
  ]

  /// The schema without `$ref` and `allOf` at its top.
  ///
  /// - Throws: `GrammarError` when a reference leads nowhere or to itself, or parts cannot be joined.
  func flat(_ schema: JSONElement, _ path: String, depth: Int = 0) throws(GrammarError) -> JSONElement {
    guard depth <= 64 else { throw GrammarError(path, "the schema refers to itself without a value between") }
    guard case .object(let members) = schema else { return schema }
    if let stranger = members.map(\.key).filter({
      !Self.keywords.contains($0) && !Self.annotations.contains($0)
    }).min() {
      throw GrammarError(Self.join(path, stranger), "this keyword cannot be enforced here")
    }
    guard schema["$ref"] != nil || schema["allOf"] != nil else { return schema }
    var result = JSONElement.object(members.filter { $0.key != "$ref" && $0.key != "allOf" })
    if let reference = schema["$ref"] {
      result = try joined(
        try flat(try target(of: reference, path), Self.join(path, "$ref"), depth: depth + 1), result, path)
    }
    if let parts = schema["allOf"] {
      guard case .array(let parts) = parts, !parts.isEmpty, parts.count <= 100 else {
        throw GrammarError(Self.join(path, "allOf"), "expected a list of 1 to 100 schemas")
      }
      for (index, part) in parts.enumerated() {
        let place = Self.join(path, "allOf[\(index)]")
        result = try joined(result, try flat(part, place, depth: depth + 1), place)
      }
    }
    return result
  }

  /// "#/$defs/name", and "#" for the whole.
  func target(of reference: JSONElement, _ path: String) throws(GrammarError) -> JSONElement {
    guard case .string(let text) = reference, text.hasPrefix("#") else {
      throw GrammarError(Self.join(path, "$ref"), "only references into the schema itself are followed")
    }
    var target = root
    for part in text.dropFirst().split(separator: "/") {
      let key = String(part).replacing("~1", with: "/").replacing("~0", with: "~")
      guard let found = target[key] else { throw GrammarError(Self.join(path, "$ref"), "\(text) leads nowhere") }
      target = found
    }
    return target
  }

  /// What two flat schemas accept, both.
  func joined(_ left: JSONElement, _ right: JSONElement, _ path: String) throws(GrammarError) -> JSONElement {
    if left == .bool(true) || left == .object([]) { return right }
    if right == .bool(true) || right == .object([]) { return left }
    guard case .object(let first) = left, case .object(let second) = right else {
      throw GrammarError(path, "expected schemas, found \(left.kindName) and \(right.kindName)")
    }
    var members: [JSONElement.Member] = []
    func add(_ key: String, _ value: JSONElement) { members.append(.init(key: key, value: value)) }
    let objects: Set<String> = ["properties", "additionalProperties"]
    for member in first where !objects.contains(member.key) {
      guard let other = right[member.key] else {
        members.append(member)
        continue
      }
      add(member.key, try joined(member.key, member.value, other, path))
    }
    members += second.filter { left[$0.key] == nil && !objects.contains($0.key) }
    members += try properties(left, right, path)
    return .object(members)
  }

  /// What one keyword says on both sides.
  private func joined(
    _ keyword: String, _ left: JSONElement, _ right: JSONElement, _ path: String
  ) throws(GrammarError) -> JSONElement {
    if left == right || Self.annotations.contains(keyword) { return left }
    let place = Self.join(path, keyword)
    func larger(_ isWanted: Bool) throws(GrammarError) -> JSONElement {
      guard case .number(let one) = left, case .number(let two) = right, let first = DecimalText(one),
        let second = DecimalText(two)
      else { throw GrammarError(place, "expected a number") }
      return (first < second) == isWanted ? right : left
    }
    switch keyword {
    case "type":
      let types = Self.types(left).flatMap { one in
        Self.types(right).compactMap { two in
          one == two ? one : Set([one, two]) == ["integer", "number"] ? "integer" : nil
        }
      }
      guard !types.isEmpty else { throw GrammarError(place, "no value has both types") }
      return .array(types.map { .string($0) })
    case "required":
      guard case .array(let one) = left, case .array(let two) = right else { break }
      return .array(one + two.filter { !one.contains($0) })
    case "enum":
      guard case .array(let one) = left, case .array(let two) = right else { break }
      return .array(one.filter { two.contains($0) })
    case "minimum", "exclusiveMinimum", "minLength", "minItems": return try larger(true)
    case "maximum", "exclusiveMaximum", "maxLength", "maxItems": return try larger(false)
    case "items": return .object([.init(key: "allOf", value: .array([left, right]))])
    case "uniqueItems": return .bool(left == .bool(true) || right == .bool(true))
    default: break
    }
    throw GrammarError(place, "two of these that both hold cannot be enforced here")
  }

  /// Properties of both sides; each side's `additionalProperties` is about those that it does not name.
  private func properties(
    _ left: JSONElement, _ right: JSONElement, _ path: String
  ) throws(GrammarError) -> [JSONElement.Member] {
    func own(_ schema: JSONElement) throws(GrammarError) -> [JSONElement.Member] {
      switch schema["properties"] {
      case nil: return []
      case .object(let members)?: return members
      default: throw GrammarError(Self.join(path, "properties"), "expected an object")
      }
    }
    let (first, second) = (try own(left), try own(right))
    var members: [JSONElement.Member] = []
    func both(_ one: JSONElement, _ two: JSONElement?) -> JSONElement {
      switch two {
      case nil, .bool(true)?: one
      case let two?: one == .bool(true) ? two : .object([.init(key: "allOf", value: .array([one, two]))])
      }
    }
    for member in first {
      let other = right["properties"]?[member.key] ?? right["additionalProperties"]
      if other == .bool(false) { continue }
      members.append(.init(key: member.key, value: both(member.value, other)))
    }
    for member in second where left["properties"]?[member.key] == nil {
      let other = left["additionalProperties"]
      if other == .bool(false) { continue }
      members.append(.init(key: member.key, value: both(member.value, other)))
    }
    var result: [JSONElement.Member] = []
    if left["properties"] != nil || right["properties"] != nil {
      result.append(.init(key: "properties", value: .object(members)))
    }
    switch (left["additionalProperties"], right["additionalProperties"]) {
    case (nil, nil): break
    case (.bool(false)?, _), (_, .bool(false)?):
      result.append(.init(key: "additionalProperties", value: .bool(false)))
    case (let one?, let two): result.append(.init(key: "additionalProperties", value: both(one, two)))
    case (nil, let two?): result.append(.init(key: "additionalProperties", value: two))
    }
    return result
  }

  /// The names of `type`.
  static func types(_ type: JSONElement?) -> [String] {
    switch type {
    case .string(let name)?: [name]
    case .array(let names)?:
      names.compactMap {
        if case .string(let name) = $0 { name } else { nil }
      }
    default: []
    }
  }

  static func join(_ path: String, _ name: String) -> String { path.isEmpty ? name : path + "." + name }
}

/// Whether alternatives of `oneOf` can be told apart: then a text of one of them is a text of no other.
extension SchemaJoining {
  /// Whether no value is valid by both, as far as that shows: false may mean that it was not seen.
  func areDisjoint(_ left: JSONElement, _ right: JSONElement, depth: Int = 0) -> Bool {
    guard depth < 8, let one = try? flat(left, ""), let two = try? flat(right, "") else { return false }
    for (schema, other) in [(one, two), (two, one)] {
      for keyword in ["anyOf", "oneOf"] {
        guard case .array(let options)? = schema[keyword] else { continue }
        if options.allSatisfy({ areDisjoint($0, other, depth: depth + 1) }) { return true }
      }
    }
    if let values = Self.values(one) {
      if let others = Self.values(two) { return !values.contains { others.contains($0) } }
      let types = Self.kinds(two)
      if !types.isEmpty, values.allSatisfy({ types.isDisjoint(with: Self.kinds(of: $0)) }) { return true }
    } else if Self.values(two) != nil {
      return areDisjoint(two, one, depth: depth + 1)
    }
    let (types, others) = (Self.kinds(one), Self.kinds(two))
    if !types.isEmpty, !others.isEmpty, types.isDisjoint(with: others) { return true }
    if types == ["object"], others == ["object"] { return areDisjointObjects(one, two, depth) }
    if types == ["number"], others == ["number"], let range = try? NumberRange(one, ""),
      let other = try? NumberRange(two, "")
    {
      return range.isDisjoint(from: other)
    }
    return false
  }

  private func areDisjointObjects(_ one: JSONElement, _ two: JSONElement, _ depth: Int) -> Bool {
    func needed(_ schema: JSONElement) -> [String] { Self.types(schema["required"]) }
    for (schema, other) in [(one, two), (two, one)] {
      for name in needed(schema) {
        guard let property = schema["properties"]?[name] else { continue }
        guard let twin = other["properties"]?[name] else {
          // What one must have, the other may not.
          if other["additionalProperties"] == .bool(false) { return true }
          continue
        }
        if needed(other).contains(name), areDisjoint(property, twin, depth: depth + 1) { return true }
      }
    }
    return false
  }

  private static func values(_ schema: JSONElement) -> [JSONElement]? {
    if let constant = schema["const"] { return [constant] }
    if case .array(let values)? = schema["enum"] { return values }
    return nil
  }

  /// Sorts of values that differ from each other; whole numbers are numbers.
  private static func kinds(_ schema: JSONElement) -> Set<String> {
    Set(types(schema["type"]).map { $0 == "integer" ? "number" : $0 })
  }

  private static func kinds(of value: JSONElement) -> Set<String> {
    switch value {
    case .null: ["null"]
    case .bool: ["boolean"]
    case .number: ["number"]
    case .string: ["string"]
    case .array: ["array"]
    case .object: ["object"]
    }
  }
}
