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
    return try compiler.builder.built(from: start).withoutDeadEnds()
  }
}

/// Turns a schema into a program.
struct SchemaCompiler {
  let root: JSONElement
  var builder = GrammarBuilder()
  private var depth = 0

  init(root: JSONElement) { self.root = root }

  private var joining: SchemaJoining { SchemaJoining(root: root) }

  /// The program of a schema, and then `next`.
  mutating func value(_ schema: JSONElement, _ path: String, _ next: Int) throws(GrammarError) -> Int {
    depth += 1
    defer { depth -= 1 }
    guard depth <= 64 else { throw GrammarError(path, "the schema is nested more than 64 levels deep") }
    if schema == .bool(true) { return try builder.call(try builder.value(), next) }
    guard case .object(let members) = schema else {
      throw GrammarError(path, "expected a schema, found \(schema.kindName)")
    }
    var keywords = Set(members.map(\.key)).subtracting(SchemaJoining.annotations)
    if keywords == ["$ref"], let reference = schema["$ref"] { return try self.reference(reference, path, next) }
    let schema = try joining.flat(schema, path)
    if schema == .bool(true) { return try builder.call(try builder.value(), next) }
    keywords = Set(schema.keys).subtracting(SchemaJoining.annotations)
    for keyword in ["anyOf", "oneOf"] {
      if let options = schema[keyword] { return try alternatives(options, keyword, schema, path, next) }
    }
    if let options = schema["enum"] {
      guard case .array(let values) = options, !values.isEmpty, values.count <= 1000 else {
        throw GrammarError(Self.join(path, "enum"), "expected a list of 1 to 1000 values")
      }
      return try constants(values, "enum", schema, path, next)
    }
    if let constant = schema["const"] { return try constants([constant], "const", schema, path, next) }
    guard let type = schema["type"] else {
      if keywords.isEmpty { return try builder.call(try builder.value(), next) }
      // What says something about values of one sort only lets all others pass; of these, none is written.
      let types = ["object", "array", "string", "number"].filter {
        keywords.isSubset(of: Self.keywords[$0] ?? [])
      }
      guard types.count == 1 else { throw GrammarError(path, "type is missing") }
      return try typed(types[0], schema, keywords, path, next)
    }
    if case .string(let name) = type { return try typed(name, schema, keywords, path, next) }
    let types = SchemaJoining.types(type)
    guard case .array(let elements) = type, !types.isEmpty, types.count == elements.count else {
      throw GrammarError(Self.join(path, "type"), "expected the name of a type or a list of them")
    }
    try require(keywords, types.reduce(into: Set(["type"])) { $0.formUnion(Self.keywords[$1] ?? []) }, path)
    var places: [Int] = []
    for type in types {
      // Each type is held to the keywords that are about it.
      let own = keywords.intersection(Self.keywords[type] ?? []).union(["type"])
      places.append(try typed(type, schema, own, path, next))
    }
    return try builder.add(.split(places))
  }

