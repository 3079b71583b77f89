/// `'{}'.format(value)`, with the fields, conversions and specifications of Python's format
/// language that make sense for a template's values.
extension Evaluator {
  func braceFormat(_ format: String, _ arguments: CallArguments) throws(TemplateError) -> String {
    var automatic: Int? = 0
    return try braceFormat(Array(format.unicodeScalars), arguments, &automatic, level: 0)
  }

  private func braceFormat(
    _ scalars: [Unicode.Scalar], _ arguments: CallArguments, _ automatic: inout Int?, level: Int
  ) throws(TemplateError) -> String {
    guard level < 2 else { throw TemplateError(.value, "a format is nested too deep") }
    var result = ""
    var index = 0
    while index < scalars.count {
      let scalar = scalars[index]
      index += 1
      guard scalar == "{" || scalar == "}" else {
        result.unicodeScalars.append(scalar)
        continue
      }
      if index < scalars.count, scalars[index] == scalar {
        result.unicodeScalars.append(scalar)
        index += 1
        continue
      }
      guard scalar == "{" else { throw TemplateError(.value, "the format has a '}' alone") }
      var depth = 1
      let start = index
      while index < scalars.count, depth > 0 {
        if scalars[index] == "{" { depth += 1 }
        if scalars[index] == "}" { depth -= 1 }
        index += 1
      }
      guard depth == 0 else { throw TemplateError(.value, "the format has a '{' without '}'") }
      let field = Array(scalars[start..<(index - 1)])
      result += try replacement(field, arguments, &automatic, level: level)
      try charge(bytes: result.utf8.count)
    }
    return result
  }

  private func replacement(
    _ field: [Unicode.Scalar], _ arguments: CallArguments, _ automatic: inout Int?, level: Int
  ) throws(TemplateError) -> String {
    var nameEnd = 0
    var brackets = 0
    while nameEnd < field.count {
      if field[nameEnd] == "[" { brackets += 1 }
      if field[nameEnd] == "]" { brackets -= 1 }
      if brackets <= 0, field[nameEnd] == ":" || field[nameEnd] == "!" { break }
      nameEnd += 1
    }
    var value = try lookUp(Array(field[..<nameEnd]), arguments, &automatic)
    var rest = field[nameEnd...]
    if rest.first == "!" {
      rest.removeFirst()
      guard let conversion = rest.popFirst(), rest.isEmpty || rest.first == ":" else {
        throw TemplateError(.value, "expected a conversion after '!' in the format")
      }
      switch conversion {
      case "s": value = .string(try string(value))
      case "r", "a":
        value = .string(try PythonPrinter.representation(value, budget: limits.outputBytes))
      default: throw TemplateError(.value, "a format has no conversion '!\(conversion)'")
      }
    }
    if rest.first == ":" { rest.removeFirst() }
    let specification = try braceFormat(Array(rest), arguments, &automatic, level: level + 1)
    if specification.isEmpty { return try string(value) }
    return try formatted(value, FormatSpecification(specification))
  }

