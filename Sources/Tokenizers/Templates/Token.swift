/// The smallest pieces of a template, as Jinja2's lexer cuts them.
struct Token: Equatable {
  /// A token's sort and value.
  enum Kind: Equatable {
    case text(String)
    case outputBegin
    case outputEnd
    case blockBegin
    case blockEnd
    case name(String)
    case string(String)
    case integer(Int)
    case double(Double)
    case symbol(Symbol)
    case end
  }

  /// Operators and punctuation, written as in the template.
  enum Symbol: String {
    case add = "+"
    case subtract = "-"
    case divide = "/"
    case floorDivide = "//"
    case multiply = "*"
    case modulo = "%"
    case power = "**"
    case tilde = "~"
    case leftBracket = "["
    case rightBracket = "]"
    case leftParenthesis = "("
    case rightParenthesis = ")"
    case leftBrace = "{"
    case rightBrace = "}"
    case equal = "=="
    case notEqual = "!="
    case greater = ">"
    case greaterOrEqual = ">="
    case less = "<"
    case lessOrEqual = "<="
    case assign = "="
    case dot = "."
    case colon = ":"
    case pipe = "|"
    case comma = ","
    case semicolon = ";"
  }

  let kind: Kind
  /// Counted from 1.
  let line: Int

  /// How an error message calls this token.
  var description: String {
    switch kind {
    case .text: "text"
    case .outputBegin: "'{{'"
    case .outputEnd: "'}}'"
    case .blockBegin: "'{%'"
    case .blockEnd: "'%}'"
    case .name(let name): "'\(name)'"
    case .string(let text): "the text '\(text.prefix(40))'"
    case .integer(let number): "the number \(number)"
    case .double(let number): "the number \(number)"
    case .symbol(let symbol): "'\(symbol.rawValue)'"
    case .end: "the end of the template"
    }
  }
}