  private static let bounds: Set<String> = [
    "type", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
  ]
  private static let keywords: [String: Set<String>] = [
    "object": ["type", "properties", "required", "additionalProperties"],
    "array": ["type", "items", "minItems", "maxItems", "prefixItems", "uniqueItems"],
    "string": ["type", "minLength", "maxLength", "format", "pattern"], "number": bounds, "integer": bounds,
    "boolean": ["type"], "null": ["type"],
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
    case "number", "integer":
      var range = try NumberRange(schema, path)
      if type == "integer" { range.fractionDigits = 0 }
      if keywords.isSubset(of: ["type"]) {
        return type == "integer" ? try builder.integer(next) : try builder.number(next)
      }
      do throws(GrammarError) { return try builder.number(range, next) } catch {
        throw GrammarError(path, error.message)
      }
    case "boolean":
      return try builder.add(.split([try builder.literal("true", next), try builder.literal("false", next)]))
    default: return try builder.literal("null", next)
    }
  }

  private mutating func string(_ schema: JSONElement, _ path: String, _ next: Int) throws(GrammarError) -> Int {
    let least = try count(schema, "minLength", path) ?? 0
    let most = try count(schema, "maxLength", path)
    if let most, most < least { throw GrammarError(path, "maxLength is below minLength") }
    var (pattern, keyword): (String?, String) = (nil, "pattern")
    if let given = schema["pattern"] {
      guard case .string(let text) = given else { throw GrammarError(Self.join(path, "pattern"), "expected a string") }
      pattern = text
    }
    if let given = schema["format"] {
      guard pattern == nil else {
        throw GrammarError(Self.join(path, "format"), "format does not go with pattern here")
      }
      guard case .string(let name) = given, let found = StringFormats.pattern(name) else {
        throw GrammarError(
          Self.join(path, "format"),
          "\(Self.text(given)) cannot be enforced: expected \(StringFormats.names.joined(separator: ", "))")
      }
      (pattern, keyword) = (found, "format")
    }
    guard let pattern else { return try builder.string(least: least, most: most, next) }
    do throws(GrammarError) {
      let automaton = try PatternAutomaton(try Pattern.parse(pattern).matchingWhole())
      let end = try builder.literal("\"", next)
      return try builder.literal("\"", try automaton.write(into: &builder, least: least, most: most, end))
    } catch { throw GrammarError(Self.join(path, keyword), error.message) }
  }

  private mutating func array(_ schema: JSONElement, _ path: String, _ next: Int) throws(GrammarError) -> Int {
    let least = try count(schema, "minItems", path) ?? 0
    let most = try count(schema, "maxItems", path)
    if let most, most < least { throw GrammarError(path, "maxItems is below minItems") }
    if let unique = schema["uniqueItems"], unique != .bool(false), most.map({ $0 > 1 }) ?? true {
      throw GrammarError(Self.join(path, "uniqueItems"), "this keyword cannot be enforced here")
    }
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

  /// Values as they are written, those of them that the rest of the schema lets pass.
  private mutating func constants(
    _ values: [JSONElement], _ keyword: String, _ schema: JSONElement, _ path: String, _ next: Int
  ) throws(GrammarError) -> Int {
    let rest = schema.without([keyword])
    var checker: GrammarAutomaton?
    if !Set(rest.keys).subtracting(SchemaJoining.annotations).isEmpty {
      var compiler = SchemaCompiler(root: root)
      compiler.depth = depth
      let end = try compiler.builder.add(.leave)
      let start = try compiler.value(rest, path, end)
      checker = GrammarAutomaton(compiler.builder.built(from: start))
    }
    var places: [Int] = []
    for value in values where checker?.accepts(value.bytes) ?? true {
      places.append(try builder.literal(Self.text(value), next))
    }
    guard !places.isEmpty else {
      throw GrammarError(Self.join(path, keyword), "the rest of the schema lets none of these values pass")
    }
    return try builder.add(.split(places))
  }

  /// Schemas of which one holds, each together with what stands beside them.
  private mutating func alternatives(
    _ options: JSONElement, _ keyword: String, _ schema: JSONElement, _ path: String, _ next: Int
  ) throws(GrammarError) -> Int {
    let place = Self.join(path, keyword)
    guard case .array(let schemas) = options, !schemas.isEmpty, schemas.count <= 100 else {
      throw GrammarError(place, "expected a list of 1 to 100 schemas")
    }
    let rest = JSONElement.object(
      (schema.without([keyword]).members ?? []).filter { !SchemaJoining.annotations.contains($0.key) })
    if keyword == "oneOf" {
      // A text may be valid by one of them only.
      for (index, one) in schemas.enumerated() {
        for (earlier, other) in schemas[..<index].enumerated() where !joining.areDisjoint(one, other) {
          throw GrammarError(
            place + "[\(index)]",
            "cannot be told from oneOf[\(earlier)]: expected other types, ranges of numbers without common ones, or a "
              + "required property with other values; anyOf needs none of this")
        }
      }
    }
    var places: [Int] = []
    for (index, option) in schemas.enumerated() {
      let place = place + "[\(index)]"
      if rest == .object([]) {
        places.append(try value(option, place, next))
      } else {
        places.append(try value(try joining.joined(rest, try joining.flat(option, place), place), place, next))
      }
    }
    return try builder.add(.split(places))
  }

  private mutating func reference(_ reference: JSONElement, _ path: String, _ next: Int) throws(GrammarError) -> Int {
    let target = try joining.target(of: reference, path)
    return try builder.call(try namedRule(Self.text(reference), target), next)
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

  private static func join(_ path: String, _ name: String) -> String { SchemaJoining.join(path, name) }

  /// A value as it is to be written.
  private static func text(_ value: JSONElement) -> String { String(decoding: value.bytes, as: UTF8.self) }
}

extension NumberRange {
  /// What a schema's keywords say about numbers.
  ///
  /// - Throws: `GrammarError` with the keyword's place.
  init(_ schema: JSONElement, _ path: String) throws(GrammarError) {
    func number(_ keyword: String) throws(GrammarError) -> DecimalText? {
      guard let value = schema[keyword] else { return nil }
      guard case .number(let text) = value, let number = DecimalText(text) else {
        throw GrammarError(SchemaJoining.join(path, keyword), "expected a number of at most forty digits")
      }
      return number
    }
    low = try number("minimum").map { Bound(value: $0, isExclusive: false) }
    if let bound = try number("exclusiveMinimum"), low.map({ $0.value <= bound }) ?? true {
      low = Bound(value: bound, isExclusive: true)
    }
    high = try number("maximum").map { Bound(value: $0, isExclusive: false) }
    if let bound = try number("exclusiveMaximum"), high.map({ bound <= $0.value }) ?? true {
      high = Bound(value: bound, isExclusive: true)
    }
    guard let multiple = try number("multipleOf") else { return }
    if multiple.whole == [0], multiple.fraction.last == 1, multiple.fraction.dropLast().allSatisfy({ $0 == 0 }) {
      // 0.01: so many digits behind the point.
      fractionDigits = multiple.fraction.count
      return
    }
    let digits = String(decoding: multiple.whole.map { $0 + 0x30 }, as: UTF8.self)
    guard multiple.isWhole, !multiple.isNegative, let divisor = Int(digits), (1...1000).contains(divisor) else {
      throw GrammarError(
        SchemaJoining.join(path, "multipleOf"), "expected a whole number from 1 to 1000, or 0.1, 0.01 and so on")
    }
    self.divisor = divisor
    fractionDigits = 0
  }
}

extension JSONElement {
  fileprivate func without(_ keys: Set<String>) -> JSONElement {
    guard case .object(let members) = self else { return self }
    return .object(members.filter { !keys.contains($0.key) })
  }

  fileprivate var members: [Member]? {
    if case .object(let members) = self { return members }
    return nil
  }
}
