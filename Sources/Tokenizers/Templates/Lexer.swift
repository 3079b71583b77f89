/// Cuts a template's text into tokens, with the white-space rules of Jinja2 under `trim_blocks` and
/// `lstrip_blocks`, which is how chat templates are meant to be read.
///
/// - A newline right after a block's or comment's end is dropped.
/// - Spaces between a line's start and a block's or comment's begin are dropped.
/// - `-` beside a delimiter drops all white space there, `+` keeps it.
/// - One newline at the very end of the template is dropped; line endings become `\n`.
struct Lexer {
  private let source: [Unicode.Scalar]
  private var position = 0
  private var line = 1
  private var tokens: [Token] = []
  /// Whether the text that follows starts a line: at the beginning, or after an end delimiter that
  /// took the newline with it.
  private var lineStarting = true

  private init(_ text: String) {
    var scalars: [Unicode.Scalar] = []
    scalars.reserveCapacity(text.utf8.count)
    var previous: Unicode.Scalar = " "
    for scalar in text.unicodeScalars {
      if scalar == "\r" {
        scalars.append("\n")
      } else if scalar != "\n" || previous != "\r" {
        scalars.append(scalar)
      }
      previous = scalar
    }
    if scalars.last == "\n" { scalars.removeLast() }
    source = scalars
  }

  /// The tokens of `text`, closed by one of kind `end`.
  ///
  /// - Throws: kind `syntax` for characters no token starts with, unbalanced brackets, a comment or
  ///   raw block that never ends, a malformed number or text.
  static func tokens(of text: String) throws(TemplateError) -> [Token] {
    guard text.utf8.count <= TemplateLimits.sourceBytes else {
      throw TemplateError(
        .limit,
        "the template has \(text.utf8.count) bytes, expected at most \(TemplateLimits.sourceBytes)")
    }
    var lexer = Lexer(text)
    do {
      while try lexer.readTextAndBegin() {}
    } catch {
      throw error.located(template: "", line: lexer.line)
    }
    lexer.add(.end)
    return lexer.tokens
  }

  private mutating func add(_ kind: Token.Kind) { tokens.append(Token(kind: kind, line: line)) }

  private func peek(_ offset: Int = 0) -> Unicode.Scalar? {
    position + offset < source.count ? source[position + offset] : nil
  }

  private func hasPrefix(_ text: StaticString, at start: Int) -> Bool {
    guard start + text.utf8CodeUnitCount <= source.count else { return false }
    return text.withUTF8Buffer { bytes in
      for (index, byte) in bytes.enumerated() where source[start + index].value != UInt32(byte) {
        return false
      }
      return true
    }
  }

  /// Moves on, counting the lines passed.
  private mutating func advance(to end: Int) {
    while position < end {
      if source[position] == "\n" { line += 1 }
      position += 1
    }
  }

  private mutating func skipSpace() {
    var end = position
    while end < source.count, source[end].isPythonSpace { end += 1 }
    advance(to: end)
  }

  // MARK: Text

  /// Reads text up to the next delimiter and what the delimiter opens; false at the end.
  private mutating func readTextAndBegin() throws(TemplateError) -> Bool {
    let start = position
    var begin = position
    while begin < source.count {
      if source[begin] == "{", begin + 1 < source.count {
        let next = source[begin + 1]
        if next == "{" || next == "%" || next == "#" { break }
      }
      begin += 1
    }
    guard begin < source.count else {
      if start < begin { addText(start, begin) }
      advance(to: begin)
      return false
    }
    let delimiter = source[begin + 1]
    let sign: Unicode.Scalar? =
      begin + 2 < source.count && (source[begin + 2] == "-" || source[begin + 2] == "+")
      ? source[begin + 2] : nil
    addText(start, strippedEnd(start, begin, sign: sign, isOutput: delimiter == "{"))
    advance(to: begin + 2 + (sign == nil ? 0 : 1))
    switch delimiter {
    case "#": try readComment()
    case "{":
      add(.outputBegin)
      try readTag(isBlock: false)
    default:
      if try readRaw() { return true }
      add(.blockBegin)
      try readTag(isBlock: true)
    }
    return true
  }

  private mutating func addText(_ start: Int, _ end: Int) {
    if start < end { add(.text(String(scalars: source[start..<end]))) }
  }

