/// The grammar of expressions, loosest binding first: `a if b else c`, `or`, `and`, `not`,
/// comparisons, `+ -`, `~`, `* / // %`, `**`, signs, then names, literals and what follows them.
extension Parser {
  /// Makes an expression, keeping trees low enough to walk.
  private func make(
    _ form: ExpressionForm, _ operands: [Expression], line: Int
  ) throws(TemplateError) -> Expression {
    let height = (operands.lazy.map(\.height).max() ?? 0) + 1
    if height > TemplateLimits.expressionDepth {
      throw TemplateError(
        .limit, "an expression is nested more than \(TemplateLimits.expressionDepth) deep",
        line: line)
    }
    return Expression(form, line: line, height: height)
  }

  /// Reads an expression, or several with commas between them, which make a tuple.
  mutating func tupleOrExpression(
    allowsConditional: Bool = true, end: String? = nil, inParentheses: Bool = false
  ) throws(TemplateError) -> Expression {
    let line = current.line
    var elements: [Expression] = []
    var isTuple = false
    while !endsTuple {
      if let end, current.kind == .name(end) { break }
      elements.append(try expression(allowsConditional: allowsConditional))
      guard skip(.comma) else { break }
      isTuple = true
    }
    if !isTuple {
      if let only = elements.first { return only }
      guard inParentheses else { throw unexpected("an expression") }
    }
    return try make(.tuple(elements), elements, line: line)
  }

  mutating func expression(allowsConditional: Bool = true) throws(TemplateError) -> Expression {
    try enter()
    defer { depth -= 1 }
    return allowsConditional ? try conditional() : try or()
  }

  private mutating func conditional() throws(TemplateError) -> Expression {
    let line = current.line
    // What the test guards comes before it, so whether an unknown filter is guarded is not known
    // while reading it; assume so if an `if` follows within this expression.
    var value = try or()
    while skip("if") {
      conditionDepth += 1
      defer { conditionDepth -= 1 }
      let test = try or()
      var otherwise: Expression?
      if skip("else") {
        try enter()
        defer { depth -= 1 }
        otherwise = try conditional()
      }
      value = try make(
        .conditional(test: test, then: value, otherwise: otherwise),
        [test, value] + (otherwise.map { [$0] } ?? []), line: line)
    }
    return value
  }

  private mutating func or() throws(TemplateError) -> Expression {
    let line = current.line
    var left = try and()
    while skip("or") {
      let right = try and()
      left = try make(.or(left, right), [left, right], line: line)
    }
    return left
  }

  private mutating func and() throws(TemplateError) -> Expression {
    let line = current.line
    var left = try not()
    while skip("and") {
      let right = try not()
      left = try make(.and(left, right), [left, right], line: line)
    }
    return left
  }

  private mutating func not() throws(TemplateError) -> Expression {
    let line = current.line
    var count = 0
    while skip("not") { count += 1 }
    var operand = try comparison()
    // Any even number of `not` beyond the second changes nothing.
    while count > 2 { count -= 2 }
    for _ in 0..<count { operand = try make(.not(operand), [operand], line: line) }
    return operand
  }

  private mutating func comparison() throws(TemplateError) -> Expression {
    let line = current.line
    let first = try sum()
    var rest: [(ComparisonOperator, Expression)] = []
    while let comparison = skipComparison() { rest.append((comparison, try sum())) }
    if rest.isEmpty { return first }
    return try make(.comparison(first, rest), [first] + rest.map(\.1), line: line)
  }

  private mutating func skipComparison() -> ComparisonOperator? {
    switch current.kind {
    case .symbol(let symbol):
      guard let comparison = ComparisonOperator(rawValue: symbol.rawValue) else { return nil }
      position += 1
      return comparison
    case .name("in"):
      position += 1
      return .isIn
    case .name("not") where next.kind == .name("in"):
      position += 2
      return .isNotIn
    default: return nil
    }
  }

  private mutating func skipOperator(_ operators: [BinaryOperator]) -> BinaryOperator? {
    guard case .symbol(let symbol) = current.kind,
      let found = operators.first(where: { $0.rawValue == symbol.rawValue })
    else { return nil }
    position += 1
    return found
  }

  private mutating func sum() throws(TemplateError) -> Expression {
    let line = current.line
    var left = try concatenation()
    while let found = skipOperator([.add, .subtract]) {
      let right = try concatenation()
      left = try make(.binary(found, left, right), [left, right], line: line)
    }
    return left
  }

  private mutating func concatenation() throws(TemplateError) -> Expression {
    let line = current.line
    var parts = [try product()]
    while skip(.tilde) { parts.append(try product()) }
    return parts.count == 1 ? parts[0] : try make(.concatenation(parts), parts, line: line)
  }

