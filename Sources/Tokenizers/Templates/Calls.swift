/// The evaluated arguments of a call.
struct CallArguments {
  var positional: [Value] = []
  var named: [(name: String, value: Value)] = []

  /// Sorts the arguments into `parameters`, as Python does.
  ///
  /// - Throws: kind `type` for too many arguments, unknown names, or one of the first `required`
  ///   missing; the error names `function`.
  func bind(
    _ function: String, _ parameters: [String], required: Int = 0
  ) throws(TemplateError) -> [Value?] {
    guard positional.count <= parameters.count else {
      throw TemplateError(
        .type,
        "\(function) takes at most \(parameters.count) arguments, found \(positional.count)")
    }
    var bound = [Value?](repeating: nil, count: parameters.count)
    for (index, value) in positional.enumerated() { bound[index] = value }
    for (name, value) in named {
      guard let index = parameters.firstIndex(of: name) else {
        throw TemplateError(.type, "\(function) has no argument '\(name)'")
      }
      guard bound[index] == nil else {
        throw TemplateError(.type, "\(function) is given '\(name)' twice")
      }
      bound[index] = value
    }
    for index in 0..<required where bound[index] == nil {
      throw TemplateError(.type, "\(function) needs the argument '\(parameters[index])'")
    }
    return bound
  }
}

/// Calls of macros and of the functions every template has.
extension Evaluator {
  func call(_ callee: Value, _ arguments: CallArguments) throws(TemplateError) -> Value {
    try enter()
    defer { leave() }
    switch callee {
    case .macro(let macro): return try call(macro, arguments)
    case .method(let method): return try call(method, arguments)
    case .function(let function): return try call(function, arguments)
    case .joiner(let joiner):
      _ = try arguments.bind("joiner", [])
      defer { joiner.isUsed = true }
      return joiner.isUsed ? joiner.separator : .string("")
    case .loop(let state): return try recurse(state, arguments)
    case .undefined(let undefined): throw undefined.error
    default: throw TemplateError(.type, "a value of type \(callee.typeName) cannot be called")
    }
  }

  private func recurse(
    _ state: LoopState, _ arguments: CallArguments
  ) throws(TemplateError) -> Value {
    let bound = try arguments.bind("loop", ["iterable"], required: 1)
    guard let recursion = state.recursion else {
      throw TemplateError(.type, "only a loop marked 'recursive' can be called")
    }
    let values = try elements(of: bound[0] ?? .none, use: "loop over")
    let outer = output
    output = ""
    defer { output = outer }
    try inScope(recursion.scope) { () throws(TemplateError) in
      try self.run(recursion.loop, over: values, level: state.level + 1)
    }
    return .string(output)
  }

  private func call(_ macro: Macro, _ arguments: CallArguments) throws(TemplateError) -> Value {
    let definition = macro.definition
    let inner = Scope(macro.scope)
    var named = arguments.named
    func take(_ name: String) -> Value? {
      guard let index = named.firstIndex(where: { $0.name == name }) else { return nil }
      return named.remove(at: index).value
    }
    var missing: [(name: String, standard: Expression?)] = []
    for (index, parameter) in definition.parameters.enumerated() {
      if index < arguments.positional.count {
        inner.variables[parameter.name] = arguments.positional[index]
      } else if let value = take(parameter.name) {
        inner.variables[parameter.name] = value
      } else {
        missing.append(parameter)
      }
    }
    let isExplicit = definition.parameters.contains { $0.name == "caller" }
    if definition.usesCaller, !isExplicit {
      inner.variables["caller"] = take("caller") ?? .undefined(Undefined("no caller is defined"))
    }
    if definition.usesExtraNamed {
      let pairs: [(key: Value, value: Value)] = named.map { (.string($0.name), $0.value) }
      inner.variables["kwargs"] = .dictionary(try Entries(pairs))
    } else if let first = named.first {
      throw TemplateError(
        .type, "the macro '\(definition.name)' has no argument '\(first.name)'")
    }
    let extra = arguments.positional.dropFirst(definition.parameters.count)
    if definition.usesExtraPositional {
      inner.variables["varargs"] = .tuple(try Elements(Array(extra)))
    } else if !extra.isEmpty {
      throw TemplateError(
        .type,
        "the macro '\(definition.name)' takes at most \(definition.parameters.count) arguments, found \(arguments.positional.count)"
      )
    }
    // A name without its argument hides what lies around it, then takes its default, which may
    // refer to the arguments before it.
    for parameter in missing {
      inner.variables[parameter.name] = .undefined(
        Undefined("parameter '\(parameter.name)' was not provided"))
    }
    for parameter in missing {
      guard let standard = parameter.standard else { continue }
      inner.variables[parameter.name] = try inScope(inner) { () throws(TemplateError) in
        try self.evaluate(standard)
      }
    }
    return .string(try capture(definition.body, in: inner))
  }

