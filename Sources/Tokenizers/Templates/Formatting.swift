/// Python's two ways to fill values into a text: `'%s' % value` and `'{}'.format(value)`.
extension Evaluator {
  /// The filter `format`, which is the operator `%`.
  func format(_ value: Value, _ arguments: CallArguments) throws(TemplateError) -> Value {
    let text = try string(value)
    guard arguments.positional.isEmpty || arguments.named.isEmpty else {
      throw TemplateError(.type, "format takes either unnamed or named arguments")
    }
    if arguments.named.isEmpty {
      return like(value, try percentFormat(text, .tuple(try Elements(arguments.positional))))
    }
    let pairs: [(key: Value, value: Value)] = arguments.named.map { (.string($0.name), $0.value) }
    return like(value, try percentFormat(text, .dictionary(try Entries(pairs))))
  }

  /// `format % values`.
  func percentFormat(_ format: String, _ values: Value) throws(TemplateError) -> String {
    var remaining: [Value] = [values]
    if case .tuple(let elements) = values { remaining = elements.values }
    var queue = remaining[...]
    var usesNames = false
    func take() throws(TemplateError) -> Value {
      guard let value = queue.popFirst() else {
        throw TemplateError(.type, "there are fewer values than places in the format")
      }
      return value
    }
    let scalars = Array(format.unicodeScalars)
    var result = ""
    var index = 0
    while index < scalars.count {
      guard scalars[index] == "%" else {
        result.unicodeScalars.append(scalars[index])
        index += 1
        continue
      }
      index += 1
      var named: Value?
      if index < scalars.count, scalars[index] == "(" {
        guard let end = scalars[index...].firstIndex(of: ")") else {
          throw TemplateError(.value, "the format has '%(' without ')'")
        }
        let key = String(scalars: scalars[(index + 1)..<end])
        if case .undefined(let undefined) = values { throw undefined.error }
        guard case .dictionary(let entries) = values else {
          throw TemplateError(.type, "the format needs a mapping, found \(values.typeName)")
        }
        guard let value = entries[key] else {
          throw TemplateError(.value, "the mapping has no '\(key)' for the format")
        }
        named = value
        usesNames = true
        index = end + 1
      }
      var field = FormatField()
      while index < scalars.count, field.takeFlag(scalars[index]) { index += 1 }
      func number() throws(TemplateError) -> Int? {
        if index < scalars.count, scalars[index] == "*" {
          index += 1
          return try whole(try take(), 0, "format")
        }
        return try FormatField.number(scalars, &index)
      }
      if let width = try number() {
        field.width = width
        if width < 0 {
          field.width = width == .min ? .max : -width
          field.alignsLeft = true
        }
      }
      if index < scalars.count, scalars[index] == "." {
        index += 1
        field.precision = max(0, try number() ?? 0)
      }
      while index < scalars.count, "hlL".unicodeScalars.contains(scalars[index]) { index += 1 }
      guard index < scalars.count else { throw TemplateError(.value, "the format ends within a place") }
      let conversion = scalars[index]
      index += 1
      if conversion == "%" {
        result += "%"
        continue
      }
      let value: Value
      if let named { value = named } else { value = try take() }
      result += try self.text(value, conversion, field)
      try charge(bytes: result.utf8.count)
    }
    if !usesNames, !queue.isEmpty {
      if case .tuple = values {
        throw TemplateError(.type, "there are more values than places in the format")
      }
      // Python lets a single value that finds no place pass if it can be indexed, as a mapping can.
      switch values {
      case .dictionary, .list, .range, .undefined: break
      default: throw TemplateError(.type, "there are more values than places in the format")
      }
    }
    return result
  }

