/// Turns tokens into statements, by Jinja2's grammar.
struct Parser {
  let tokens: [Token]
  var position = 0
  /// Blocks and brackets open around the current position.
  var depth = 0
  /// Loops around the current position within the innermost macro.
  private var loopDepth = 0
  /// Conditions around the current position; an unknown filter there fails only when reached.
  var conditionDepth = 0
  /// Names that the macros around the current position read, innermost last.
  var namesRead: [Set<String>] = []
  /// Tags of the blocks that are open, outermost first.
  private var openTags: [String] = []

  private init(_ tokens: [Token]) { self.tokens = tokens }

  /// The statements of `source`.
  ///
  /// - Throws: kind `syntax`, `unsupported` or `limit`, with the line.
  static func statements(of source: String) throws(TemplateError) -> [Statement] {
    var parser = Parser(try Lexer.tokens(of: source))
    do {
      return try parser.body(until: [])
    } catch {
      throw error.located(template: "", line: parser.current.line)
    }
  }

  // MARK: Tokens

  var current: Token { tokens[min(position, tokens.count - 1)] }
  var next: Token { tokens[min(position + 1, tokens.count - 1)] }

  mutating func skip(_ symbol: Token.Symbol) -> Bool {
    guard current.kind == .symbol(symbol) else { return false }
    position += 1
    return true
  }

  mutating func skip(_ name: String) -> Bool {
    guard current.kind == .name(name) else { return false }
    position += 1
    return true
  }

  mutating func expect(_ symbol: Token.Symbol) throws(TemplateError) {
    guard skip(symbol) else { throw unexpected("'\(symbol.rawValue)'") }
  }

  mutating func expect(_ name: String) throws(TemplateError) {
    guard skip(name) else { throw unexpected("'\(name)'") }
  }

  mutating func expectName() throws(TemplateError) -> String {
    guard case .name(let name) = current.kind else { throw unexpected("a name") }
    position += 1
    return name
  }

  func unexpected(_ expected: String) -> TemplateError {
    TemplateError(
      .syntax, "expected \(expected), found \(current.description)", line: current.line)
  }

  mutating func enter() throws(TemplateError) {
    depth += 1
    if depth > TemplateLimits.parserDepth {
      throw TemplateError(
        .limit, "brackets or blocks are nested more than \(TemplateLimits.parserDepth) deep",
        line: current.line)
    }
  }

  // MARK: Bodies

  /// Reads statements until a block begins with one of `tags`, which stays to be read; until the
  /// template's end when there are none.
  private mutating func body(until tags: Set<String>) throws(TemplateError) -> [Statement] {
    try enter()
    defer { depth -= 1 }
    var statements: [Statement] = []
    while true {
      let token = current
      position += 1
      switch token.kind {
      case .text(let text): statements.append(.text(text))
      case .outputBegin:
        let expression = try tupleOrExpression()
        guard current.kind == .outputEnd else { throw unexpected("'}}'") }
        position += 1
        statements.append(.output(expression))
      case .blockBegin:
        if case .name(let tag) = current.kind, tags.contains(tag) { return statements }
        try statement(into: &statements)
        guard current.kind == .blockEnd else { throw unexpected("'%}'") }
        position += 1
      default:
        if tags.isEmpty { return statements }
        throw TemplateError(
          .syntax, "expected \(describe(tags)), found the end of the template", line: token.line)
      }
    }
  }

  private func describe(_ tags: Set<String>) -> String {
    tags.sorted().map { "'{% \($0) %}'" }.joined(separator: " or ")
  }

  /// Reads `%}`, a body and the name of the tag that ends it.
  mutating func block(_ tag: String, until tags: Set<String>) throws(TemplateError) -> (
    body: [Statement], end: String
  ) {
    _ = skip(.colon)
    guard current.kind == .blockEnd else { throw unexpected("'%}'") }
    position += 1
    openTags.append(tag)
    defer { openTags.removeLast() }
    let statements = try body(until: tags)
    return (statements, try expectName())
  }

