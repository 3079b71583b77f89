/// Why a template could not be read or rendered, and where.
public struct TemplateError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The sort of failure, for callers that treat some differently.
  public enum Kind: Sendable, Equatable {
    /// The template's text is not a valid template.
    case syntax
    /// The template uses something the language has and this interpreter leaves out on purpose.
    case unsupported
    /// A missing variable, attribute or item was used for more than printing or testing.
    case undefined
    /// An operation met a value of the wrong type, or a wrong number of arguments.
    case type
    /// An operation met a value it cannot take, such as a zero divisor.
    case value
    /// The template reached for what the sandbox withholds.
    case security
    /// A limit of `TemplateLimits` was reached.
    case limit
    /// The template itself called `raise_exception`; `message` is what it said.
    case raised
    /// Text that should have been JSON is not.
    case json
  }

  /// What sort of failure it is.
  public var kind: Kind
  /// The name given to the template, `chat_template` unless told otherwise.
  public var template: String
  /// The line of the template's text, counted from 1; 0 when no line applies.
  public var line: Int
  /// What was expected and what was found.
  public var message: String

  /// Makes an error; the interpreter fills in the template's name and the line.
  public init(_ kind: Kind, _ message: String, template: String = "", line: Int = 0) {
    self.kind = kind
    self.template = template
    self.line = line
    self.message = message
  }

  /// One line for a person: template, line, message.
  public var description: String {
    var place = template
    if line > 0 { place += (place.isEmpty ? "" : ", ") + "line \(line)" }
    return place.isEmpty ? message : "\(place): \(message)"
  }

  /// The same error with its place filled in where it was still open.
  func located(template: String, line: Int) -> TemplateError {
    var error = self
    if error.template.isEmpty { error.template = template }
    if error.line == 0 { error.line = line }
    return error
  }
}