  private func call(
    _ function: Function, _ arguments: CallArguments
  ) throws(TemplateError) -> Value {
    switch function {
    case .range: return try makeRange(arguments)
    case .dict: return .dictionary(try Entries(try pairs(arguments, of: "dict")))
    case .namespace:
      let namespace = makeNamespace()
      for pair in try pairs(arguments, of: "namespace") {
        guard let name = pair.key.text else {
          throw TemplateError(.type, "a namespace needs texts as names")
        }
        try Self.checkAttribute(name)
        namespace.set(name, pair.value)
      }
      return .namespace(namespace)
    case .cycler:
      guard arguments.named.isEmpty, !arguments.positional.isEmpty else {
        throw TemplateError(.type, "cycler needs one value or more")
      }
      return .cycler(try Cycler(arguments.positional))
    case .joiner:
      let bound = try arguments.bind("joiner", ["sep"])
      return .joiner(Joiner(bound[0] ?? .string(", ")))
    case .raiseException:
      let bound = try arguments.bind("raise_exception", ["message"], required: 1)
      throw TemplateError(.raised, try string(bound[0] ?? .none))
    case .strftimeNow:
      let bound = try arguments.bind("strftime_now", ["format"], required: 1)
      guard let format = bound[0]?.text else {
        throw TemplateError(.type, "strftime_now needs a text")
      }
      try charge(bytes: format.utf8.count)
      return .string(TimeFormat(now, timeZone).string(format))
    }
  }

  /// What `dict(mapping, name=value)` holds.
  private func pairs(
    _ arguments: CallArguments, of function: String
  ) throws(TemplateError) -> [(key: Value, value: Value)] {
    guard arguments.positional.count <= 1 else {
      throw TemplateError(.type, "\(function) takes one mapping at most, and names with values")
    }
    var pairs: [(key: Value, value: Value)] = []
    if let value = arguments.positional.first {
      if case .dictionary(let entries) = value {
        pairs = entries.pairs
      } else {
        for element in try elements(of: value, use: "make a \(function) of") {
          let pair = try elements(of: element, use: "make a key and a value of")
          guard pair.count == 2 else {
            throw TemplateError(.value, "\(function) needs pairs, found \(pair.count) values")
          }
          pairs.append((pair[0], pair[1]))
        }
      }
    }
    for (name, value) in arguments.named { pairs.append((.string(name), value)) }
    return pairs
  }

  private func makeRange(_ arguments: CallArguments) throws(TemplateError) -> Value {
    var bounds: [Int] = []
    for value in arguments.positional {
      if case .undefined(let undefined) = value { throw undefined.error }
      guard let bound = value.wholeNumber else {
        throw TemplateError(.type, "range needs whole numbers, found \(value.typeName)")
      }
      bounds.append(bound)
    }
    guard arguments.named.isEmpty, (1...3).contains(bounds.count) else {
      throw TemplateError(.type, "range takes one to three numbers")
    }
    let start = bounds.count > 1 ? bounds[0] : 0
    let stop = bounds.count > 1 ? bounds[1] : bounds[0]
    let step = bounds.count > 2 ? bounds[2] : 1
    guard step != 0 else { throw TemplateError(.value, "a range's step cannot be 0") }
    let isEmpty = step > 0 ? start >= stop : start <= stop
    var count = 0
    if !isEmpty {
      let span = step > 0 ? UInt(bitPattern: stop &- start) : UInt(bitPattern: start &- stop)
      let steps = (span - 1) / step.magnitude + 1
      count = Int(clamping: steps)
    }
    guard count <= limits.rangeElements else {
      throw TemplateError(
        .limit, "a range of \(count) elements exceeds the limit of \(limits.rangeElements)")
    }
    return .range(IntegerRange(start: start, step: step, count: count))
  }
}
