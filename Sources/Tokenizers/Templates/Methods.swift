/// Attributes and methods that Python's objects have and a template may reach.
///
/// The list is closed: there is no way from here to anything else. What Python has and the sandbox
/// withholds, such as methods that change a list, is there as an undefined value that says so.
extension Evaluator {
  /// The attribute `name` of `object`, nil if Python's object has none.
  func pythonAttribute(_ name: String, of object: Value) throws(TemplateError) -> Value? {
    switch object {
    case .loop(let state): return try attribute(name, of: state)
    case .namespace(let namespace): return namespace[name]
    case .undefined: return nil
    default: break
    }
    if name.hasPrefix("__"), name.hasSuffix("__") { return withheld(name, object) }
    switch object {
    case .string, .markup:
      return StringMethods.Name(rawValue: name) != nil ? .method(BoundMethod(object, name)) : nil
    case .dictionary:
      if ["get", "items", "keys", "values", "copy"].contains(name) {
        return .method(BoundMethod(object, name))
      }
      let isChanging = ["clear", "pop", "popitem", "setdefault", "update"].contains(name)
      return isChanging || name == "fromkeys" ? withheld(name, object) : nil
    case .list:
      if ["index", "count", "copy"].contains(name) { return .method(BoundMethod(object, name)) }
      let changing = ["append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove"]
      return changing.contains(name) ? withheld(name, object) : nil
    case .tuple(let elements):
      if let index = elements.names.firstIndex(of: name) { return elements.values[index] }
      return ["index", "count"].contains(name) ? .method(BoundMethod(object, name)) : nil
    case .range(let range):
      switch name {
      case "start": return .integer(range.start)
      case "step": return .integer(range.step)
      case "stop": return .integer(range.start &+ range.count &* range.step)
      case "index", "count": return .method(BoundMethod(object, name))
      default: return nil
      }
    case .macro(let macro): return try attribute(name, of: macro)
    case .cycler(let cycler):
      if name == "current" { return cycler.values[cycler.index] }
      return name == "next" || name == "reset" ? .method(BoundMethod(object, name)) : nil
    case .double: return name == "is_integer" ? .method(BoundMethod(object, name)) : nil
    default: return nil
    }
  }

  private func withheld(_ name: String, _ object: Value) -> Value {
    .undefined(
      Undefined(
        "access to attribute '\(name)' of '\(object.typeName)' is unsafe", kind: .security))
  }

  private func attribute(
    _ name: String, of state: LoopState
  ) throws(TemplateError) -> Value? {
    let count = state.values.count
    switch name {
    case "index": return .integer(state.index + 1)
    case "index0": return .integer(state.index)
    case "revindex": return .integer(count - state.index)
    case "revindex0": return .integer(count - state.index - 1)
    case "first": return .boolean(state.index == 0)
    case "last": return .boolean(state.index == count - 1)
    case "length": return .integer(count)
    case "depth": return .integer(state.level + 1)
    case "depth0": return .integer(state.level)
    case "previtem":
      return state.index > 0
        ? state.values[state.index - 1] : .undefined(Undefined("there is no previous item"))
    case "nextitem":
      return state.index + 1 < count
        ? state.values[state.index + 1] : .undefined(Undefined("there is no next item"))
    case "cycle", "changed": return .method(BoundMethod(.loop(state), name))
    default: return nil
    }
  }

  private func attribute(_ name: String, of macro: Macro) throws(TemplateError) -> Value? {
    let definition = macro.definition
    switch name {
    case "name": return .string(definition.name)
    case "arguments":
      return .tuple(try Elements(definition.parameters.map { .string($0.name) }))
    case "catch_kwargs": return .boolean(definition.usesExtraNamed)
    case "catch_varargs": return .boolean(definition.usesExtraPositional)
    case "caller": return .boolean(definition.usesCaller)
    default: return nil
    }
  }

  // MARK: Calls

  func call(_ method: BoundMethod, _ arguments: CallArguments) throws(TemplateError) -> Value {
    switch method.receiver {
    case .string(let text), .markup(let text):
      guard let name = StringMethods.Name(rawValue: method.name) else { break }
      return try call(name, text, method.receiver, arguments)
    case .dictionary(let entries): return try call(method.name, entries, arguments)
    case .list, .tuple, .range: return try callSequence(method, arguments)
    case .loop(let state): return try call(method.name, state, arguments)
    case .cycler(let cycler):
      _ = try arguments.bind(method.name, [])
      let current = cycler.values[cycler.index]
      cycler.index = method.name == "next" ? (cycler.index + 1) % cycler.values.count : 0
      return method.name == "next" ? current : .none
    case .double(let number):
      _ = try arguments.bind(method.name, [])
      return .boolean(number.isFinite && number == number.rounded())
    default: break
    }
    throw TemplateError(.type, "'\(method.receiver.typeName)' has no method '\(method.name)'")
  }

  private func call(
    _ name: String, _ entries: Entries, _ arguments: CallArguments
  ) throws(TemplateError) -> Value {
    if name == "get" {
      guard arguments.named.isEmpty else {
        throw TemplateError(.type, "get takes no named arguments")
      }
      let bound = try arguments.bind("get", ["key", "default"], required: 1)
      return try entries.value(for: bound[0] ?? .none) ?? bound[1] ?? .none
    }
    _ = try arguments.bind(name, [])
    switch name {
    case "keys": return .view(EntriesView(.keys, entries))
    case "values": return .view(EntriesView(.values, entries))
    case "items": return .view(EntriesView(.items, entries))
    default: return .dictionary(entries)
    }
  }

  private func callSequence(
    _ method: BoundMethod, _ arguments: CallArguments
  ) throws(TemplateError) -> Value {
    if method.name == "copy" {
      _ = try arguments.bind("copy", [])
      return method.receiver
    }
    let values = try elements(of: method.receiver, use: "search")
    let bound = try arguments.bind(method.name, ["value", "start", "stop"], required: 1)
    let wanted = bound[0] ?? .none
    var count = 0
    let start = try whole(bound[1], 0, method.name)
    let stop = try whole(bound[2], values.count, method.name)
    let places = try Self.places(values.count, start, stop, nil)
    for place in places {
      try charge(1)
      if try isEqual(values[place], wanted) {
        if method.name == "index" { return .integer(place) }
        count += 1
      }
    }
    if method.name == "index" { throw TemplateError(.value, "the value is not in the list") }
    return .integer(count)
  }

  private func call(
    _ name: String, _ state: LoopState, _ arguments: CallArguments
  ) throws(TemplateError) -> Value {
    guard arguments.named.isEmpty else {
      throw TemplateError(.type, "loop.\(name) takes no named arguments")
    }
    if name == "cycle" {
      guard !arguments.positional.isEmpty else {
        throw TemplateError(.type, "loop.cycle needs one value or more")
      }
      return arguments.positional[state.index % arguments.positional.count]
    }
    let before = state.lastChanged
    state.lastChanged = arguments.positional
    guard let before, before.count == arguments.positional.count else { return .boolean(true) }
    for (old, new) in zip(before, arguments.positional) where !(try isEqual(old, new)) {
      return .boolean(true)
    }
    return .boolean(false)
  }
}
