/// Truth, text and equality of values, as Python has them.
extension Value {
  /// Whether `if` takes the value as true.
  var isTrue: Bool {
    switch self {
    case .undefined, .none: false
    case .boolean(let value): value
    case .integer(let value): value != 0
    case .double(let value): value != 0
    case .string(let text), .markup(let text): !text.isEmpty
    case .list(let elements), .tuple(let elements): !elements.values.isEmpty
    case .dictionary(let entries): !entries.pairs.isEmpty
    case .range(let range): range.count > 0
    case .view(let view): !view.entries.pairs.isEmpty
    case .loop(let state): !state.values.isEmpty
    case .iterator, .namespace, .macro, .method, .function, .cycler, .joiner: true
    }
  }

  var isUndefined: Bool {
    if case .undefined = self { return true }
    return false
  }

  var isNone: Bool {
    if case .none = self { return true }
    return false
  }
}

/// Writes values as Python's `str` and `repr` do, within a budget of bytes.
struct PythonPrinter {
  private(set) var output = ""
  private var budget: Int
  private var depth = 0

  init(budget: Int) { self.budget = budget }

  /// `str(value)`.
  ///
  /// - Throws: kind `limit` when the text gets longer than the budget or a namespace holds itself
  ///   many levels deep.
  static func string(_ value: Value, budget: Int) throws(TemplateError) -> String {
    switch value {
    case .string(let text), .markup(let text): return text
    case .undefined: return ""
    case .integer(let number): return String(number)
    default:
      var printer = PythonPrinter(budget: budget)
      try printer.represent(value)
      return printer.output
    }
  }

  /// `repr(value)`.
  static func representation(_ value: Value, budget: Int) throws(TemplateError) -> String {
    var printer = PythonPrinter(budget: budget)
    try printer.represent(value)
    return printer.output
  }

  private mutating func write(_ text: String) throws(TemplateError) {
    budget -= text.utf8.count
    if budget < 0 { throw TemplateError(.limit, "a printed value is longer than the output may be") }
    output += text
  }

  private mutating func represent(_ value: Value) throws(TemplateError) {
    depth += 1
    defer { depth -= 1 }
    if depth > TemplateLimits.valueDepth + 2 { throw Value.tooDeep }
    switch value {
    case .undefined: try write("Undefined")
    case .none: try write("None")
    case .boolean(let value): try write(value ? "True" : "False")
    case .integer(let number): try write(String(number))
    case .double(let number): try write(PythonNumber.representation(number))
    case .string(let text): try write(Self.quoted(text))
    case .markup(let text): try write("Markup(\(Self.quoted(text)))")
    case .list(let elements): try sequence(elements.values, "[", "]")
    case .tuple(let elements):
      try sequence(elements.values, "(", elements.values.count == 1 ? ",)" : ")")
    case .dictionary(let entries): try dictionary(entries.pairs)
    case .view(let view):
      try write(view.kind.rawValue)
      try sequence(try view.values(), "([", "])")
    case .range(let range):
      let stop = range.start &+ range.count &* range.step
      let step = range.step == 1 ? "" : ", \(range.step)"
      try write("range(\(range.start), \(stop)\(step))")
    case .namespace(let namespace):
      try write("<Namespace ")
      try dictionary(namespace.attributes.map { (.string($0.name), $0.value) })
      try write(">")
    case .macro(let macro): try write("<Macro \(Self.quoted(macro.definition.name))>")
    case .loop(let state): try write("<LoopContext \(state.index + 1)/\(state.values.count)>")
    case .iterator, .method, .function, .cycler, .joiner: try write("<\(value.typeName) object>")
    }
  }

  private mutating func sequence(
    _ values: [Value], _ open: String, _ close: String
  ) throws(TemplateError) {
    try write(open)
    for (index, value) in values.enumerated() {
      if index > 0 { try write(", ") }
      try represent(value)
    }
    try write(close)
  }

  private mutating func dictionary(
    _ pairs: [(key: Value, value: Value)]
  ) throws(TemplateError) {
    try write("{")
    for (index, pair) in pairs.enumerated() {
      if index > 0 { try write(", ") }
      try represent(pair.key)
      try write(": ")
      try represent(pair.value)
    }
    try write("}")
  }

  /// A text in quotes: single ones, unless it holds those and no double ones.
  static func quoted(_ text: String) -> String {
    let quote: Unicode.Scalar =
      text.unicodeScalars.contains("'") && !text.unicodeScalars.contains("\"") ? "\"" : "'"
    var result = String.UnicodeScalarView()
    result.append(quote)
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\\": result.append(contentsOf: "\\\\".unicodeScalars)
      case "\n": result.append(contentsOf: "\\n".unicodeScalars)
      case "\r": result.append(contentsOf: "\\r".unicodeScalars)
      case "\t": result.append(contentsOf: "\\t".unicodeScalars)
      case quote:
        result.append("\\")
        result.append(quote)
      default:
        if isPrintable(scalar) {
          result.append(scalar)
        } else {
          result.append(contentsOf: escape(scalar).unicodeScalars)
        }
      }
    }
    result.append(quote)
    return String(result)
  }

  private static func escape(_ scalar: Unicode.Scalar) -> String {
    let digits = String(scalar.value, radix: 16)
    let (letter, width) =
      scalar.value < 0x100 ? ("x", 2) : scalar.value < 0x10000 ? ("u", 4) : ("U", 8)
    return "\\" + letter + String(repeating: "0", count: width - digits.utf8.count) + digits
  }

  private static func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
    if scalar.value < 0x7F { return scalar.value >= 0x20 }
    switch scalar.properties.generalCategory {
    case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator,
      .paragraphSeparator, .spaceSeparator:
      return false
    default: return true
    }
  }
}