  private mutating func statement(into statements: inout [Statement]) throws(TemplateError) {
    let line = current.line
    guard case .name(let tag) = current.kind else { throw unexpected("a tag's name") }
    position += 1
    switch tag {
    case "if": statements.append(try condition())
    case "for": statements.append(try loop(line))
    case "set": statements.append(try set(line))
    case "with": statements.append(try with(line))
    case "macro": statements.append(try macro())
    case "call": statements.append(try callBlock(line))
    case "filter":
      let filters = try filterChain(startsInline: true)
      let body = try block(tag, until: ["endfilter"]).body
      statements.append(.filterBlock(filters, body: body, line: line))
    case "generation":
      statements.append(.generation(try callable("generation", [], end: "endgeneration")))
    case "block":
      let name = try expectName()
      while skip("scoped") || skip("required") {}
      statements.append(.scope(try block(tag, until: ["endblock"]).body))
      _ = skip(name)
    case "print":
      while current.kind != .blockEnd {
        statements.append(.output(try expression()))
        if current.kind != .blockEnd { try expect(.comma) }
      }
    case "break", "continue":
      guard loopDepth > 0 else {
        throw TemplateError(.syntax, "'\(tag)' stands outside of a loop", line: line)
      }
      statements.append(tag == "break" ? .break : .continue)
    case "include", "import", "from", "extends":
      throw TemplateError(
        .unsupported, "'\(tag)' needs other templates, and a chat template stands alone", line: line)
    case "autoescape":
      throw TemplateError(.unsupported, "'autoescape' is not supported", line: line)
    default: throw unknownTag(tag, line)
    }
  }

  private func unknownTag(_ tag: String, _ line: Int) -> TemplateError {
    let hint = openTags.last.map { ", while '{% \($0) %}' is still open" } ?? ""
    return TemplateError(.syntax, "unknown or misplaced tag '\(tag)'\(hint)", line: line)
  }

  // MARK: Statements

  private mutating func condition() throws(TemplateError) -> Statement {
    conditionDepth += 1
    defer { conditionDepth -= 1 }
    var branches: [(test: Expression, body: [Statement])] = []
    while true {
      let test = try tupleOrExpression(allowsConditional: false)
      let (body, end) = try block("if", until: ["elif", "else", "endif"])
      branches.append((test, body))
      if end == "elif" { continue }
      let otherwise = end == "else" ? try block("else", until: ["endif"]).body : []
      return .condition(branches: branches, otherwise: otherwise)
    }
  }

  private mutating func loop(_ line: Int) throws(TemplateError) -> Statement {
    let target = try assignmentTarget(endsAtIn: true)
    if target.names.contains("loop") {
      throw TemplateError(.syntax, "'loop' cannot be a loop's variable", line: line)
    }
    try expect("in")
    let sequence = try tupleOrExpression(allowsConditional: false, end: "recursive")
    let test = skip("if") ? try expression() : nil
    let isRecursive = skip("recursive")
    loopDepth += 1
    let (body, end) = try block("for", until: ["endfor", "else"])
    loopDepth -= 1
    let otherwise = end == "else" ? try block("else", until: ["endfor"]).body : []
    return .loop(
      Loop(
        target: target, sequence: sequence, test: test, isRecursive: isRecursive, body: body,
        otherwise: otherwise, line: line))
  }

  private mutating func set(_ line: Int) throws(TemplateError) -> Statement {
    let target = try assignmentTarget(allowsAttribute: true)
    if skip(.assign) { return .set(target, try tupleOrExpression(), line: line) }
    let filters = try filterChain(startsInline: false)
    let body = try block("set", until: ["endset"]).body
    return .setBlock(target, filters: filters, body: body, line: line)
  }

  private mutating func with(_ line: Int) throws(TemplateError) -> Statement {
    var assignments: [(target: AssignmentTarget, value: Expression)] = []
    while current.kind != .blockEnd {
      if !assignments.isEmpty { try expect(.comma) }
      let target = try assignmentTarget()
      try expect(.assign)
      assignments.append((target, try expression()))
    }
    return .with(assignments, body: try block("with", until: ["endwith"]).body, line: line)
  }

