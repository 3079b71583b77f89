internal import Foundation

/// Runs a template's statements. One evaluator renders once.
final class Evaluator {
  let limits: TemplateLimits
  let now: Date
  let timeZone: TimeZone
  /// Where names are looked up and set.
  var scope: Scope
  /// What has been written since the innermost macro or block set began.
  var output = ""
  /// Line of the statement or expression under way, for errors.
  var line = 0
  private var steps = 0
  private var depth = 0
  /// Everything that can be part of a cycle of references, to be taken apart at the end.
  private var macros: [Macro] = []
  private var namespaces: [Namespace] = []

  /// What a statement does to the loop around it.
  enum Flow { case next, leavesLoop, nextIteration }

  init(
    context: [String: Value], limits: TemplateLimits, now: Date, timeZone: TimeZone
  ) {
    self.limits = limits
    self.now = now
    self.timeZone = timeZone
    let given = Scope(nil)
    given.variables = context
    scope = Scope(given)
  }

  /// Renders `statements`.
  func render(_ statements: [Statement]) throws(TemplateError) -> String {
    defer {
      for macro in macros { macro.scope = nil }
      for namespace in namespaces { namespace.attributes = [] }
      scope = Scope(nil)
    }
    _ = try execute(statements)
    return output
  }

  // MARK: Limits

  /// Counts one step and one level; `leave` gives the level back.
  func enter() throws(TemplateError) {
    depth += 1
    if depth > limits.depth {
      throw TemplateError(
        .limit, "more than \(limits.depth) expressions, blocks and macro calls are open at once")
    }
    try charge(1)
  }

  func leave() { depth -= 1 }

  /// Counts `count` steps.
  func charge(_ count: Int) throws(TemplateError) {
    steps = steps.addingReportingOverflow(count).partialValue
    if steps > limits.steps || steps < 0 {
      throw TemplateError(.limit, "rendering takes more than \(limits.steps) steps")
    }
  }

  /// Allows a text of `bytes` to be made or walked through.
  func charge(bytes: Int) throws(TemplateError) {
    if bytes > limits.outputBytes {
      throw TemplateError(
        .limit, "a text of \(bytes) bytes exceeds the limit of \(limits.outputBytes)")
    }
    try charge(bytes >> 6)
  }

  /// Allows a list of `elements` to be made or walked through.
  func charge(elements: Int) throws(TemplateError) {
    if elements > limits.rangeElements {
      throw TemplateError(
        .limit, "a list of \(elements) elements exceeds the limit of \(limits.rangeElements)")
    }
    try charge(elements)
  }

  func write(_ text: String) throws(TemplateError) {
    try charge(bytes: output.utf8.count + text.utf8.count, of: text.utf8.count)
    output += text
  }

  private func charge(bytes total: Int, of added: Int) throws(TemplateError) {
    if total > limits.outputBytes {
      throw TemplateError(.limit, "the output exceeds the limit of \(limits.outputBytes) bytes")
    }
    try charge(added >> 6)
  }

  /// `str(value)`.
  func string(_ value: Value) throws(TemplateError) -> String {
    if let text = value.text { return text }
    let text = try PythonPrinter.string(value, budget: limits.outputBytes)
    try charge(text.utf8.count >> 3)
    return text
  }

  // MARK: Statements

  /// Runs `statements` in order until one leaves the loop around them.
  func execute(_ statements: [Statement]) throws(TemplateError) -> Flow {
    for statement in statements {
      let flow = try execute(statement)
      guard case .next = flow else { return flow }
    }
    return .next
  }

  private func execute(_ statement: Statement) throws(TemplateError) -> Flow {
    try enter()
    defer { leave() }
    switch statement {
    case .text(let text): try write(text)
    case .output(let expression):
      line = expression.line
      try write(try string(try evaluate(expression)))
    case .condition(let branches, let otherwise):
      return try executeCondition(branches, otherwise)
    case .loop(let loop): try executeLoop(loop)
    case .set(let target, let expression, let line):
      self.line = line
      try assign(try evaluate(expression), to: target)
    case .setBlock(let target, let filters, let body, let line):
      self.line = line
      try executeSetBlock(target, filters, body)
    case .with(let assignments, let body, let line):
      self.line = line
      return try executeWith(assignments, body)
    case .macro(let definition): scope.variables[definition.name] = .macro(makeMacro(definition))
    case .call(let callee, let arguments, let definition, let line):
      self.line = line
      var evaluated = try evaluate(arguments)
      let function = try evaluate(callee)
      evaluated.named.append(("caller", .macro(makeMacro(definition))))
      try write(try string(try call(function, evaluated)))
    case .filterBlock(let filters, let body, let line):
      self.line = line
      let value = try apply(filters, to: .string(try capture(body, in: Scope(scope))))
      try write(try string(value))
    case .generation(let definition):
      try write(try string(try call(.macro(makeMacro(definition)), CallArguments())))
    case .scope(let body): return try inScope(Scope(scope)) { () throws(TemplateError) in try self.execute(body) }
    case .break: return .leavesLoop
    case .continue: return .nextIteration
    }
    return .next
  }

