/// The filters a template may name, `value | name(…)`.
enum Filter: String {
  case abs, attr, batch, capitalize, center, count, d, `default`, dictsort, e, escape
  case filesizeformat, first, float, forceescape, format, groupby, indent, int, items, join, last
  case length, list, lower, map, max, min, reject, rejectattr, replace, reverse, round
  case safe, select, selectattr, slice, sort, string, striptags, sum, title, tojson, trim
  case truncate, unique, upper, urlencode, wordcount, wordwrap, xmlattr
}

extension Evaluator {
  func apply(_ call: FilterCall, to value: Value) throws(TemplateError) -> Value {
    guard let filter = call.filter else {
      throw TemplateError(.syntax, "no filter is named '\(call.name)'")
    }
    return try apply(filter, to: value, try evaluate(call.arguments))
  }

  func apply(_ calls: [FilterCall], to start: Value) throws(TemplateError) -> Value {
    var value = start
    for call in calls { value = try apply(call, to: value) }
    return value
  }

  func apply(
    _ filter: Filter, to value: Value, _ arguments: CallArguments
  ) throws(TemplateError) -> Value {
    switch filter {
    case .capitalize, .center, .e, .escape, .forceescape, .format, .indent, .lower, .replace,
      .safe, .string, .striptags, .title, .tojson, .trim, .truncate, .upper, .urlencode,
      .wordcount, .wordwrap, .xmlattr:
      return try applyText(filter, to: value, arguments)
    case .abs, .filesizeformat, .float, .int, .round:
      return try applyNumber(filter, to: value, arguments)
    case .map, .reject, .rejectattr, .select, .selectattr:
      return try applySelection(filter, to: value, arguments)
    default: return try applySequence(filter, to: value, arguments)
    }
  }

  // MARK: Arguments

  /// A whole number among a filter's arguments.
  func whole(
    _ value: Value?, _ standard: Int, _ name: String
  ) throws(TemplateError) -> Int {
    guard let value else { return standard }
    if case .undefined(let undefined) = value { throw undefined.error }
    guard let number = value.wholeNumber else {
      throw TemplateError(.type, "\(name) needs a whole number, found \(value.typeName)")
    }
    return number
  }

  /// A text among a filter's arguments.
  func text(
    _ value: Value?, _ standard: String, _ name: String
  ) throws(TemplateError) -> String {
    guard let value else { return standard }
    guard let text = value.text else {
      throw TemplateError(.type, "\(name) needs a text, found \(value.typeName)")
    }
    return text
  }

  // MARK: Numbers

  private func applyNumber(
    _ filter: Filter, to value: Value, _ arguments: CallArguments
  ) throws(TemplateError) -> Value {
    switch filter {
    case .abs:
      _ = try arguments.bind("abs", [])
      switch value {
      case .double(let number): return .double(number.magnitude)
      case .undefined(let undefined): throw undefined.error
      default:
        guard let number = value.wholeNumber else {
          throw TemplateError(.type, "abs needs a number, found \(value.typeName)")
        }
        return number < 0 ? try signed(.minus, .integer(number)) : .integer(number)
      }
    case .int:
      let bound = try arguments.bind("int", ["default", "base"])
      return try integer(value, bound[0] ?? .integer(0), try whole(bound[1], 10, "int"))
    case .float:
      let bound = try arguments.bind("float", ["default"])
      if case .undefined(let undefined) = value { throw undefined.error }
      let number = value.text.map(PythonNumber.float) ?? value.number
      return number.map { .double($0) } ?? bound[0] ?? .double(0)
    case .round:
      let bound = try arguments.bind("round", ["precision", "method"])
      let places = try whole(bound[0], 0, "round")
      return try round(value, places, try text(bound[1], "common", "round"))
    default:
      let bound = try arguments.bind("filesizeformat", ["binary"])
      if case .undefined(let undefined) = value { throw undefined.error }
      guard let size = value.text.map(PythonNumber.float) ?? value.number, size.isFinite else {
        throw TemplateError(.type, "filesizeformat needs a number, found \(value.typeName)")
      }
      return .string(fileSize(size, isBinary: bound[0]?.isTrue ?? false))
    }
  }

  private func integer(
    _ value: Value, _ standard: Value, _ radix: Int
  ) throws(TemplateError) -> Value {
    switch value {
    case .undefined(let undefined): throw undefined.error
    case .string(let text), .markup(let text):
      if let number = PythonNumber.integer(text, radix: radix) { return .integer(number) }
      guard let number = PythonNumber.float(text), number.isFinite else { return standard }
      return try truncated(number)
    case .double(let number):
      guard number.isFinite else {
        if number.isNaN { return standard }
        throw TemplateError(.value, "int does not take an infinite number")
      }
      return try truncated(number)
    default: return value.wholeNumber.map { .integer($0) } ?? standard
    }
  }

  private func truncated(_ number: Double) throws(TemplateError) -> Value {
    guard let whole = Int(exactly: number.rounded(.towardZero)) else {
      throw TemplateError(.limit, "a number does not fit 64 bits")
    }
    return .integer(whole)
  }

  private func round(
    _ value: Value, _ places: Int, _ method: String
  ) throws(TemplateError) -> Value {
    guard ["common", "ceil", "floor"].contains(method) else {
      throw TemplateError(.value, "round takes the methods common, ceil and floor")
    }
    if case .undefined(let undefined) = value { throw undefined.error }
    guard let number = value.number else {
      throw TemplateError(.type, "round needs a number, found \(value.typeName)")
    }
    if method == "common" {
      guard let whole = value.wholeNumber else {
        return .double(PythonNumber.rounded(number, places: places))
      }
      if places >= 0 { return .integer(whole) }
      guard places > -19 else { return .integer(0) }
      var scale = 1
      for _ in 0..<(-places) { scale *= 10 }
      let remainder = ((whole % scale) + scale) % scale
      let (low, half) = (whole - remainder, scale / 2)
      let goesUp = remainder > half || (remainder == half && low / scale % 2 != 0)
      return .integer(goesUp ? try Self.whole(low.addingReportingOverflow(scale)) : low)
    }
    let scale = PythonNumber.powerOfTen(places)
    let scaled = number * scale
    guard scaled.isFinite, scale > 0 else {
      throw TemplateError(.value, "round cannot take that many places")
    }
    // Python rounds to a whole number here, which has no negative zero.
    return .double((scaled.rounded(method == "ceil" ? .up : .down) + 0) / scale)
  }

  private func fileSize(_ size: Double, isBinary: Bool) -> String {
    let base: Double = isBinary ? 1024 : 1000
    if size == 1 { return "1 Byte" }
    if size < base { return "\(Int(max(size, -1e15))) Bytes" }
    let letters = ["k", "M", "G", "T", "P", "E", "Z", "Y"]
    var unit = base
    var letter = "k"
    for next in letters {
      letter = next
      unit *= base
      if size < unit { break }
    }
    let prefix = isBinary ? (letter == "k" ? "K" : letter) + "iB" : letter + "B"
    return PythonNumber.fixed(base * size / unit, places: 1) + " " + prefix
  }
}
