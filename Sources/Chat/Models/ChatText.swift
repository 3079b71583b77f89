internal import Engine
public import Foundation
public import Tokenizers

/// What a model does with text, apart from computing: rendering and tokenizing go on elsewhere while the model answers.
public struct ChatText: Sendable {
  /// What the user called the model.
  public let name: String
  /// Text to ids and back.
  public let tokenizer: Tokenizer
  /// How conversations become text; nil for models that were never taught any.
  public let template: ChatTemplate?
  /// Ids that end an answer.
  public let endTokens: Set<Int32>
  /// What a template that writes the date takes as today; nil is the moment of rendering.
  public let date: Date?

  /// The text layer of a model.
  public init(
    name: String, tokenizer: Tokenizer, template: ChatTemplate?, endTokens: Set<Int32>, date: Date? = nil
  ) {
    self.name = name
    self.tokenizer = tokenizer
    self.template = template
    self.endTokens = endTokens
    self.date = date
  }

  /// The ids of a conversation up to where the assistant answers.
  ///
  /// - Parameter tools: Descriptions of the tools the model may call, for templates that know of tools.
  /// - Throws: `ChatModelError.noTemplate`, or `TemplateError` when the template refuses the messages.
  public func prompt(_ messages: [ChatMessage], tools: TemplateValue? = nil) throws -> [Int32] {
    tokenizer.encode(try rendered(messages, tools: tools, addGenerationPrompt: true))
  }

  /// A conversation as the model reads it; special tokens that messages spell are marked as text.
  ///
  /// - Throws: As `prompt`.
  public func rendered(
    _ messages: [ChatMessage], tools: TemplateValue? = nil, addGenerationPrompt: Bool
  ) throws -> RenderedText {
    guard let template else { throw ChatModelError.noTemplate(model: name) }
    return try template.render(
      messages: messages, tools: tools, addGenerationPrompt: addGenerationPrompt, against: tokenizer.forgeryGuard,
      now: date ?? Date())
  }

  /// The ids of plain text, with what the tokenizer itself puts before a text.
  public func prompt(raw text: String) -> [Int32] {
    tokenizer.sequencePrefix + tokenizer.encode(text, special: false)
  }
}

extension ChatModel {
  /// The model's text layer, for use by any thread.
  public var text: ChatText {
    ChatText(name: name, tokenizer: tokenizer, template: template, endTokens: endTokens, date: date)
  }
}