  private mutating func product() throws(TemplateError) -> Expression {
    let line = current.line
    var left = try power()
    while let found = skipOperator([.multiply, .divide, .floorDivide, .modulo]) {
      let right = try power()
      left = try make(.binary(found, left, right), [left, right], line: line)
    }
    return left
  }

  private mutating func power() throws(TemplateError) -> Expression {
    let line = current.line
    var left = try signed(allowsFilter: true)
    while skip(.power) {
      let right = try signed(allowsFilter: true)
      left = try make(.binary(.power, left, right), [left, right], line: line)
    }
    return left
  }

  private mutating func signed(allowsFilter: Bool) throws(TemplateError) -> Expression {
    let line = current.line
    var value: Expression
    if current.kind == .symbol(.subtract) || current.kind == .symbol(.add) {
      let sign: UnaryOperator = current.kind == .symbol(.subtract) ? .minus : .plus
      position += 1
      try enter()
      defer { depth -= 1 }
      let operand = try signed(allowsFilter: false)
      value = try make(.unary(sign, operand), [operand], line: line)
    } else {
      value = try primary()
    }
    value = try postfix(value)
    return allowsFilter ? try filtersAndTests(value) : value
  }

  // MARK: Names and literals

  private mutating func primary() throws(TemplateError) -> Expression {
    let token = current
    position += 1
    switch token.kind {
    case .name("true"), .name("True"): return try make(.boolean(true), [], line: token.line)
    case .name("false"), .name("False"): return try make(.boolean(false), [], line: token.line)
    case .name("none"), .name("None"): return try make(.none, [], line: token.line)
    case .name(let name):
      if !namesRead.isEmpty { namesRead[namesRead.count - 1].insert(name) }
      return try make(.name(name), [], line: token.line)
    case .string(var text):
      while case .string(let more) = current.kind {
        text += more
        position += 1
      }
      return try make(.string(text), [], line: token.line)
    case .integer(let number): return try make(.integer(number), [], line: token.line)
    case .double(let number): return try make(.double(number), [], line: token.line)
    case .symbol(.leftParenthesis):
      let value = try tupleOrExpression(inParentheses: true)
      try expect(.rightParenthesis)
      return value
    case .symbol(.leftBracket): return try list(token.line)
    case .symbol(.leftBrace): return try dictionary(token.line)
    default:
      position -= 1
      throw unexpected("an expression")
    }
  }

  private mutating func list(_ line: Int) throws(TemplateError) -> Expression {
    var elements: [Expression] = []
    while current.kind != .symbol(.rightBracket) {
      if !elements.isEmpty { try expect(.comma) }
      if current.kind == .symbol(.rightBracket) { break }
      elements.append(try expression())
    }
    try expect(.rightBracket)
    return try make(.list(elements), elements, line: line)
  }

  private mutating func dictionary(_ line: Int) throws(TemplateError) -> Expression {
    var entries: [(key: Expression, value: Expression)] = []
    while current.kind != .symbol(.rightBrace) {
      if !entries.isEmpty { try expect(.comma) }
      if current.kind == .symbol(.rightBrace) { break }
      let key = try expression()
      try expect(.colon)
      entries.append((key, try expression()))
    }
    try expect(.rightBrace)
    return try make(.dictionary(entries), entries.flatMap { [$0.key, $0.value] }, line: line)
  }

  // MARK: What follows a value

  private mutating func postfix(_ start: Expression) throws(TemplateError) -> Expression {
    var value = start
    while case .symbol(let symbol) = current.kind {
      switch symbol {
      case .dot, .leftBracket: value = try subscripted(value)
      case .leftParenthesis: value = try called(value)
      default: return value
      }
    }
    return value
  }

  private mutating func called(_ callee: Expression) throws(TemplateError) -> Expression {
    let line = current.line
    let arguments = try argumentList()
    return try make(.call(callee, arguments), [callee] + arguments.expressions, line: line)
  }

  private mutating func subscripted(_ value: Expression) throws(TemplateError) -> Expression {
    let line = current.line
    if skip(.dot) {
      let token = current
      position += 1
      switch token.kind {
      case .name(let name): return try make(.attribute(value, name), [value], line: line)
      case .integer(let index):
        let key = try make(.integer(index), [], line: line)
        return try make(.item(value, key), [value, key], line: line)
      default:
        position -= 1
        throw unexpected("a name or a number after '.'")
      }
    }
    try expect(.leftBracket)
    var parts: [Expression?] = [nil, nil, nil]
    var colons = 0
    if current.kind == .symbol(.rightBracket) { throw unexpected("an index") }
    while current.kind != .symbol(.rightBracket) {
      if skip(.colon) {
        colons += 1
        guard colons <= 2 else { throw unexpected("']'") }
      } else if current.kind == .symbol(.comma), colons == 0 {
        break
      } else {
        guard parts[colons] == nil else { throw unexpected("':' or ']'") }
        parts[colons] = try expression()
      }
    }
    if colons > 0 {
      try expect(.rightBracket)
      return try make(
        .slice(value, start: parts[0], stop: parts[1], step: parts[2]),
        [value] + parts.compactMap { $0 }, line: line)
    }
    guard let first = parts[0] else { throw unexpected("an index") }
    var keys = [first]
    while skip(.comma) {
      if current.kind == .symbol(.rightBracket) { break }
      keys.append(try expression())
    }
    try expect(.rightBracket)
    let key = keys.count == 1 ? first : try make(.tuple(keys), keys, line: line)
    return try make(.item(value, key), [value, key], line: line)
  }

