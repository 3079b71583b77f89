/// Evaluates expressions.
extension Evaluator {
  func evaluate(_ expression: Expression) throws(TemplateError) -> Value {
    try enter()
    defer { leave() }
    switch expression.form {
    case .none: return .none
    case .boolean(let value): return .boolean(value)
    case .integer(let value): return .integer(value)
    case .double(let value): return .double(value)
    case .string(let text): return .string(text)
    case .name(let name): return lookUp(name)
    case .not(let operand): return .boolean(!(try evaluate(operand).isTrue))
    case .and(let left, let right):
      let value = try evaluate(left)
      return value.isTrue ? try evaluate(right) : value
    case .or(let left, let right):
      let value = try evaluate(left)
      return value.isTrue ? value : try evaluate(right)
    case .attribute(let object, let name): return try attribute(name, of: try evaluate(object))
    case .item(let object, let key): return try item(try evaluate(key), of: try evaluate(object))
    default: return try evaluateComposite(expression)
    }
  }

  /// The forms that need more room on the stack, kept apart so that the common ones need little.
  private func evaluateComposite(_ expression: Expression) throws(TemplateError) -> Value {
    switch expression.form {
    case .list(let elements): return try .list(try evaluate(elements))
    case .tuple(let elements): return .tuple(try Elements(try evaluate(elements)))
    case .dictionary(let entries): return try evaluate(entries)
    case .unary(let sign, let operand): return try signed(sign, try evaluate(operand))
    case .binary(let operation, let left, let right):
      let first = try evaluate(left)
      return try compute(operation, first, try evaluate(right))
    case .comparison(let first, let rest): return try evaluate(first, rest)
    case .concatenation(let parts): return try concatenate(parts)
    case .conditional(let test, let then, let otherwise):
      if try evaluate(test).isTrue { return try evaluate(then) }
      if let otherwise { return try evaluate(otherwise) }
      return .undefined(
        Undefined("the inline if on line \(expression.line) was false and has no else"))
    case .filter(let operand, let call): return try apply(call, to: try evaluate(operand))
    case .test(let operand, let call):
      let value = try evaluate(operand)
      return .boolean(try test(call, value))
    case .slice(let object, let start, let stop, let step):
      return try slice(try evaluate(object), start, stop, step)
    case .call(let callee, let arguments):
      let function = try evaluate(callee)
      let evaluated = try evaluate(arguments)
      line = expression.line
      return try call(function, evaluated)
    default: return .none
    }
  }

  private func evaluate(_ expressions: [Expression]) throws(TemplateError) -> [Value] {
    var values: [Value] = []
    values.reserveCapacity(expressions.count)
    for expression in expressions { values.append(try evaluate(expression)) }
    return values
  }

  private func evaluate(
    _ entries: [(key: Expression, value: Expression)]
  ) throws(TemplateError) -> Value {
    var pairs: [(key: Value, value: Value)] = []
    for entry in entries {
      let key = try evaluate(entry.key)
      pairs.append((key, try evaluate(entry.value)))
    }
    return .dictionary(try Entries(pairs))
  }

  private func evaluate(
    _ first: Expression, _ rest: [(ComparisonOperator, Expression)]
  ) throws(TemplateError) -> Value {
    var left = try evaluate(first)
    for (comparison, operand) in rest {
      let right = try evaluate(operand)
      guard try compare(comparison, left, right) else { return .boolean(false) }
      left = right
    }
    return .boolean(true)
  }

  private func concatenate(_ parts: [Expression]) throws(TemplateError) -> Value {
    var text = ""
    for part in parts {
      text += try string(try evaluate(part))
      try charge(bytes: text.utf8.count)
    }
    return .string(text)
  }

