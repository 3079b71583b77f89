public import Engine
internal import Foundation
public import Tokenizers

/// A model that answers messages: the engine's model with its tokenizer and its chat template.
///
/// Not `Sendable`: it belongs to one executor, like the engine's model.
public final class ChatModel {
  /// What the user called it.
  public let name: String
  /// Token ids in, logits out.
  public let engine: LanguageModel
  /// Text to ids and back.
  public let tokenizer: Tokenizer
  /// How conversations become text; nil for models that were never taught any.
  public let template: ChatTemplate?
  /// The adapter in force.
  public let adapter: Adapter?
  /// Ids that end an answer.
  public let endTokens: Set<Int32>

  /// A model from its parts.
  public init(
    name: String, engine: LanguageModel, tokenizer: Tokenizer, template: ChatTemplate?, adapter: Adapter?,
    endTokens: Set<Int32>
  ) {
    self.name = name
    self.engine = engine
    self.tokenizer = tokenizer
    self.template = template
    self.adapter = adapter
    self.endTokens = endTokens
  }

  /// The same model with another adapter in force; weights are shared.
  public func with(adapter: Adapter?, name: String? = nil) -> ChatModel {
    ChatModel(
      name: name ?? self.name, engine: engine, tokenizer: tokenizer, template: template, adapter: adapter,
      endTokens: endTokens)
  }

  /// The ids of a conversation up to where the assistant answers.
  ///
  /// - Throws: `ChatModelError.noTemplate`, or `TemplateError` when the template refuses the messages.
  public func prompt(_ messages: [ChatMessage]) throws -> [Int32] {
    tokenizer.encode(try rendered(messages, addGenerationPrompt: true))
  }

  /// A conversation as the model reads it; special tokens that messages spell are marked as text.
  ///
  /// - Throws: As `prompt`.
  public func rendered(_ messages: [ChatMessage], addGenerationPrompt: Bool) throws -> RenderedText {
    guard let template else { throw ChatModelError.noTemplate(model: name) }
    return try template.render(
      messages: messages, addGenerationPrompt: addGenerationPrompt, against: tokenizer.forgeryGuard)
  }

  /// The ids of plain text, with what the tokenizer itself puts before a text.
  public func prompt(raw text: String) -> [Int32] {
    tokenizer.sequencePrefix + tokenizer.encode(text, special: false)
  }
}

/// Why a model cannot do what was asked.
public enum ChatModelError: Error, Sendable, Equatable, CustomStringConvertible {
  case noTemplate(model: String)
  case vocabulary(model: String, tokens: Int, rows: Int)
  case contextTooLong(model: String, asked: Int, most: Int)

  /// What is wrong and what to do about it.
  public var description: String {
    switch self {
    case .noTemplate(let model):
      "\(model) has no chat template, so it cannot hold a conversation: give a plain prompt with --raw, or "
        + "use a model that was trained to chat"
    case .vocabulary(let model, let tokens, let rows):
      "\(model): the tokenizer has \(tokens) tokens but the model only \(rows) rows for them: the tokenizer "
        + "belongs to another model"
    case .contextTooLong(let model, let asked, let most):
      "--context \(asked): \(model) was made for at most \(most) tokens"
    }
  }
}