  private func makeMacro(_ definition: MacroDefinition) -> Macro {
    let macro = Macro(definition, scope: scope)
    macros.append(macro)
    return macro
  }

  func makeNamespace() -> Namespace {
    let namespace = Namespace()
    namespaces.append(namespace)
    return namespace
  }

  /// Runs `body` with `inner` as the place of names.
  func inScope<Result>(
    _ inner: Scope, _ body: () throws(TemplateError) -> Result
  ) throws(TemplateError) -> Result {
    let outer = scope
    scope = inner
    defer { scope = outer }
    return try body()
  }

  /// What `body` writes.
  func capture(_ body: [Statement], in inner: Scope) throws(TemplateError) -> String {
    let outer = output
    output = ""
    defer { output = outer }
    _ = try inScope(inner) { () throws(TemplateError) in try self.execute(body) }
    return output
  }

  private func executeCondition(
    _ branches: [(test: Expression, body: [Statement])], _ otherwise: [Statement]
  ) throws(TemplateError) -> Flow {
    for branch in branches {
      line = branch.test.line
      if try evaluate(branch.test).isTrue { return try execute(branch.body) }
    }
    return try execute(otherwise)
  }

  private func executeSetBlock(
    _ target: AssignmentTarget, _ filters: [FilterCall], _ body: [Statement]
  ) throws(TemplateError) {
    let text = try capture(body, in: Scope(scope))
    try assign(try apply(filters, to: .string(text)), to: target)
  }

  private func executeWith(
    _ assignments: [(target: AssignmentTarget, value: Expression)], _ body: [Statement]
  ) throws(TemplateError) -> Flow {
    let inner = Scope(scope)
    var values: [Value] = []
    for assignment in assignments { values.append(try evaluate(assignment.value)) }
    return try inScope(inner) { () throws(TemplateError) in
      for (assignment, value) in zip(assignments, values) {
        try self.assign(value, to: assignment.target)
      }
      return try self.execute(body)
    }
  }

  private func executeLoop(_ loop: Loop) throws(TemplateError) {
    line = loop.line
    let values = try elements(of: try evaluate(loop.sequence), use: "loop over")
    try run(loop, over: values, level: 0)
  }

  /// Runs a loop's body for each of `values`, its `else` part if none pass the loop's test.
  func run(_ loop: Loop, over source: [Value], level: Int) throws(TemplateError) {
    var values = source
    if let test = loop.test {
      values = []
      for value in source {
        let inner = Scope(scope)
        let passes = try inScope(inner) { () throws(TemplateError) in
          try self.assign(value, to: loop.target)
          return try self.evaluate(test).isTrue
        }
        if passes { values.append(value) }
      }
    }
    if values.isEmpty {
      _ = try inScope(Scope(scope)) { () throws(TemplateError) in
        try self.execute(loop.otherwise)
      }
      return
    }
    let state = try LoopState(
      values, level: level, recursion: loop.isRecursive ? (loop, scope) : nil)
    for (index, value) in values.enumerated() {
      try charge(1)
      state.index = index
      let inner = Scope(scope)
      inner.variables["loop"] = .loop(state)
      let flow = try inScope(inner) { () throws(TemplateError) in
        try self.assign(value, to: loop.target)
        return try self.execute(loop.body)
      }
      if case .leavesLoop = flow { return }
    }
  }

  // MARK: Assignment

  private func assign(_ value: Value, to target: AssignmentTarget) throws(TemplateError) {
    switch target {
    case .name(let name): scope.variables[name] = value
    case .tuple(let targets):
      let values = try elements(of: value, use: "unpack")
      guard values.count == targets.count else {
        throw TemplateError(
          .value, "expected \(targets.count) values to unpack, found \(values.count)")
      }
      for (target, value) in zip(targets, values) { try assign(value, to: target) }
    case .attribute(let name, let attribute):
      guard case .namespace(let namespace) = lookUp(name) else {
        throw TemplateError(
          .type, "cannot assign to '\(name).\(attribute)': '\(name)' is not a namespace")
      }
      try Self.checkAttribute(attribute)
      try charge(namespace.attributes.count >> 3)
      namespace.set(attribute, value)
    }
  }

  /// Refuses names that Python keeps for itself.
  static func checkAttribute(_ name: String) throws(TemplateError) {
    if name.hasPrefix("_") {
      throw TemplateError(
        .security, "a namespace cannot hold the name '\(name)', which starts with an underscore")
    }
  }

  /// The value of a variable, a function by that name, or an undefined value.
  func lookUp(_ name: String) -> Value {
    if let value = scope[name] { return value }
    if let function = Function(rawValue: name) { return .function(function) }
    return .undefined(Undefined("'\(name)' is undefined"))
  }
}