  /// Evaluates what stands between the parentheses of a call.
  func evaluate(_ list: ArgumentList) throws(TemplateError) -> CallArguments {
    var arguments = CallArguments()
    arguments.positional = try evaluate(list.positional)
    for (name, value) in list.named {
      if arguments.named.contains(where: { $0.name == name }) {
        throw TemplateError(.type, "the argument '\(name)' is given twice")
      }
      arguments.named.append((name, try evaluate(value)))
    }
    if let sequence = list.unpackedSequence {
      arguments.positional += try elements(of: try evaluate(sequence), use: "unpack")
    }
    if let mapping = list.unpackedMapping {
      guard case .dictionary(let entries) = try evaluate(mapping) else {
        throw TemplateError(.type, "expected a mapping after '**'")
      }
      for pair in entries.pairs {
        guard let name = pair.key.text else {
          throw TemplateError(.type, "expected texts as the keys of the mapping after '**'")
        }
        if arguments.named.contains(where: { $0.name.isSameText(as: name) }) {
          throw TemplateError(.type, "the argument '\(name)' is given twice")
        }
        arguments.named.append((name, pair.value))
      }
    }
    return arguments
  }

  // MARK: Attributes and items

  /// `object.name`: a method if the object has one, else the item of that name.
  func attribute(_ name: String, of object: Value) throws(TemplateError) -> Value {
    if let found = try pythonAttribute(name, of: object) { return found }
    if case .undefined(let undefined) = object { throw undefined.error }
    if case .dictionary(let entries) = object, let value = entries[name] { return value }
    return .undefined(Undefined("'\(object.typeName)' has no attribute '\(name)'"))
  }

  /// `object[key]`: the item, else the method of that name.
  func item(
    _ key: Value, of object: Value
  ) throws(TemplateError) -> Value {
    switch object {
    case .undefined(let undefined): throw undefined.error
    case .dictionary(let entries):
      if let value = try? entries.value(for: key) { return value }
    case .list(let elements), .tuple(let elements):
      if let index = key.wholeNumber {
        if let place = Self.place(index, elements.values.count) { return elements.values[place] }
        return missing(key, object)
      }
    case .string(let text), .markup(let text):
      if let index = key.wholeNumber {
        try charge(bytes: text.utf8.count)
        let scalars = text.unicodeScalars
        guard let place = Self.place(index, scalars.count) else { return missing(key, object) }
        let character = String(scalars[scalars.index(scalars.startIndex, offsetBy: place)])
        return like(object, character)
      }
    case .range(let range):
      if let index = key.wholeNumber {
        guard let place = Self.place(index, range.count) else { return missing(key, object) }
        return .integer(range[place])
      }
    default: break
    }
    if let name = key.text, let found = try pythonAttribute(name, of: object) { return found }
    return missing(key, object)
  }

  private func missing(_ key: Value, _ object: Value) -> Value {
    let name = (try? PythonPrinter.representation(key, budget: 200)) ?? "that name"
    let what = key.text == nil ? "element" : "attribute"
    return .undefined(Undefined("'\(object.typeName)' has no \(what) \(name)"))
  }

  /// The place that an index stands for, negative ones counting from the end.
  static func place(_ index: Int, _ count: Int) -> Int? {
    let place = index < 0 ? index &+ count : index
    return place >= 0 && place < count ? place : nil
  }

  /// A text of the same sort, plain or marked, as `model`.
  func like(_ model: Value, _ text: String) -> Value {
    if case .markup = model { return .markup(text) }
    return .string(text)
  }

