/// A value while a template runs: what Python would hold, as far as a template can tell.
enum Value {
  case undefined(Undefined)
  case none
  case boolean(Bool)
  case integer(Int)
  case double(Double)
  case string(String)
  /// A text marked as HTML by `safe` or `escape`; adding a plain text to it escapes that text.
  case markup(String)
  case list(Elements)
  case tuple(Elements)
  case dictionary(Entries)
  case range(IntegerRange)
  /// What a dictionary's `keys()`, `values()` and `items()` return.
  case view(EntriesView)
  /// What filters such as `map` and `select` return: passed through once, always true.
  case iterator(ValueIterator)
  case namespace(Namespace)
  case macro(Macro)
  case method(BoundMethod)
  case function(Function)
  case loop(LoopState)
  case cycler(Cycler)
  case joiner(Joiner)
}

/// A value that is not there. It prints as nothing and is false; most other uses are errors, which
/// say `message`.
final class Undefined {
  let message: String
  let kind: TemplateError.Kind

  init(_ message: String, kind: TemplateError.Kind = .undefined) {
    self.message = message
    self.kind = kind
  }

  var error: TemplateError { TemplateError(kind, message) }
}

/// The elements of a list or tuple. They never change: the sandbox forbids it.
final class Elements {
  let values: [Value]
  /// Levels of containers from here down.
  let depth: Int
  /// Names of the elements, for the tuples that `groupby` makes.
  let names: [String]

  /// - Throws: kind `limit` when containers are nested too deep to be walked and freed safely.
  init(_ values: [Value], names: [String] = []) throws(TemplateError) {
    self.values = values
    self.names = names
    depth = try Value.depth(above: values)
  }
}

/// `range(start, stop, step)`, never spelled out until needed.
struct IntegerRange {
  let start: Int
  let step: Int
  let count: Int

  /// Element at `index`, which is below `count`, so that no sum overflows.
  subscript(index: Int) -> Int { start &+ index &* step }
}

/// A dictionary's keys, values or both, as Python shows them.
final class EntriesView {
  enum Kind: String {
    case keys = "dict_keys"
    case values = "dict_values"
    case items = "dict_items"
  }

  let kind: Kind
  let entries: Entries

  init(_ kind: Kind, _ entries: Entries) {
    self.kind = kind
    self.entries = entries
  }

  func values() throws(TemplateError) -> [Value] {
    switch kind {
    case .keys: return entries.pairs.map(\.key)
    case .values: return entries.pairs.map(\.value)
    case .items:
      var items: [Value] = []
      for pair in entries.pairs { items.append(.tuple(try Elements([pair.key, pair.value]))) }
      return items
    }
  }
}

/// A Python generator: yields its values once, computing each when asked.
final class ValueIterator {
  let depth: Int
  private let advance: () throws(TemplateError) -> Value?
  private var isExhausted = false

  init(
    depth: Int, _ advance: @escaping () throws(TemplateError) -> Value?
  ) throws(TemplateError) {
    self.depth = depth
    self.advance = advance
    if depth > TemplateLimits.valueDepth { throw Value.tooDeep }
  }

  /// Yields `values` one by one.
  convenience init(_ values: [Value]) throws(TemplateError) {
    var index = 0
    try self.init(depth: try Value.depth(above: values)) { () throws(TemplateError) -> Value? in
      guard index < values.count else { return nil }
      index += 1
      return values[index - 1]
    }
  }

  func next() throws(TemplateError) -> Value? {
    if isExhausted { return nil }
    do {
      if let value = try advance() { return value }
    } catch {
      isExhausted = true
      throw error
    }
    isExhausted = true
    return nil
  }
}

/// `namespace(…)`: the one thing a template can change.
final class Namespace {
  var attributes: [(name: String, value: Value)] = []

  subscript(name: String) -> Value? {
    attributes.first { $0.name.isSameText(as: name) }?.value
  }

  func set(_ name: String, _ value: Value) {
    if let index = attributes.firstIndex(where: { $0.name.isSameText(as: name) }) {
      attributes[index].value = value
    } else {
      attributes.append((name, value))
    }
  }
}

/// A macro with the names it can see.
final class Macro {
  let definition: MacroDefinition
  /// Emptied when rendering ends, since a scope holds its macros and a macro its scope.
  var scope: Scope?

  init(_ definition: MacroDefinition, scope: Scope) {
    self.definition = definition
    self.scope = scope
  }
}

/// A method with the value it belongs to.
final class BoundMethod {
  let receiver: Value
  let name: String

  init(_ receiver: Value, _ name: String) {
    self.receiver = receiver
    self.name = name
  }
}