  private func text(
    _ value: Value, _ conversion: Unicode.Scalar, _ field: FormatField
  ) throws(TemplateError) -> String {
    switch conversion {
    case "s", "r", "a":
      var text =
        conversion == "s"
        ? try string(value)
        : try PythonPrinter.representation(value, budget: limits.outputBytes)
      if let precision = field.precision {
        text = String(scalars: text.unicodeScalars.prefix(precision))
      }
      return try padded("", text, field, allowsZeros: false)
    case "c":
      if let text = value.text, text.unicodeScalars.count == 1 {
        return try padded("", text, field, allowsZeros: false)
      }
      guard let code = value.wholeNumber, let scalar = UInt32(exactly: code).flatMap(Unicode.Scalar.init)
      else { throw TemplateError(.type, "'%c' needs a character") }
      return try padded("", String(scalar), field, allowsZeros: false)
    case "d", "i", "u", "x", "X", "o":
      let radix = conversion == "o" ? 8 : conversion == "x" || conversion == "X" ? 16 : 10
      if case .undefined(let undefined) = value { throw undefined.error }
      var whole = value.wholeNumber
      if radix == 10, case .double(let number) = value, number.isFinite {
        whole = Int(exactly: number.rounded(.towardZero))
      }
      guard let whole else {
        throw TemplateError(.type, "'%\(conversion)' needs a number, found \(value.typeName)")
      }
      var digits = String(whole.magnitude, radix: radix, uppercase: conversion == "X")
      if let precision = field.precision, digits.count < precision {
        try charge(bytes: precision)
        digits = String(repeating: "0", count: precision - digits.count) + digits
      }
      let prefix = field.isAlternate && radix != 10 ? (radix == 8 ? "0o" : "0\(conversion)") : ""
      return try padded(field.sign(whole < 0) + prefix, digits, field, allowsZeros: true)
    case "f", "F", "e", "E", "g", "G":
      if case .undefined(let undefined) = value { throw undefined.error }
      guard let number = value.number else {
        throw TemplateError(.type, "'%\(conversion)' needs a number, found \(value.typeName)")
      }
      return try floating(number, conversion, field)
    default:
      throw TemplateError(.value, "'%\(conversion)' is not a place that a format can have")
    }
  }

  private func floating(
    _ number: Double, _ conversion: Unicode.Scalar, _ field: FormatField
  ) throws(TemplateError) -> String {
    let precision = field.precision ?? 6
    guard precision <= 1000 else {
      throw TemplateError(.limit, "a precision of \(precision) exceeds the limit of 1000")
    }
    var digits: String
    switch conversion {
    case "f", "F": digits = PythonNumber.fixed(number.magnitude, places: precision)
    case "e", "E": digits = PythonNumber.exponential(number.magnitude, places: precision)
    default:
      digits = PythonNumber.general(
        number.magnitude, digits: max(1, precision), keepsZeros: field.isAlternate)
    }
    if "FEG".unicodeScalars.contains(conversion) { digits = digits.uppercased() }
    let isNegative = number.sign == .minus && !number.isNaN
    return try padded(field.sign(isNegative), digits, field, allowsZeros: true)
  }

  private func padded(
    _ prefix: String, _ text: String, _ field: FormatField, allowsZeros: Bool
  ) throws(TemplateError) -> String {
    let length = prefix.unicodeScalars.count + text.unicodeScalars.count
    guard field.width > length else { return prefix + text }
    try charge(bytes: field.width)
    let missing = field.width - length
    if field.alignsLeft { return prefix + text + String(repeating: " ", count: missing) }
    if field.fillsZeros, allowsZeros {
      return prefix + String(repeating: "0", count: missing) + text
    }
    return String(repeating: " ", count: missing) + prefix + text
  }
}

/// Flags, width and precision of a place in a `%` format.
struct FormatField {
  var alignsLeft = false
  var fillsZeros = false
  var showsPlus = false
  var showsSpace = false
  var isAlternate = false
  var width = 0
  var precision: Int?

  /// Takes `scalar` if it is a flag.
  mutating func takeFlag(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar {
    case "-": alignsLeft = true
    case "0": fillsZeros = true
    case "+": showsPlus = true
    case " ": showsSpace = true
    case "#": isAlternate = true
    default: return false
    }
    return true
  }

  func sign(_ isNegative: Bool) -> String {
    isNegative ? "-" : showsPlus ? "+" : showsSpace ? " " : ""
  }

  /// Reads digits at `index`.
  static func number(
    _ scalars: [Unicode.Scalar], _ index: inout Int
  ) throws(TemplateError) -> Int? {
    var value: Int?
    while index < scalars.count, scalars[index].isDecimalDigit {
      let digit = Int(scalars[index].value) - 0x30
      value = (value ?? 0) * 10 + digit
      if let value, value > 1 << 40 {
        throw TemplateError(.limit, "a width in a format is too large")
      }
      index += 1
    }
    return value
  }
}
