import Foundation
import Tokenizers

/// A rendering to check: a template, what it is given, and what Jinja2 made of it.
struct TemplateCase {
  let name: String
  let template: String
  let context: [String: TemplateValue]
  /// Jinja2's output; nil where it raised.
  let expected: String?
  /// What Jinja2 said when it raised.
  let complaint: String

  /// The fixed moment fixtures take as now: 2024-07-26 13:05:09 UTC.
  static let now = Date(timeIntervalSince1970: 1_721_999_109)

  /// What this interpreter makes of it.
  func render(limits: TemplateLimits = .default) -> Result<String, TemplateError> {
    Result { () throws(TemplateError) in
      try Template(template, name: name).render(
        context, limits: limits, now: Self.now, timeZone: TimeZone(identifier: "UTC") ?? .current)
    }
  }

  /// Nil if it agrees with Jinja2, otherwise the difference.
  var difference: String? {
    switch (render(), expected) {
    case (.success(let text), let expected?):
      Array(text.utf8) == Array(expected.utf8)
        ? nil : "\(name)\n  expected: \(expected.debugDescription)\n  rendered: \(text.debugDescription)"
    case (.failure(let error), nil):
      Self.agree(error, complaint) ? nil : "\(name)\n  expected: \(complaint)\n  error: \(error)"
    case (.success(let text), nil):
      "\(name)\n  expected an error (\(complaint))\n  rendered: \(text.debugDescription)"
    case (.failure(let error), let expected?):
      "\(name)\n  expected: \(expected.debugDescription)\n  error: \(error)"
    }
  }

  /// Whether both fail for the same sort of reason: what the template raised has the same words, and
  /// what cannot be parsed fails on both sides at parsing.
  private static func agree(_ error: TemplateError, _ complaint: String) -> Bool {
    let raised = "TemplateError: "
    if complaint.hasPrefix(raised) || error.kind == .raised {
      return error.kind == .raised && complaint.dropFirst(raised.count) == error.message.prefix(200 - raised.count)
    }
    if complaint.hasPrefix("TemplateSyntaxError") {
      return error.kind == .syntax || error.kind == .unsupported
    }
    if complaint.hasPrefix("UndefinedError") { return error.kind == .undefined }
    return (error.kind == .limit) == complaint.hasPrefix("OverflowError")
  }

  /// Reads a file of cases: `templates` by name, `contexts` by name, and `cases` that name both.
  static func read(_ file: URL) throws -> [TemplateCase] {
    let document = try TemplateValue(json: try Data(contentsOf: file))
    guard case .array(let cases)? = document["cases"] else { return [] }
    return cases.compactMap { item in
      guard case .string(let name)? = item["name"],
        case .string(let template)? = referenced(item["template"], in: document["templates"]),
        case .object(let entries)? = referenced(item["context"], in: document["contexts"])
      else { return nil }
      var context: [String: TemplateValue] = [:]
      for entry in entries { context[entry.key] = entry.value }
      if case .object(let more)? = item["more"] {
        for entry in more { context[entry.key] = entry.value }
      }
      var expected: String?
      if case .string(let text)? = item["expected"] { expected = text }
      var complaint = ""
      if case .string(let text)? = item["error"] { complaint = text }
      return TemplateCase(
        name: name, template: template, context: context, expected: expected,
        complaint: complaint)
    }
  }

  /// The value itself, or what the table has under the name it is; `=` marks a template as spelled
  /// out.
  private static func referenced(
    _ value: TemplateValue?, in table: TemplateValue?
  ) -> TemplateValue? {
    guard case .string(let name)? = value else { return value ?? .object([]) }
    if name.hasPrefix("=") { return .string(String(name.dropFirst())) }
    return table?[name]
  }

  /// The folder of committed fixtures.
  static let folder = URL(filePath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "Fixtures/templates")
}
