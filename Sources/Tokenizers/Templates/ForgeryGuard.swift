public import Foundation

/// Keeps what messages say apart from what a template says.
///
/// Before rendering, a mark that no text contains is put into messages wherever a special token could begin, or where one
/// begun by the template could go on; it travels through whatever the template does to the message, and where it comes out
/// no special token is read. A template that looks at its messages might see the mark, so the text without marks must
/// be that of a rendering without, to the byte; if it is not, fewer marks are tried, and then none.
public struct ForgeryGuard: Sendable {
  /// Texts of the special tokens.
  private let contents: [String]
  /// The scalars that they begin with.
  private let leads: Set<Unicode.Scalar>

  /// A guard against the forging of tokens with these texts.
  public init(_ contents: some Sequence<String>) {
    let contents = contents.filter { !$0.unicodeScalars.allSatisfy(\.isPythonSpace) }
    self.contents = contents
    // White space at a token's beginning belongs to it, but marking every space would hinder templates that trim.
    leads = Set(contents.compactMap { $0.unicodeScalars.first { !$0.isPythonSpace } })
  }

  /// Where to put marks.
  enum Care: CaseIterable {
    /// Wherever a special token could begin.
    case everywhere
    /// The same except before whole tags that are no special tokens, such as `<think>`: templates look for these.
    case besideTags
  }

  /// A mark that none of the texts contains: one of the 32 scalars that never stand for a character.
  ///
  /// - Parameter source: of the template.
  static func mark(absentFrom values: [TemplateValue], _ source: String) -> Unicode.Scalar? {
    var used: Set<Unicode.Scalar> = []
    func look(_ text: String) {
      for scalar in text.unicodeScalars where (0xFDD0...0xFDEF).contains(scalar.value) { used.insert(scalar) }
    }
    func look(_ value: TemplateValue) {
      switch value {
      case .string(let text): look(text)
      case .array(let elements): elements.forEach { look($0) }
      case .object(let entries):
        for entry in entries {
          look(entry.key)
          look(entry.value)
        }
      default: break
      }
    }
    look(source)
    values.forEach { look($0) }
    return (UInt32(0xFDD0)...0xFDEF).lazy.compactMap { Unicode.Scalar($0) }.first { !used.contains($0) }
  }

  // MARK: Marking

  /// `value` with marks in all its texts but those that say what kind of thing something is.
  func marked(_ value: TemplateValue, _ mark: Unicode.Scalar, _ care: Care) -> TemplateValue {
    switch value {
    case .string(let text): return .string(marked(text, mark, care))
    case .array(let elements): return .array(elements.map { marked($0, mark, care) })
    case .object(let entries):
      return .object(
        entries.map { entry in
          let isKind = entry.key == "role" || entry.key == "type"
          return (entry.key, isKind ? entry.value : marked(entry.value, mark, care))
        })
    default: return value
    }
  }

  /// `text` with marks.
  func marked(_ text: String, _ mark: Unicode.Scalar, _ care: Care) -> String {
    let scalars = text.unicodeScalars
    var result = String.UnicodeScalarView()
    var isStart = true
    for index in scalars.indices {
      let scalar = scalars[index]
      if !scalar.isPythonSpace {
        let begins = leads.contains(scalar) && (care == .everywhere || !isOrdinaryTag(scalars[index...]))
        if begins || (isStart && continues(scalars[index...])) { result.append(mark) }
        isStart = false
      }
      result.append(scalar)
    }
    return String(result)
  }

  /// Whether a special token that the template began could go on with `text`, the first word of a message.
  private func continues(_ text: Substring.UnicodeScalarView) -> Bool {
    let word = Array(text.prefix { !$0.isPythonSpace }.prefix(256))
    return contents.contains { content in
      let token = Array(content.unicodeScalars)
      return token.indices.dropFirst().contains { start in
        // All of the token's rest, or all of the message.
        token[start...].starts(with: word) || word.starts(with: token[start...])
      }
    }
  }

  /// Whether `text` begins with a whole tag, such as `<think>` or `</tool_call>`, that is no special token.
  private func isOrdinaryTag(_ text: Substring.UnicodeScalarView) -> Bool {
    guard let open = text.first, open == "<" || open == "[" else { return false }
    var end = text.index(after: text.startIndex)
    if end < text.endIndex, text[end] == "/" { end = text.index(after: end) }
    let nameStart = end
    while end < text.endIndex, text[end].isWordCharacter { end = text.index(after: end) }
    guard end > nameStart, end < text.endIndex, text[end] == (open == "<" ? ">" : "]") else { return false }
    return !contents.contains { text.starts(with: $0.unicodeScalars) }
  }
}

extension ChatTemplate {
  /// Renders a conversation so that the special tokens which messages spell stay text.
  ///
  /// Parameters are those of `render`.
  ///
  /// - Throws: also, of kind `security`, when a message spells a special token and the template treats messages in a way that
  ///   leaves no telling which is whose.
  public func render(
    messages: [ChatMessage], tools: TemplateValue? = nil, addGenerationPrompt: Bool, against guardian: ForgeryGuard,
    extra: [String: TemplateValue] = [:], limits: TemplateLimits = .default, now: Date = Date()
  ) throws(TemplateError) -> RenderedText {
    let values = TemplateValue.array(messages.map(\.templateValue))
    let plain = try render(
      values: values, tools: tools, addGenerationPrompt: addGenerationPrompt, extra: extra, limits: limits, now: now)
    guard let mark = ForgeryGuard.mark(absentFrom: [values, tools ?? .none], template.source) else {
      throw TemplateError(
        .security, "the messages hold all noncharacters from U+FDD0 to U+FDEF", template: template.name)
    }
    for care in ForgeryGuard.Care.allCases {
      let marked = guardian.marked(values, mark, care)
      let markedTools = tools.map { guardian.marked($0, mark, care) }
      if marked == values, markedTools == tools { return RenderedText(plain) }
      let text = try? render(
        values: marked, tools: markedTools, addGenerationPrompt: addGenerationPrompt, extra: extra, limits: limits,
        now: now)
      guard let text else { continue }
      let result = RenderedText(text, markedBy: mark)
      if result.text.utf8.elementsEqual(plain.utf8) { return result }
    }
    throw TemplateError(
      .security,
      "a message spells (part of) a special token, and the template changes messages so that it cannot be told from its "
        + "own: take the text out of the message", template: template.name)
  }
}