  /// Finds what `name.attribute[key]` stands for among the arguments.
  private func lookUp(
    _ path: [Unicode.Scalar], _ arguments: CallArguments, _ automatic: inout Int?
  ) throws(TemplateError) -> Value {
    let firstEnd = path.firstIndex { $0 == "." || $0 == "[" } ?? path.count
    let first = String(scalars: path[..<firstEnd])
    var value: Value
    if first.isEmpty || first.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) {
      let place: Int
      if first.isEmpty {
        guard let next = automatic else {
          throw TemplateError(.value, "a format numbers its fields either all or none")
        }
        place = next
        automatic = next + 1
      } else {
        if let automatic, automatic > 0 {
          throw TemplateError(.value, "a format numbers its fields either all or none")
        }
        automatic = nil
        place = Int(first) ?? .max
      }
      guard place < arguments.positional.count else {
        throw TemplateError(.value, "the format has no value for its field \(place)")
      }
      value = arguments.positional[place]
    } else {
      guard let named = arguments.named.first(where: { $0.name.isSameText(as: first) }) else {
        throw TemplateError(.value, "the format has no value for its field '\(first)'")
      }
      value = named.value
    }
    var index = firstEnd
    while index < path.count {
      let isAttribute = path[index] == "."
      index += 1
      let end =
        isAttribute
        ? path[index...].firstIndex { $0 == "." || $0 == "[" } ?? path.count
        : path[index...].firstIndex(of: "]") ?? path.count
      let part = String(scalars: path[index..<end])
      guard !part.isEmpty, isAttribute || end < path.count else {
        throw TemplateError(.value, "a field of the format has an empty part")
      }
      if isAttribute {
        value = try attribute(part, of: value)
      } else {
        value = try item(Int(part).map { .integer($0) } ?? .string(part), of: value)
      }
      index = isAttribute ? end : end + 1
    }
    return value
  }

  private func formatted(
    _ value: Value, _ specification: FormatSpecification?
  ) throws(TemplateError) -> String {
    guard let specification else { throw TemplateError(.value, "a format specification is malformed") }
    // A truth value is a text unless the specification asks for a number.
    let isWhole = if case .boolean = value { specification.type != nil } else { value.wholeNumber != nil }
    var text = value.text
    if text == nil, value.number == nil || (!isWhole && value.wholeNumber != nil) {
      text = try string(value)
    }
    if let text {
      guard specification.type == nil || specification.type == "s", specification.sign == nil else {
        throw TemplateError(.value, "a text takes no such format specification")
      }
      let kept = specification.precision.map { String(scalars: text.unicodeScalars.prefix($0)) }
      return try aligned("", kept ?? text, specification, standard: "<")
    }
    if let whole = value.wholeNumber, specification.type.map({ "bcdoxXn".unicodeScalars.contains($0) }) ?? true {
      guard specification.precision == nil else {
        throw TemplateError(.value, "a whole number takes no precision in a format")
      }
      return try aligned(whole, specification)
    }
    guard let number = value.number else { return "" }
    return try aligned(number, specification)
  }

  private func aligned(
    _ whole: Int, _ specification: FormatSpecification
  ) throws(TemplateError) -> String {
    if specification.type == "c" {
      guard let scalar = UInt32(exactly: whole).flatMap(Unicode.Scalar.init) else {
        throw TemplateError(.value, "\(whole) is not a character")
      }
      return try aligned("", String(scalar), specification, standard: "<")
    }
    let radix =
      switch specification.type {
      case "b": 2
      case "o": 8
      case "x", "X": 16
      default: 10
      }
    let digits = String(whole.magnitude, radix: radix, uppercase: specification.type == "X")
    let prefix = specification.isAlternate && radix != 10 ? "0\(specification.type ?? "d")" : ""
    let sign = specification.signText(whole < 0)
    return try aligned(
      sign + prefix, specification.grouped(digits, every: radix == 10 ? 3 : 4), specification,
      standard: ">")
  }

  private func aligned(
    _ number: Double, _ specification: FormatSpecification
  ) throws(TemplateError) -> String {
    let precision = specification.precision ?? 6
    guard precision <= 1000 else {
      throw TemplateError(.limit, "a precision of \(precision) exceeds the limit of 1000")
    }
    let magnitude = number.magnitude
    var digits: String
    switch specification.type {
    case "f", "F": digits = PythonNumber.fixed(magnitude, places: precision)
    case "%": digits = PythonNumber.fixed(magnitude * 100, places: precision) + "%"
    case "e", "E": digits = PythonNumber.exponential(magnitude, places: precision)
    case "g", "G", "n": digits = PythonNumber.general(magnitude, digits: max(1, precision))
    case nil:
      digits =
        specification.precision.map { PythonNumber.general(magnitude, digits: max(1, $0)) }
        ?? PythonNumber.representation(magnitude)
      // Without a type Python keeps one digit after the point.
      if specification.precision != nil, digits.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) {
        digits += ".0"
      }
    default: throw TemplateError(.value, "a number takes no such format specification")
    }
    if let type = specification.type, "FEG".unicodeScalars.contains(type) {
      digits = digits.uppercased()
    }
    let sign = specification.signText(number.sign == .minus && !number.isNaN)
    return try aligned(
      sign, specification.grouped(digits, every: 3), specification, standard: ">")
  }

  private func aligned(
    _ prefix: String, _ text: String, _ specification: FormatSpecification,
    standard: Unicode.Scalar
  ) throws(TemplateError) -> String {
    let length = prefix.unicodeScalars.count + text.unicodeScalars.count
    guard specification.width > length else { return prefix + text }
    let missing = specification.width - length
    let fill = String(specification.fill)
    try charge(bytes: specification.width.multipliedReportingOverflow(by: 4).partialValue)
    let align = specification.alignment ?? (specification.fillsZeros && standard == ">" ? "=" : standard)
    switch align {
    case "<": return prefix + text + String(repeating: fill, count: missing)
    case "^":
      return String(repeating: fill, count: missing / 2) + prefix + text
        + String(repeating: fill, count: missing - missing / 2)
    case "=": return prefix + String(repeating: fill, count: missing) + text
    default: return String(repeating: fill, count: missing) + prefix + text
    }
  }
}