  /// Where text that runs up to a delimiter ends once white space before the delimiter is dropped.
  private func strippedEnd(
    _ start: Int, _ end: Int, sign: Unicode.Scalar?, isOutput: Bool
  ) -> Int {
    var stripped = end
    if sign == "-" {
      while stripped > start, source[stripped - 1].isPythonSpace { stripped -= 1 }
      return stripped
    }
    guard sign == nil, !isOutput else { return end }
    while stripped > start, source[stripped - 1] != "\n" {
      guard source[stripped - 1].isPythonSpace else { return end }
      stripped -= 1
    }
    let reachesLineStart = stripped > start || lineStarting
    return reachesLineStart ? stripped : end
  }

  /// Passes a block's or comment's end at the current position, with the white space it takes along.
  private mutating func passEnd(sign: Unicode.Scalar?, trimsNewline: Bool) {
    advance(to: position + (sign == nil ? 2 : 3))
    if sign == "-" {
      skipSpace()
    } else if sign == nil, trimsNewline, peek() == "\n" {
      advance(to: position + 1)
    }
    lineStarting = position > 0 && source[position - 1] == "\n"
  }

  private mutating func readComment() throws(TemplateError) {
    var end = position
    while end < source.count {
      if hasPrefix("#}", at: end) { break }
      if source[end] == "-" || source[end] == "+", hasPrefix("#}", at: end + 1) { break }
      end += 1
    }
    guard end < source.count else {
      throw TemplateError(.syntax, "expected '#}' to end the comment, found the template's end")
    }
    advance(to: end)
    passEnd(sign: source[end] == "#" ? nil : source[end], trimsNewline: true)
  }

  /// Reads a whole `{% raw %}` block if one starts here.
  private mutating func readRaw() throws(TemplateError) -> Bool {
    func end(of word: StaticString, from start: Int) -> Int? {
      var index = start
      while index < source.count, source[index].isPythonSpace { index += 1 }
      guard hasPrefix(word, at: index) else { return nil }
      index += word.utf8CodeUnitCount
      while index < source.count, source[index].isPythonSpace { index += 1 }
      return index
    }
    guard let afterRaw = end(of: "raw", from: position) else { return false }
    let sign: Unicode.Scalar? = hasPrefix("-%}", at: afterRaw) ? "-" : nil
    guard sign != nil || hasPrefix("%}", at: afterRaw) else { return false }
    advance(to: afterRaw)
    passEnd(sign: sign, trimsNewline: false)
    let start = position
    var begin = position
    while begin + 1 < source.count {
      if hasPrefix("{%", at: begin) {
        let signed = begin + 2 < source.count && (source[begin + 2] == "-" || source[begin + 2] == "+")
        let beginSign = signed ? source[begin + 2] : nil
        if let after = end(of: "endraw", from: begin + (signed ? 3 : 2)) {
          let isSigned = hasPrefix("-%}", at: after) || hasPrefix("+%}", at: after)
          if isSigned || hasPrefix("%}", at: after) {
            addText(start, strippedEnd(start, begin, sign: beginSign, isOutput: false))
            advance(to: after)
            passEnd(sign: isSigned ? source[after] : nil, trimsNewline: true)
            return true
          }
        }
      }
      begin += 1
    }
    throw TemplateError(.syntax, "expected '{% endraw %}', found the template's end")
  }

  // MARK: Inside delimiters

