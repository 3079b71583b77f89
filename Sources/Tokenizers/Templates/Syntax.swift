/// An expression with its place. A class, so that a tree's height is known while it is built and a
/// hostile template cannot build one too tall to walk or to free.
final class Expression: Sendable {
  let form: ExpressionForm
  let line: Int
  /// 1 more than the tallest operand's.
  let height: Int

  init(_ form: ExpressionForm, line: Int, height: Int) {
    self.form = form
    self.line = line
    self.height = height
  }
}

/// What an expression is.
enum ExpressionForm: Sendable {
  case none
  case boolean(Bool)
  case integer(Int)
  case double(Double)
  case string(String)
  case name(String)
  case list([Expression])
  case tuple([Expression])
  case dictionary([(key: Expression, value: Expression)])
  case unary(UnaryOperator, Expression)
  case binary(BinaryOperator, Expression, Expression)
  case not(Expression)
  case and(Expression, Expression)
  case or(Expression, Expression)
  /// `a < b < c`: the first operand and the rest, each with the operator before it.
  case comparison(Expression, [(ComparisonOperator, Expression)])
  /// `a ~ b ~ c`.
  case concatenation([Expression])
  case conditional(test: Expression, then: Expression, otherwise: Expression?)
  case filter(Expression, FilterCall)
  case test(Expression, TestCall)
  case attribute(Expression, String)
  case item(Expression, Expression)
  case slice(Expression, start: Expression?, stop: Expression?, step: Expression?)
  case call(Expression, ArgumentList)
}

enum UnaryOperator: Sendable { case plus, minus }

enum BinaryOperator: String, Sendable {
  case add = "+"
  case subtract = "-"
  case multiply = "*"
  case divide = "/"
  case floorDivide = "//"
  case modulo = "%"
  case power = "**"
}

enum ComparisonOperator: String, Sendable {
  case equal = "=="
  case notEqual = "!="
  case less = "<"
  case lessOrEqual = "<="
  case greater = ">"
  case greaterOrEqual = ">="
  case isIn = "in"
  case isNotIn = "not in"
}

/// What stands between the parentheses of a call.
struct ArgumentList: Sendable {
  var positional: [Expression] = []
  var named: [(name: String, value: Expression)] = []
  /// `*sequence`.
  var unpackedSequence: Expression?
  /// `**mapping`.
  var unpackedMapping: Expression?

  var expressions: [Expression] {
    positional + named.map(\.value) + [unpackedSequence, unpackedMapping].compactMap { $0 }
  }
}

/// `| name(…)`. `filter` is nil for an unknown name that only matters if evaluation gets there.
struct FilterCall: Sendable {
  let name: String
  let filter: Filter?
  let arguments: ArgumentList
}

/// `is name(…)`.
struct TestCall: Sendable {
  let name: String
  let test: ValueTest?
  let arguments: ArgumentList
}

/// Where a value is stored.
indirect enum AssignmentTarget: Sendable {
  case name(String)
  case tuple([AssignmentTarget])
  /// `name.attribute`, for namespaces.
  case attribute(String, String)
}

/// Parameters and body of a macro, or of a block that is handed to one.
struct MacroDefinition: Sendable {
  let name: String
  let parameters: [(name: String, standard: Expression?)]
  let body: [Statement]
  /// Whether the body names `varargs`, `kwargs` or `caller`, which a macro then accepts.
  let usesExtraPositional: Bool
  let usesExtraNamed: Bool
  let usesCaller: Bool
}

/// A piece of a template that writes or acts.
indirect enum Statement: Sendable {
  case text(String)
  case output(Expression)
  case condition(branches: [(test: Expression, body: [Statement])], otherwise: [Statement])
  case loop(Loop)
  case set(AssignmentTarget, Expression, line: Int)
  case setBlock(AssignmentTarget, filters: [FilterCall], body: [Statement], line: Int)
  case with([(target: AssignmentTarget, value: Expression)], body: [Statement], line: Int)
  case macro(MacroDefinition)
  /// `{% call(…) macro(…) %}`: the body is handed over as `caller`.
  case call(Expression, ArgumentList, caller: MacroDefinition, line: Int)
  case filterBlock([FilterCall], body: [Statement], line: Int)
  /// `{% generation %}`, which marks the assistant's words.
  case generation(MacroDefinition)
  /// A body with names of its own, such as `{% block %}`.
  case scope([Statement])
  case `break`
  case `continue`
}

/// `{% for target in sequence if test %}…{% else %}…{% endfor %}`.
struct Loop: Sendable {
  let target: AssignmentTarget
  let sequence: Expression
  let test: Expression?
  let isRecursive: Bool
  let body: [Statement]
  let otherwise: [Statement]
  let line: Int
}
