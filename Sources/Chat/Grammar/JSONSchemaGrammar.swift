internal import Foundation

extension Grammar {
  /// Texts that are one JSON object.
  public static func anyObject() throws(GrammarError) -> Grammar {
    var builder = GrammarBuilder()
    let object = try builder.object()
    let leave = try builder.add(.leave)
    let start = try builder.call(object, leave)
    return builder.built(from: start)
  }

  /// Texts that are JSON and valid by a schema (JSON Schema, draft 2020-12, the part that OpenAI's structured outputs have and
  /// some more).
  ///
  /// Keys come in the order of the schema. Where a schema leaves further keys open none are written, which is valid too.
  ///
  /// - Throws: `GrammarError` for whatever cannot be enforced: nothing of a schema is ignored but what says nothing about values.
  package static func schema(_ schema: JSONElement) throws(GrammarError) -> Grammar {
    var compiler = SchemaCompiler(root: schema)
    let end = try compiler.builder.add(.leave)
    let start = try compiler.value(schema, "", end)
    return compiler.builder.built(from: start)
  }
}

/// Turns a schema into a program.
struct SchemaCompiler {
  let root: JSONElement
  var builder = GrammarBuilder()
  private var depth = 0

  init(root: JSONElement) { self.root = root }

  /// What says nothing about which values are valid.
  private static let annotations: Set<String> = [
    "title", "description", "default", "examples", "$schema", "$id", "$comment", "deprecated", "readOnly", "writeOnly",
    "$defs", "definitions",
  ]

  /// The program of a schema, and then `next`.
  mutating func value(_ schema: JSONElement, _ path: String, _ next: Int) throws(GrammarError) -> Int {
    depth += 1
    defer { depth -= 1 }
    guard depth <= 64 else { throw GrammarError(path, "the schema is nested more than 64 levels deep") }
    if schema == .bool(true) { return try builder.call(try builder.value(), next) }
    guard case .object(let members) = schema else {
      throw GrammarError(path, "expected a schema, found \(schema.kindName)")
    }
    let keywords = Set(members.map(\.key)).subtracting(Self.annotations)
    if let reference = schema["$ref"] { return try self.reference(reference, keywords, path, next) }
    if let options = schema["enum"] { return try enumeration(options, schema, keywords, path, next) }
    if let constant = schema["const"] {
      try require(keywords, ["const", "type"], path)
      return try builder.literal(Self.text(constant), next)
    }
    if let options = schema["anyOf"] {
      try require(keywords, ["anyOf"], path)
      return try alternatives(options, Self.join(path, "anyOf"), next)
    }
    if case .array(let parts)? = schema["allOf"], parts.count == 1 {
      try require(keywords, ["allOf"], path)
      return try value(parts[0], Self.join(path, "allOf"), next)
    }
    switch schema["type"] {
    case nil:
      guard keywords.isEmpty else {
        try require(keywords, [], path)
        throw GrammarError(path, "type is missing")
      }
      return try builder.call(try builder.value(), next)
    case .string(let type)?: return try typed(type, schema, keywords, path, next)
    case .array(let types)?:
      var places: [Int] = []
      for type in types {
        guard case .string(let type) = type else {
          throw GrammarError(Self.join(path, "type"), "expected names of types")
        }
        // Each type is held to the keywords that are about it.
        let own = keywords.intersection(Self.keywords[type] ?? []).union(["type"])
        places.append(try typed(type, schema, own, path, next))
      }
      let known = types.reduce(into: Set(["type"])) { set, type in
        if case .string(let type) = type { set.formUnion(Self.keywords[type] ?? []) }
      }
      try require(keywords, known, path)
      return try builder.add(.split(places))
    default: throw GrammarError(Self.join(path, "type"), "expected the name of a type or a list of them")
    }
  }

  private static let keywords: [String: Set<String>] = [
    "object": ["type", "properties", "required", "additionalProperties"],
    "array": ["type", "items", "minItems", "maxItems", "prefixItems"],
    "string": ["type", "minLength", "maxLength", "format"], "number": ["type"], "integer": ["type"],
    "boolean": ["type"],
    "null": ["type"],
  ]

  private mutating func typed(
    _ type: String, _ schema: JSONElement, _ keywords: Set<String>, _ path: String, _ next: Int
  ) throws(GrammarError) -> Int {
    guard let known = Self.keywords[type] else {
      throw GrammarError(Self.join(path, "type"), "\"\(type)\" is no type of JSON Schema")
    }
    try require(keywords, known, path)
    switch type {
    case "object": return try object(schema, path, next)
    case "array": return try array(schema, path, next)
    case "string": return try string(schema, path, next)
    case "number": return try builder.number(next)
    case "integer": return try builder.integer(next)
    case "boolean":
      return try builder.add(.split([try builder.literal("true", next), try builder.literal("false", next)]))
    default: return try builder.literal("null", next)
    }
  }

