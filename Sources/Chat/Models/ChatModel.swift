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
  /// What the engine has computed for earlier answers, for those that begin alike.
  public let cache: PrefixCache

  /// A model from its parts.
  ///
  /// - Parameter cache: Of the same engine; a new one if nil.
  public init(
    name: String, engine: LanguageModel, tokenizer: Tokenizer, template: ChatTemplate?, adapter: Adapter?,
    endTokens: Set<Int32>, cache: PrefixCache? = nil
  ) {
    self.name = name
    self.engine = engine
    self.tokenizer = tokenizer
    self.template = template
    self.adapter = adapter
    self.endTokens = endTokens
    self.cache = cache ?? PrefixCache(engine)
  }

  /// The same model with another adapter in force; weights are shared.
  public func with(adapter: Adapter?, name: String? = nil) -> ChatModel {
    ChatModel(
      name: name ?? self.name, engine: engine, tokenizer: tokenizer, template: template, adapter: adapter,
      endTokens: endTokens, cache: cache)
  }

  /// The ids of a conversation up to where the assistant answers.
  ///
  /// - Throws: `ChatModelError.noTemplate`, or `TemplateError` when the template refuses the messages.
  public func prompt(_ messages: [ChatMessage]) throws -> [Int32] {
    guard let template else { throw ChatModelError.noTemplate(model: name) }
    return tokenizer.encode(try template.render(messages: messages, addGenerationPrompt: true), special: true)
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

  /// What is wrong and what to do about it.
  public var description: String {
    switch self {
    case .noTemplate(let model):
      "\(model) has no chat template, so it cannot hold a conversation: give a plain prompt with --raw, or "
        + "use a model that was trained to chat"
    case .vocabulary(let model, let tokens, let rows):
      "\(model): the tokenizer has \(tokens) tokens but the model only \(rows) rows for them: the tokenizer "
        + "belongs to another model"
    }
  }
}
