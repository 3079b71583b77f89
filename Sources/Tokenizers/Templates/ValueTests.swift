/// The tests a template may name, `value is name(…)`.
enum ValueTest: String {
  case odd, even, divisibleby, defined, undefined, filter, test, none, boolean, `false`, `true`
  case integer, float, lower, upper, string, mapping, number, sequence, iterable, callable, sameas
  case escaped, `in`
  case equalSign = "=="
  case eq, equalto
  case notEqualSign = "!="
  case ne
  case greaterSign = ">"
  case gt, greaterthan
  case lessSign = "<"
  case lt, lessthan
  case greaterOrEqualSign = ">="
  case ge
  case lessOrEqualSign = "<="
  case le
}

extension Evaluator {
  func test(_ call: TestCall, _ value: Value) throws(TemplateError) -> Bool {
    guard let test = call.test else {
      throw TemplateError(.syntax, "no test is named '\(call.name)'")
    }
    return try self.test(test, value, try evaluate(call.arguments))
  }

  func test(
    _ test: ValueTest, _ value: Value, _ arguments: CallArguments
  ) throws(TemplateError) -> Bool {
    func other(_ name: String) throws(TemplateError) -> Value {
      try arguments.bind(test.rawValue, [name], required: 1)[0] ?? .none
    }
    switch test {
    case .divisibleby: return try remainder(value, try other("num")) == 0
    case .sameas: return isSame(value, try other("other"))
    case .in: return try contains(try other("seq"), value)
    case .equalSign, .eq, .equalto: return try isEqual(value, try other("b"))
    case .notEqualSign, .ne: return !(try isEqual(value, try other("b")))
    case .greaterSign, .gt, .greaterthan: return try compare(.greater, value, try other("b"))
    case .lessSign, .lt, .lessthan: return try compare(.less, value, try other("b"))
    case .greaterOrEqualSign, .ge: return try compare(.greaterOrEqual, value, try other("b"))
    case .lessOrEqualSign, .le: return try compare(.lessOrEqual, value, try other("b"))
    default:
      _ = try arguments.bind(test.rawValue, [])
      return try simpleTest(test, value)
    }
  }

  private func simpleTest(_ test: ValueTest, _ value: Value) throws(TemplateError) -> Bool {
    switch test {
    case .defined: return !value.isUndefined
    case .undefined: return value.isUndefined
    case .none: return value.isNone
    case .odd: return try remainder(value, .integer(2)) == 1
    case .even: return try remainder(value, .integer(2)) == 0
    case .filter: return value.text.map { Filter(rawValue: $0) != nil } ?? false
    case .test: return value.text.map { ValueTest(rawValue: $0) != nil } ?? false
    case .lower, .upper:
      let text = try string(value)
      try charge(bytes: text.utf8.count)
      return test == .lower ? StringMethods.isLower(text) : StringMethods.isUpper(text)
    case .string: return value.text != nil
    case .number: return value.number != nil
    case .escaped:
      if case .markup = value { return true }
      return false
    default: return typeTest(test, value)
    }
  }

  private func typeTest(_ test: ValueTest, _ value: Value) -> Bool {
    switch (test, value) {
    case (.boolean, .boolean), (.integer, .integer), (.float, .double), (.mapping, .dictionary):
      true
    case (.true, .boolean(let value)): value
    case (.false, .boolean(let value)): !value
    case (.sequence, .string), (.sequence, .markup), (.sequence, .list), (.sequence, .tuple),
      (.sequence, .dictionary), (.sequence, .range):
      true
    // Jinja2 asks for the method that indexing calls, which its undefined values have.
    case (.sequence, .undefined): true
    case (.iterable, .string), (.iterable, .markup), (.iterable, .list), (.iterable, .tuple),
      (.iterable, .dictionary), (.iterable, .range), (.iterable, .view), (.iterable, .iterator),
      (.iterable, .undefined), (.iterable, .loop):
      true
    case (.callable, .macro), (.callable, .method), (.callable, .function), (.callable, .joiner),
      (.callable, .loop), (.callable, .undefined):
      true
    default: false
    }
  }

  private func remainder(_ value: Value, _ divisor: Value) throws(TemplateError) -> Double {
    guard let result = try compute(.modulo, value, divisor).number else {
      throw TemplateError(.type, "expected a number, found \(value.typeName)")
    }
    return result
  }

  /// Whether both are one object. Numbers and texts have no identity of their own here, so equal
  /// ones of the same type count as one, which is what Python's small values do.
  private func isSame(_ left: Value, _ right: Value) -> Bool {
    switch (left, right) {
    case (.list(let a), .list(let b)), (.tuple(let a), .tuple(let b)): a === b
    case (.dictionary(let a), .dictionary(let b)): a === b
    case (.undefined(let a), .undefined(let b)): a === b
    case (.namespace(let a), .namespace(let b)): a === b
    case (.none, .none): true
    case (.boolean(let a), .boolean(let b)): a == b
    case (.integer(let a), .integer(let b)): a == b
    case (.double(let a), .double(let b)): a == b
    case (.string(let a), .string(let b)), (.markup(let a), .markup(let b)): a.isSameText(as: b)
    default: false
    }
  }
}