  private mutating func string(_ schema: JSONElement, _ path: String, _ next: Int) throws(GrammarError) -> Int {
    let least = try count(schema, "minLength", path) ?? 0
    let most = try count(schema, "maxLength", path)
    if let most, most < least { throw GrammarError(path, "maxLength is below minLength") }
    guard let format = schema["format"] else { return try builder.string(least: least, most: most, next) }
    guard least == 0, most == nil else {
      throw GrammarError(path, "format does not go with minLength or maxLength here")
    }
    let quote = try builder.literal("\"", next)
    let digits = ByteSet("0123456789")
    func two(_ builder: inout GrammarBuilder, _ ranges: [(String, String)], _ next: Int) throws(GrammarError) -> Int {
      var places: [Int] = []
      for (tens, ones) in ranges { places.append(try builder.one(ByteSet(tens), try builder.one(ByteSet(ones), next))) }
      return try builder.add(.split(places))
    }
    func date(_ builder: inout GrammarBuilder, _ next: Int) throws(GrammarError) -> Int {
      // To the 28th: every month has these.
      let day = try two(&builder, [("0", "123456789"), ("1", "0123456789"), ("2", "012345678")], next)
      let month = try two(&builder, [("0", "123456789"), ("1", "012")], try builder.literal("-", day))
      return try builder.several(digits, 4, 4, try builder.literal("-", month))
    }
    func time(_ builder: inout GrammarBuilder, _ next: Int) throws(GrammarError) -> Int {
      let second = try two(&builder, [("012345", "0123456789")], next)
      let minute = try two(&builder, [("012345", "0123456789")], try builder.literal(":", second))
      return try two(&builder, [("01", "0123456789"), ("2", "0123")], try builder.literal(":", minute))
    }
    let start: Int
    switch format {
    case .string("date"): start = try date(&builder, quote)
    case .string("time"): start = try time(&builder, try builder.literal("Z", quote))
    case .string("date-time"):
      let end = try builder.literal("Z", quote)
      start = try date(&builder, try builder.literal("T", try time(&builder, end)))
    case .string("uuid"):
      let hex = ByteSet("0123456789abcdef")
      var place = try builder.several(hex, 12, 12, quote)
      for _ in 0..<3 { place = try builder.several(hex, 4, 4, try builder.literal("-", place)) }
      start = try builder.several(hex, 8, 8, try builder.literal("-", place))
    default: throw GrammarError(Self.join(path, "format"), "\(Self.text(format)) cannot be enforced")
    }
    return try builder.literal("\"", start)
  }

  private mutating func array(_ schema: JSONElement, _ path: String, _ next: Int) throws(GrammarError) -> Int {
    let least = try count(schema, "minItems", path) ?? 0
    let most = try count(schema, "maxItems", path)
    if let most, most < least { throw GrammarError(path, "maxItems is below minItems") }
    guard schema["prefixItems"] == nil else { return try tuple(schema, least, most, path, next) }
    let items = schema["items"] ?? .bool(true)
    // One rule for all elements: bounds write calls of it out, not it.
    let element = try rule(items, Self.join(path, "items"))
    return try builder.list(
      "[", "]", least: least, most: most,
      { (builder: inout GrammarBuilder, next: Int) throws(GrammarError) -> Int in try builder.call(element, next) },
      next)
  }

  /// As many elements as there are schemas for, no more.
  private mutating func tuple(
    _ schema: JSONElement, _ least: Int, _ most: Int?, _ path: String, _ next: Int
  ) throws(GrammarError) -> Int {
    guard case .array(let items)? = schema["prefixItems"], !items.isEmpty else {
      throw GrammarError(Self.join(path, "prefixItems"), "expected a list of schemas")
    }
    guard schema["items"] == .bool(false) || most == items.count, least == items.count else {
      throw GrammarError(path, "prefixItems goes with as many minItems, and \"items\": false or as many maxItems")
    }
    var place = try builder.literal("]", next)
    for (index, item) in items.enumerated().reversed() {
      place = try value(item, Self.join(path, "prefixItems[\(index)]"), place)
      if index > 0 { place = try builder.comma(place) }
    }
    return try builder.literal("[", place)
  }