/// `[[fill]align][sign][#][0][width][,][.precision][type]`.
private struct FormatSpecification {
  var fill: Unicode.Scalar = " "
  var alignment: Unicode.Scalar?
  var sign: Unicode.Scalar?
  var isAlternate = false
  var fillsZeros = false
  var width = 0
  var grouping: Unicode.Scalar?
  var precision: Int?
  var type: Unicode.Scalar?

  init?(_ text: String) {
    let scalars = Array(text.unicodeScalars)
    let alignments: [Unicode.Scalar] = ["<", ">", "^", "="]
    var index = 0
    if scalars.count > 1, alignments.contains(scalars[1]) {
      fill = scalars[0]
      alignment = scalars[1]
      index = 2
    } else if let first = scalars.first, alignments.contains(first) {
      alignment = first
      index = 1
    }
    func peek() -> Unicode.Scalar? { index < scalars.count ? scalars[index] : nil }
    if let next = peek(), next == "+" || next == "-" || next == " " {
      sign = next
      index += 1
    }
    if peek() == "#" {
      isAlternate = true
      index += 1
    }
    if peek() == "0" {
      fillsZeros = true
      if alignment == nil { fill = "0" }
      index += 1
    }
    guard let width = try? FormatField.number(scalars, &index) ?? 0 else { return nil }
    self.width = width
    if let next = peek(), next == "," || next == "_" {
      grouping = next
      index += 1
    }
    if peek() == "." {
      index += 1
      guard let precision = (try? FormatField.number(scalars, &index)) ?? nil else { return nil }
      self.precision = precision
    }
    if let next = peek() {
      type = next
      index += 1
    }
    guard index == scalars.count else { return nil }
  }

  func signText(_ isNegative: Bool) -> String {
    isNegative ? "-" : sign == "+" ? "+" : sign == " " ? " " : ""
  }

  /// Puts separators between groups of the digits before the point.
  func grouped(_ digits: String, every size: Int) -> String {
    guard let grouping else { return digits }
    let end = digits.firstIndex { !$0.isHexDigit } ?? digits.endIndex
    var result = ""
    for (index, digit) in digits[..<end].reversed().enumerated() {
      if index > 0, index % size == 0 { result.unicodeScalars.insert(grouping, at: result.startIndex) }
      result.insert(digit, at: result.startIndex)
    }
    return result + digits[end...]
  }
}
