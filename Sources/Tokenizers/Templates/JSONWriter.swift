/// Writes values as Python's `json.dumps` does, which is what `tojson` is in chat templates: no
/// escaping for HTML, characters beyond ASCII as they are.
struct JSONWriter {
  let escapesNonASCII: Bool
  /// What one level is indented by; nil for everything on one line.
  let indent: String?
  let itemSeparator: String
  let keySeparator: String
  let sortsKeys: Bool
  private var budget: Int
  private var output = ""

  init(
    escapesNonASCII: Bool, indent: String?, itemSeparator: String, keySeparator: String,
    sortsKeys: Bool, budget: Int
  ) {
    self.escapesNonASCII = escapesNonASCII
    self.indent = indent
    self.itemSeparator = itemSeparator
    self.keySeparator = keySeparator
    self.sortsKeys = sortsKeys
    self.budget = budget
  }

  mutating func text(of value: Value) throws(TemplateError) -> String {
    try write(value, level: 0)
    return output
  }

  private mutating func write(_ text: String) throws(TemplateError) {
    budget -= text.utf8.count
    if budget < 0 { throw TemplateError(.limit, "a JSON text is longer than the output may be") }
    output += text
  }

  private mutating func write(_ value: Value, level: Int) throws(TemplateError) {
    switch value {
    case .none: try write("null")
    case .boolean(let value): try write(value ? "true" : "false")
    case .integer(let number): try write(String(number))
    case .double(let number): try write(Self.text(number))
    case .string(let text), .markup(let text): try write(quoted(text))
    case .list(let elements), .tuple(let elements):
      try write(elements.values.count, "[", "]", level) {
        (writer: inout JSONWriter, index: Int) throws(TemplateError) in
        try writer.write(elements.values[index], level: level + 1)
      }
    case .dictionary(let entries):
      let pairs = try ordered(entries)
      try write(pairs.count, "{", "}", level) {
        (writer: inout JSONWriter, index: Int) throws(TemplateError) in
        try writer.write(writer.quoted(try Self.key(pairs[index].key)))
        try writer.write(writer.keySeparator)
        try writer.write(pairs[index].value, level: level + 1)
      }
    case .undefined(let undefined):
      throw TemplateError(.type, "tojson does not take an undefined value: \(undefined.message)")
    default: throw TemplateError(.type, "tojson does not take a value of type \(value.typeName)")
    }
  }

  private mutating func write(
    _ count: Int, _ open: String, _ close: String, _ level: Int,
    _ element: (inout JSONWriter, Int) throws(TemplateError) -> Void
  ) throws(TemplateError) {
    try write(open)
    guard count > 0 else { return try write(close) }
    for index in 0..<count {
      if index > 0 { try write(itemSeparator) }
      try breakLine(level + 1)
      try element(&self, index)
    }
    try breakLine(level)
    try write(close)
  }

  private mutating func breakLine(_ level: Int) throws(TemplateError) {
    guard let indent else { return }
    let size = indent.utf8.count.multipliedReportingOverflow(by: level)
    guard !size.overflow, size.partialValue <= budget else {
      throw TemplateError(.limit, "a JSON text is longer than the output may be")
    }
    try write("\n" + String(repeating: indent, count: level))
  }

  private func ordered(_ entries: Entries) throws(TemplateError) -> [(key: Value, value: Value)] {
    guard sortsKeys else { return entries.pairs }
    var keyed: [(key: Value, value: Value, text: String)] = []
    for pair in entries.pairs { keyed.append((pair.key, pair.value, try Self.key(pair.key))) }
    return keyed.sorted { $0.text.precedes($1.text) }.map { ($0.key, $0.value) }
  }

  private static func text(_ number: Double) -> String {
    if number.isNaN { return "NaN" }
    if number.isInfinite { return number < 0 ? "-Infinity" : "Infinity" }
    return PythonNumber.representation(number)
  }

  private static func key(_ value: Value) throws(TemplateError) -> String {
    switch value {
    case .string(let text), .markup(let text): return text
    case .none: return "null"
    case .boolean(let value): return value ? "true" : "false"
    case .integer(let number): return String(number)
    case .double(let number): return text(number)
    default:
      throw TemplateError(.type, "a key of type \(value.typeName) cannot be written as JSON")
    }
  }

  private func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\r": result += "\\r"
      case "\t": result += "\\t"
      case "\u{08}": result += "\\b"
      case "\u{0C}": result += "\\f"
      default:
        if scalar.value < 0x20 || (escapesNonASCII && scalar.value > 0x7E) {
          for unit in String(scalar).utf16 {
            let digits = String(unit, radix: 16)
            result += "\\u" + String(repeating: "0", count: 4 - digits.utf8.count) + digits
          }
        } else {
          result.unicodeScalars.append(scalar)
        }
      }
    }
    return result + "\""
  }
}

extension Evaluator {
  /// The filter `tojson`.
  func json(_ value: Value, _ arguments: CallArguments) throws(TemplateError) -> String {
    let bound = try arguments.bind(
      "tojson", ["ensure_ascii", "indent", "separators", "sort_keys"])
    var indent: String?
    if let given = bound[1], !given.isNone {
      if let text = given.text {
        indent = text
      } else {
        let width = max(0, try whole(given, 0, "tojson"))
        try charge(bytes: width)
        indent = String(repeating: " ", count: width)
      }
    }
    var separators = [indent == nil ? ", " : ",", ": "]
    if let given = bound[2], !given.isNone {
      separators = try elements(of: given, use: "take separators from").compactMap(\.text)
      guard separators.count == 2 else {
        throw TemplateError(.value, "tojson needs two texts as separators")
      }
    }
    var writer = JSONWriter(
      escapesNonASCII: bound[0]?.isTrue ?? false, indent: indent, itemSeparator: separators[0],
      keySeparator: separators[1], sortsKeys: bound[3]?.isTrue ?? false,
      budget: limits.outputBytes)
    let text = try writer.text(of: value)
    try charge(text.utf8.count >> 3)
    return text
  }
}