  private mutating func filtersAndTests(_ start: Expression) throws(TemplateError) -> Expression {
    var value = start
    while true {
      switch current.kind {
      case .symbol(.pipe):
        let line = current.line
        for call in try filterChain(startsInline: false) {
          value = try make(.filter(value, call), [value] + call.arguments.expressions, line: line)
        }
      case .symbol(.leftParenthesis): value = try called(value)
      case .name("is"): value = try tested(value)
      default: return value
      }
    }
  }

  /// Reads `| name(…) | name(…)`; with `startsInline` the first comes without its bar.
  mutating func filterChain(startsInline: Bool) throws(TemplateError) -> [FilterCall] {
    var calls: [FilterCall] = []
    var inline = startsInline
    while inline || skip(.pipe) {
      inline = false
      let line = current.line
      let name = try dottedName()
      let arguments =
        current.kind == .symbol(.leftParenthesis) ? try argumentList() : ArgumentList()
      let filter = Filter(rawValue: name)
      if filter == nil, !isGuarded {
        throw TemplateError(.syntax, "no filter is named '\(name)'", line: line)
      }
      calls.append(FilterCall(name: name, filter: filter, arguments: arguments))
    }
    return calls
  }

  private mutating func tested(_ value: Expression) throws(TemplateError) -> Expression {
    let line = current.line
    try expect("is")
    let isNegated = skip("not")
    let name = try dottedName()
    var arguments = ArgumentList()
    switch current.kind {
    case .symbol(.leftParenthesis): arguments = try argumentList()
    case .name("else"), .name("or"), .name("and"): break
    case .name("is"):
      throw TemplateError(.syntax, "tests with 'is' cannot be chained", line: line)
    case .name, .string, .integer, .double, .symbol(.leftBracket), .symbol(.leftBrace):
      arguments.positional = [try postfix(try primary())]
    default: break
    }
    let test = ValueTest(rawValue: name)
    if test == nil, !isGuarded {
      throw TemplateError(.syntax, "no test is named '\(name)'", line: line)
    }
    let call = TestCall(name: name, test: test, arguments: arguments)
    let result = try make(.test(value, call), [value] + arguments.expressions, line: line)
    return isNegated ? try make(.not(result), [result], line: line) : result
  }

  /// Whether what is read may never be reached, so that unknown names fail late.
  private var isGuarded: Bool {
    if conditionDepth > 0 { return true }
    var index = position
    while index < tokens.count {
      switch tokens[index].kind {
      case .outputEnd, .blockEnd, .end: return false
      case .name("if"): return true
      default: index += 1
      }
    }
    return false
  }

  private mutating func dottedName() throws(TemplateError) -> String {
    var name = try expectName()
    while skip(.dot) { name += "." + (try expectName()) }
    return name
  }

  mutating func argumentList() throws(TemplateError) -> ArgumentList {
    try expect(.leftParenthesis)
    var list = ArgumentList()
    var needsComma = false
    while current.kind != .symbol(.rightParenthesis) {
      if needsComma {
        try expect(.comma)
        if current.kind == .symbol(.rightParenthesis) { break }
      }
      needsComma = true
      let misplaced = TemplateError(
        .syntax, "an argument stands after one that must come last", line: current.line)
      if skip(.multiply) {
        guard list.unpackedSequence == nil, list.unpackedMapping == nil else { throw misplaced }
        list.unpackedSequence = try expression()
      } else if skip(.power) {
        guard list.unpackedMapping == nil else { throw misplaced }
        list.unpackedMapping = try expression()
      } else if case .name(let name) = current.kind, next.kind == .symbol(.assign) {
        guard list.unpackedMapping == nil else { throw misplaced }
        position += 2
        list.named.append((name, try expression()))
      } else {
        guard list.unpackedSequence == nil, list.unpackedMapping == nil, list.named.isEmpty
        else { throw misplaced }
        list.positional.append(try expression())
      }
    }
    try expect(.rightParenthesis)
    return list
  }
}