  private mutating func readTag(isBlock: Bool) throws(TemplateError) {
    var open: [Token.Symbol] = []
    let opened = line
    while true {
      guard let scalar = peek() else {
        throw TemplateError(
          .syntax,
          "expected '\(isBlock ? "%}" : "}}")' to end what line \(opened) began, found the template's end"
        )
      }
      if open.isEmpty, passTagEnd(isBlock: isBlock) { return }
      if scalar.isPythonSpace {
        skipSpace()
      } else if scalar.isDecimalDigit {
        try readNumber()
      } else if scalar.isWordCharacter {
        var end = position
        while end < source.count, source[end].isWordCharacter { end += 1 }
        add(.name(String(scalars: source[position..<end])))
        advance(to: end)
      } else if scalar == "'" || scalar == "\"" {
        try readString(quote: scalar)
      } else {
        try readSymbol(&open)
      }
    }
  }

  private mutating func passTagEnd(isBlock: Bool) -> Bool {
    let sign: Unicode.Scalar? = peek() == "-" || (isBlock && peek() == "+") ? peek() : nil
    let end = position + (sign == nil ? 0 : 1)
    guard isBlock ? hasPrefix("%}", at: end) : hasPrefix("}}", at: end) else { return false }
    add(isBlock ? .blockEnd : .outputEnd)
    passEnd(sign: sign, trimsNewline: isBlock)
    return true
  }

  private mutating func readSymbol(_ open: inout [Token.Symbol]) throws(TemplateError) {
    var symbol: Token.Symbol?
    if let first = peek(), let second = peek(1) {
      symbol = Token.Symbol(rawValue: String(scalars: [first, second]))
    }
    if symbol == nil, let first = peek() {
      symbol = Token.Symbol(rawValue: String(scalars: [first]))
    }
    guard let symbol else {
      throw TemplateError(
        .syntax, "expected an expression, found the character '\(peek().map(String.init) ?? "")'")
    }
    switch symbol {
    case .leftBrace: open.append(.rightBrace)
    case .leftParenthesis: open.append(.rightParenthesis)
    case .leftBracket: open.append(.rightBracket)
    case .rightBrace, .rightParenthesis, .rightBracket:
      guard let expected = open.popLast() else {
        throw TemplateError(.syntax, "found '\(symbol.rawValue)' that closes nothing")
      }
      guard expected == symbol else {
        throw TemplateError(
          .syntax, "expected '\(expected.rawValue)', found '\(symbol.rawValue)'")
      }
    default: break
    }
    add(.symbol(symbol))
    advance(to: position + symbol.rawValue.utf8.count)
  }

  // MARK: Literals

  /// End of a run of digits with single underscores between them, or nil if none starts here.
  private func digitsEnd(from start: Int, _ isDigit: (Unicode.Scalar) -> Bool) -> Int? {
    guard start < source.count, isDigit(source[start]) else { return nil }
    var end = start + 1
    while end < source.count {
      if isDigit(source[end]) {
        end += 1
      } else if source[end] == "_", end + 1 < source.count, isDigit(source[end + 1]) {
        end += 2
      } else {
        break
      }
    }
    return end
  }

  private mutating func readNumber() throws(TemplateError) {
    let afterDot = position > 0 && source[position - 1] == "."
    if !afterDot, let end = floatEnd() {
      let text = digits(position, end)
      guard let value = Double(text) else {
        throw TemplateError(.syntax, "expected a number, found '\(text)'")
      }
      add(.double(value))
      advance(to: end)
      return
    }
    let (radix, start): (Int, Int) =
      switch peek(1) {
      case "x" where peek() == "0", "X" where peek() == "0": (16, position + 2)
      case "o" where peek() == "0", "O" where peek() == "0": (8, position + 2)
      case "b" where peek() == "0", "B" where peek() == "0": (2, position + 2)
      default: (10, position)
      }
    let first = radix != 10 && start < source.count && source[start] == "_" ? start + 1 : start
    let limit = UInt32(radix)
    let isZero = radix == 10 && peek() == "0"
    let end = digitsEnd(from: first) { isZero ? $0 == "0" : ($0.hexadecimalValue ?? 99) < limit }
    guard let end else {
      add(.integer(0))
      advance(to: position + 1)
      return
    }
    let text = digits(first, end)
    guard let value = Int(text, radix: radix) else {
      throw TemplateError(.limit, "the number \(text.prefix(40)) does not fit 64 bits")
    }
    add(.integer(value))
    advance(to: end)
  }

  private func digits(_ start: Int, _ end: Int) -> String {
    String(scalars: source[start..<end].lazy.filter { $0 != "_" })
  }

  private func floatEnd() -> Int? {
    guard var end = digitsEnd(from: position, \.isDecimalDigit) else { return nil }
    var isFloat = false
    if end < source.count, source[end] == ".",
      let fraction = digitsEnd(from: end + 1, \.isDecimalDigit)
    {
      end = fraction
      isFloat = true
    }
    if end < source.count, source[end] == "e" || source[end] == "E" {
      var exponent = end + 1
      if exponent < source.count, source[exponent] == "+" || source[exponent] == "-" {
        exponent += 1
      }
      if let exponentEnd = digitsEnd(from: exponent, \.isDecimalDigit) {
        end = exponentEnd
        isFloat = true
      }
    }
    return isFloat ? end : nil
  }

  private mutating func readString(quote: Unicode.Scalar) throws(TemplateError) {
    var end = position + 1
    while end < source.count, source[end] != quote { end += source[end] == "\\" ? 2 : 1 }
    guard end < source.count else {
      throw TemplateError(.syntax, "expected \(quote) to end the text, found the template's end")
    }
    add(.string(try StringEscapes.decode(source[(position + 1)..<end])))
    advance(to: end + 1)
  }
}