  private mutating func object(_ schema: JSONElement, _ path: String, _ next: Int) throws(GrammarError) -> Int {
    let required = try names(schema["required"], Self.join(path, "required"))
    guard let properties = schema["properties"], case .object(let members) = properties, !members.isEmpty else {
      if let missing = required.first {
        throw GrammarError(Self.join(path, "required"), "\"\(missing)\" is no property")
      }
      switch schema["additionalProperties"] {
      case .bool(false)?: return try builder.literal("{}", next)
      case nil, .bool(true)?: return try builder.call(try builder.object(), next)
      case let others?:
        let element = try rule(others, Self.join(path, "additionalProperties"))
        return try builder.map(
          { (builder: inout GrammarBuilder, next: Int) throws(GrammarError) -> Int in try builder.call(element, next) },
          next)
      }
    }
    for name in required where !members.contains(where: { $0.key == name }) {
      throw GrammarError(Self.join(path, "required"), "\"\(name)\" is no property")
    }
    // From the last to the first, for both cases: something stands before, or nothing does yet.
    let end = try builder.literal("}", next)
    var (first, later) = (end, end)
    for member in members.reversed() {
      let place = Self.join(path, "properties." + member.key)
      let value = try self.value(member.value, place, later)
      let written = try builder.key(Self.text(.string(member.key)), value)
      let follows = try builder.comma(written)
      let isRequired = required.contains(member.key)
      (first, later) = (
        isRequired ? written : try builder.add(.split([written, first])),
        isRequired ? follows : try builder.add(.split([follows, later]))
      )
    }
    return try builder.literal("{", first)
  }

  private mutating func enumeration(
    _ options: JSONElement, _ schema: JSONElement, _ keywords: Set<String>, _ path: String, _ next: Int
  ) throws(GrammarError) -> Int {
    try require(keywords, ["enum", "type"], path)
    guard case .array(let values) = options, !values.isEmpty, values.count <= 1000 else {
      throw GrammarError(Self.join(path, "enum"), "expected a list of 1 to 1000 values")
    }
    var places: [Int] = []
    for value in values { places.append(try builder.literal(Self.text(value), next)) }
    return try builder.add(.split(places))
  }

  private mutating func alternatives(_ options: JSONElement, _ path: String, _ next: Int) throws(GrammarError) -> Int {
    guard case .array(let schemas) = options, !schemas.isEmpty, schemas.count <= 100 else {
      throw GrammarError(path, "expected a list of 1 to 100 schemas")
    }
    var places: [Int] = []
    for (index, schema) in schemas.enumerated() { places.append(try value(schema, path + "[\(index)]", next)) }
    return try builder.add(.split(places))
  }

  /// "#/$defs/name", and "#" for the whole.
  private mutating func reference(
    _ reference: JSONElement, _ keywords: Set<String>, _ path: String, _ next: Int
  ) throws(GrammarError) -> Int {
    try require(keywords, ["$ref"], path)
    guard case .string(let text) = reference, text.hasPrefix("#") else {
      throw GrammarError(Self.join(path, "$ref"), "only references into the schema itself are followed")
    }
    var target = root
    for part in text.dropFirst().split(separator: "/") {
      let key = String(part).replacing("~1", with: "/").replacing("~0", with: "~")
      guard let found = target[key] else { throw GrammarError(Self.join(path, "$ref"), "\(text) leads nowhere") }
      target = found
    }
    let place = try namedRule(text, target)
    return try builder.call(place, next)
  }

  /// A schema as a rule of its own.
  private mutating func rule(_ schema: JSONElement, _ path: String) throws(GrammarError) -> Int {
    try namedRule("at " + path, schema)
  }

  private var known: [String: Int] = [:]

  private mutating func namedRule(_ name: String, _ schema: JSONElement) throws(GrammarError) -> Int {
    if let place = known[name] { return place }
    // Known before it is made, so that it may contain itself.
    let entry = try builder.add(.split([]))
    known[name] = entry
    let leave = try builder.add(.leave)
    builder.set(entry, .split([try value(schema, name, leave)]))
    return entry
  }

  /// - Throws: When there are keywords that are not enforced here.
  private func require(_ keywords: Set<String>, _ known: Set<String>, _ path: String) throws(GrammarError) {
    if let stranger = keywords.subtracting(known).min() {
      throw GrammarError(Self.join(path, stranger), "this keyword cannot be enforced here")
    }
  }

  private func count(_ schema: JSONElement, _ keyword: String, _ path: String) throws(GrammarError) -> Int? {
    guard let value = schema[keyword] else { return nil }
    guard case .number(let text) = value, let count = Int(text), (0...10_000).contains(count) else {
      throw GrammarError(Self.join(path, keyword), "expected a whole number from 0 to 10000")
    }
    return count
  }

  private func names(_ value: JSONElement?, _ path: String) throws(GrammarError) -> [String] {
    guard let value else { return [] }
    guard case .array(let elements) = value else { throw GrammarError(path, "expected a list of names") }
    var names: [String] = []
    for element in elements {
      guard case .string(let name) = element else { throw GrammarError(path, "expected a list of names") }
      names.append(name)
    }
    return names
  }

  private static func join(_ path: String, _ name: String) -> String { path.isEmpty ? name : path + "." + name }

  /// A value as it is to be written.
  private static func text(_ value: JSONElement) -> String { String(decoding: value.bytes, as: UTF8.self) }
}