  private mutating func macro() throws(TemplateError) -> Statement {
    let name = try expectName()
    return .macro(try callable(name, try parameters(), end: "endmacro"))
  }

  private mutating func callBlock(_ line: Int) throws(TemplateError) -> Statement {
    let parameters = current.kind == .symbol(.leftParenthesis) ? try parameters() : []
    guard case .call(let callee, let arguments) = try expression().form else {
      throw TemplateError(.syntax, "expected a call of a macro after 'call'", line: line)
    }
    let caller = try callable("caller", parameters, end: "endcall")
    return .call(callee, arguments, caller: caller, line: line)
  }

  private mutating func parameters() throws(TemplateError) -> [(
    name: String, standard: Expression?
  )] {
    try expect(.leftParenthesis)
    var parameters: [(name: String, standard: Expression?)] = []
    while current.kind != .symbol(.rightParenthesis) {
      if !parameters.isEmpty { try expect(.comma) }
      let line = current.line
      let name = try expectName()
      if parameters.contains(where: { $0.name == name }) {
        throw TemplateError(.syntax, "the parameter '\(name)' appears twice", line: line)
      }
      let standard = skip(.assign) ? try expression() : nil
      if standard == nil, parameters.last?.standard != nil {
        throw TemplateError(
          .syntax, "the parameter '\(name)' needs a default, as the one before has", line: line)
      }
      parameters.append((name, standard))
    }
    try expect(.rightParenthesis)
    return parameters
  }

  /// Reads the body of a macro or of a block that acts as one.
  private mutating func callable(
    _ name: String, _ parameters: [(name: String, standard: Expression?)], end: String
  ) throws(TemplateError) -> MacroDefinition {
    let outerLoopDepth = loopDepth
    loopDepth = 0
    namesRead.append([])
    defer {
      loopDepth = outerLoopDepth
      let names = namesRead.removeLast()
      if !namesRead.isEmpty { namesRead[namesRead.count - 1].formUnion(names) }
    }
    let body = try block(String(end.dropFirst(3)), until: [end]).body
    let names = namesRead.last ?? []
    return MacroDefinition(
      name: name, parameters: parameters, body: body,
      usesExtraPositional: names.contains("varargs"), usesExtraNamed: names.contains("kwargs"),
      usesCaller: names.contains("caller"))
  }

  // MARK: Targets

  private mutating func assignmentTarget(
    endsAtIn: Bool = false, allowsAttribute: Bool = false
  ) throws(TemplateError) -> AssignmentTarget {
    var targets: [AssignmentTarget] = []
    var isTuple = false
    while true {
      if !targets.isEmpty, endsAtIn ? current.kind == .name("in") : endsTuple { break }
      targets.append(try singleTarget(allowsAttribute: allowsAttribute))
      guard skip(.comma) else { break }
      isTuple = true
    }
    return isTuple ? .tuple(targets) : targets[0]
  }

  private mutating func singleTarget(
    allowsAttribute: Bool
  ) throws(TemplateError) -> AssignmentTarget {
    if skip(.leftParenthesis) {
      try enter()
      defer { depth -= 1 }
      let target = try assignmentTarget(allowsAttribute: false)
      try expect(.rightParenthesis)
      return target
    }
    let token = current
    let name = try expectName()
    if Self.constants.contains(name) {
      throw TemplateError(.syntax, "cannot assign to '\(name)'", line: token.line)
    }
    if allowsAttribute, skip(.dot) { return .attribute(name, try expectName()) }
    return .name(name)
  }

  /// Names that are values.
  static let constants: Set<String> = ["true", "True", "false", "False", "none", "None"]

  /// Whether a tuple without parentheses ends here.
  var endsTuple: Bool {
    switch current.kind {
    case .outputEnd, .blockEnd, .symbol(.rightParenthesis), .symbol(.assign): true
    default: false
    }
  }
}

extension AssignmentTarget {
  /// The names that a store to this target binds.
  var names: [String] {
    switch self {
    case .name(let name): [name]
    case .tuple(let targets): targets.flatMap(\.names)
    case .attribute: []
    }
  }
}