/// The functions every template can call.
enum Function: String {
  case range
  case dict
  case namespace
  case cycler
  case joiner
  case raiseException = "raise_exception"
  case strftimeNow = "strftime_now"
}

/// The variable `loop`.
final class LoopState {
  let values: [Value]
  let depth: Int
  /// Nesting of recursive loops, from 0.
  let level: Int
  /// For loops marked `recursive`: what `loop(…)` runs.
  let recursion: (loop: Loop, scope: Scope)?
  var index = 0
  var lastChanged: [Value]?

  init(
    _ values: [Value], level: Int, recursion: (loop: Loop, scope: Scope)?
  ) throws(TemplateError) {
    self.values = values
    self.level = level
    self.recursion = recursion
    depth = try Value.depth(above: values)
  }
}

/// `cycler(…)`.
final class Cycler {
  let values: [Value]
  let depth: Int
  var index = 0

  init(_ values: [Value]) throws(TemplateError) {
    self.values = values
    depth = try Value.depth(above: values)
  }
}

/// `joiner(…)`: prints nothing the first time, the separator afterwards.
final class Joiner {
  let separator: Value
  var isUsed = false

  init(_ separator: Value) { self.separator = separator }
}

/// Names with their values, and the scope around.
final class Scope {
  let parent: Scope?
  var variables: [String: Value] = [:]

  init(_ parent: Scope?) { self.parent = parent }

  /// The value of the innermost variable of that name.
  subscript(name: String) -> Value? {
    var scope: Scope? = self
    while let current = scope {
      if let value = current.variables[name] { return value }
      scope = current.parent
    }
    return nil
  }
}

extension Value {
  /// Levels of containers in this value.
  var depth: Int {
    switch self {
    case .list(let elements), .tuple(let elements): elements.depth
    case .dictionary(let entries): entries.depth
    case .view(let view): view.entries.depth
    case .iterator(let iterator): iterator.depth
    case .loop(let state): state.depth
    case .cycler(let cycler): cycler.depth
    case .method(let method): method.receiver.depth + 1
    case .joiner(let joiner): joiner.separator.depth + 1
    default: 0
    }
  }

  /// Levels of a container that holds `values`.
  static func depth(above values: some Sequence<Value>) throws(TemplateError) -> Int {
    var depth = 0
    for value in values { depth = max(depth, value.depth) }
    if depth >= TemplateLimits.valueDepth { throw tooDeep }
    return depth + 1
  }

  static var tooDeep: TemplateError {
    TemplateError(.limit, "values are nested more than \(TemplateLimits.valueDepth) deep")
  }

  /// A list of `values`.
  static func list(_ values: [Value]) throws(TemplateError) -> Value {
    .list(try Elements(values))
  }

  /// The text of a string, plain or marked as HTML.
  var text: String? {
    switch self {
    case .string(let text), .markup(let text): text
    default: nil
    }
  }

  /// A whole number: integers, and truth values, which Python counts among them.
  var wholeNumber: Int? {
    switch self {
    case .integer(let number): number
    case .boolean(let value): value ? 1 : 0
    default: nil
    }
  }

  /// Any number as floating point.
  var number: Double? {
    if case .double(let number) = self { return number }
    return wholeNumber.map(Double.init)
  }

  /// What Python calls the type, for error messages.
  var typeName: String {
    switch self {
    case .undefined: "Undefined"
    case .none: "NoneType"
    case .boolean: "bool"
    case .integer: "int"
    case .double: "float"
    case .string: "str"
    case .markup: "Markup"
    case .list: "list"
    case .tuple: "tuple"
    case .dictionary: "dict"
    case .range: "range"
    case .view(let view): view.kind.rawValue
    case .iterator: "generator"
    case .namespace: "Namespace"
    case .macro: "Macro"
    case .method: "method"
    case .function: "function"
    case .loop: "LoopContext"
    case .cycler: "Cycler"
    case .joiner: "Joiner"
    }
  }
}

extension Value {
  /// The runtime form of what the caller handed over.
  init(_ value: TemplateValue) throws(TemplateError) {
    switch value {
    case .undefined: self = .undefined(Undefined("the value is undefined"))
    case .none: self = .none
    case .bool(let value): self = .boolean(value)
    case .integer(let value): self = .integer(value)
    case .double(let value): self = .double(value)
    case .string(let value): self = .string(value)
    case .array(let elements):
      var values: [Value] = []
      values.reserveCapacity(elements.count)
      for element in elements { values.append(try Value(element)) }
      self = try .list(values)
    case .object(let entries):
      var pairs: [(key: Value, value: Value)] = []
      pairs.reserveCapacity(entries.count)
      for entry in entries { pairs.append((.string(entry.key), try Value(entry.value))) }
      self = .dictionary(try Entries(pairs))
    }
  }
}
