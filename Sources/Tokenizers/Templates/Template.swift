public import Foundation

/// A text with holes, in the language Jinja: what turns a conversation into a model's prompt.
///
/// Renders as Jinja2 does under the settings of Hugging Face `transformers`: `trim_blocks`,
/// `lstrip_blocks`, the immutable sandbox, `break` and `continue`, `{% generation %}`, and the
/// functions `raise_exception` and `strftime_now`. The template is parsed once and can be rendered
/// many times, from several threads.
///
/// Differences, all on purpose: whole numbers have 64 bits and fail beyond; other templates cannot
/// be included; the filters `random`, `urlize` and the function `lipsum` do not exist.
public struct Template: Sendable {
  /// What errors call the template.
  public let name: String
  /// The text it was made from.
  public let source: String
  private let statements: [Statement]

  /// Parses `source`.
  ///
  /// - Throws: kind `syntax`, `unsupported` or `limit`, with the line.
  public init(_ source: String, name: String = "chat_template") throws(TemplateError) {
    self.name = name
    self.source = source
    do {
      statements = try Parser.statements(of: source)
    } catch {
      throw error.located(template: name, line: 0)
    }
  }

  /// Renders the template.
  ///
  /// - Parameters:
  ///   - context: The variables the template sees.
  ///   - limits: What rendering may use.
  ///   - now: What `strftime_now` takes as the present.
  ///   - timeZone: Where `strftime_now` tells the time.
  /// - Throws: `TemplateError` with the line; of kind `raised` when the template itself refuses.
  public func render(
    _ context: [String: TemplateValue], limits: TemplateLimits = .default, now: Date = Date(),
    timeZone: TimeZone = .current
  ) throws(TemplateError) -> String {
    var variables: [String: Value] = [:]
    do {
      for (name, value) in context {
        if case .undefined = value { continue }
        variables[name] = try Value(value)
      }
    } catch {
      throw error.located(template: name, line: 0)
    }
    let evaluator = Evaluator(
      context: variables, limits: limits, now: now, timeZone: timeZone)
    do {
      return try evaluator.render(statements)
    } catch {
      throw error.located(template: name, line: evaluator.line)
    }
  }
}