  private func slice(
    _ object: Value, _ start: Expression?, _ stop: Expression?, _ step: Expression?
  ) throws(TemplateError) -> Value {
    func bound(_ expression: Expression?) throws(TemplateError) -> Int? {
      guard let expression else { return nil }
      let value = try evaluate(expression)
      if value.isNone { return nil }
      if case .undefined(let undefined) = value { throw undefined.error }
      guard let number = value.wholeNumber else {
        throw TemplateError(.type, "a slice needs whole numbers, found \(value.typeName)")
      }
      return number
    }
    if case .undefined(let undefined) = object { throw undefined.error }
    let bounds = (try bound(start), try bound(stop), try bound(step))
    func places(_ count: Int) throws(TemplateError) -> [Int] {
      let places = try Self.places(count, bounds.0, bounds.1, bounds.2)
      try charge(places.count)
      return places
    }
    switch object {
    case .string(let text), .markup(let text):
      try charge(bytes: text.utf8.count)
      let scalars = Array(text.unicodeScalars)
      return like(object, String(scalars: try places(scalars.count).map { scalars[$0] }))
    case .list(let elements):
      return try .list(try places(elements.values.count).map { elements.values[$0] })
    case .tuple(let elements):
      let values = try places(elements.values.count).map { elements.values[$0] }
      return .tuple(try Elements(values))
    case .range(let range):
      let places = try places(range.count)
      let step = range.step.multipliedReportingOverflow(by: bounds.2 ?? 1).partialValue
      return .range(
        IntegerRange(
          start: places.first.map { range[$0] } ?? range.start, step: step, count: places.count))
    default: throw TemplateError(.type, "a value of type \(object.typeName) cannot be sliced")
    }
  }

  /// The places that `start:stop:step` selects among `count`.
  static func places(
    _ count: Int, _ start: Int?, _ stop: Int?, _ step: Int?
  ) throws(TemplateError) -> [Int] {
    let step = step ?? 1
    guard step != 0 else { throw TemplateError(.value, "a slice's step cannot be 0") }
    func clamp(_ bound: Int, _ low: Int, _ high: Int) -> Int {
      min(max(bound < 0 ? bound &+ count : bound, low), high)
    }
    var places: [Int] = []
    if step > 0 {
      var place = start.map { clamp($0, 0, count) } ?? 0
      let end = stop.map { clamp($0, 0, count) } ?? count
      while place < end {
        places.append(place)
        let (next, overflow) = place.addingReportingOverflow(step)
        if overflow { break }
        place = next
      }
    } else {
      var place = start.map { clamp($0, -1, count - 1) } ?? count - 1
      let end = stop.map { clamp($0, -1, count - 1) } ?? -1
      while place > end {
        places.append(place)
        let (next, overflow) = place.addingReportingOverflow(step)
        if overflow { break }
        place = next
      }
    }
    return places
  }

  // MARK: Sequences

  /// The values that a loop over `value` passes.
  ///
  /// - Throws: kind `type` for what cannot be looped over; the error says what `use` needed it.
  func elements(of value: Value, use: String) throws(TemplateError) -> [Value] {
    switch value {
    case .list(let elements), .tuple(let elements): return elements.values
    case .undefined: return []
    case .dictionary(let entries):
      try charge(elements: entries.pairs.count)
      return entries.pairs.map(\.key)
    case .view(let view):
      try charge(elements: view.entries.pairs.count)
      return try view.values()
    case .range(let range):
      try charge(elements: range.count)
      return (0..<range.count).map { .integer(range[$0]) }
    case .string(let text), .markup(let text):
      let count = text.unicodeScalars.count
      try charge(count)
      return text.unicodeScalars.map { .string(String($0)) }
    case .iterator(let iterator):
      var values: [Value] = []
      while let next = try iterator.next() {
        try charge(1)
        values.append(next)
        if values.count > limits.rangeElements { try charge(elements: values.count) }
      }
      return values
    default:
      throw TemplateError(.type, "cannot \(use) a value of type \(value.typeName)")
    }
  }

  /// `len(value)`.
  func count(of value: Value) throws(TemplateError) -> Int {
    switch value {
    case .undefined: return 0
    case .string(let text), .markup(let text):
      try charge(bytes: text.utf8.count)
      return text.unicodeScalars.count
    case .list(let elements), .tuple(let elements): return elements.values.count
    case .dictionary(let entries): return entries.pairs.count
    case .view(let view): return view.entries.pairs.count
    case .range(let range): return range.count
    case .loop(let state): return state.values.count
    default: throw TemplateError(.type, "a value of type \(value.typeName) has no length")
    }
  }
}
