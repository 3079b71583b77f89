public import Foundation
public import Tokenizers

/// Renders training conversations through the model's own chat template, the one serving uses.
public struct ChatTemplateRenderer: ConversationRenderer {
  private let template: ChatTemplate
  private let guardian: ForgeryGuard
  private let now: Date

  /// A renderer through `template`.
  ///
  /// - Parameter tokenizer: whose special tokens messages may not spell.
  /// - Parameter now: what templates that write the date take as today: one moment for a whole run, or rendering twice
  ///   over midnight would not give one text.
  public init(_ template: ChatTemplate, tokenizer: Tokenizer, now: Date) {
    self.template = template
    self.now = now
    guardian = tokenizer.forgeryGuard
  }

  /// Renders `turns`.
  ///
  /// - Throws: `TemplateError`.
  public func render(_ turns: [Turn], addGenerationPrompt: Bool) throws -> RenderedText {
    try template.render(
      messages: turns.map(ChatMessage.init), addGenerationPrompt: addGenerationPrompt, against: guardian, now: now)
  }
}

extension ChatMessage {
  /// A turn as templates see it.
  public init(_ turn: Turn) { self.init(role: turn.role.rawValue, content: turn.content) }
}
