public import Engine
public import Foundation
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
  /// What a template that writes the date takes as today; nil is the moment of rendering.
  public let date: Date?
  /// What it took as today when the run that made this model trained it, if the template writes the date.
  public let trainingDate: Date?
  /// What the engine has computed for earlier answers, for those that begin alike.
  public let cache: PrefixCache

  /// A model from its parts.
  ///
  /// - Parameter cache: Of the same engine; a new one if nil.
  public init(
    name: String, engine: LanguageModel, tokenizer: Tokenizer, template: ChatTemplate?, adapter: Adapter?,
    endTokens: Set<Int32>, cache: PrefixCache? = nil, date: Date? = nil, trainingDate: Date? = nil
  ) {
    self.name = name
    self.engine = engine
    self.tokenizer = tokenizer
    self.template = template
    self.adapter = adapter
    self.endTokens = endTokens
    self.date = date
    self.trainingDate = trainingDate
    self.cache = cache ?? PrefixCache(engine)
  }

  /// The same model with another adapter in force; weights are shared.
  public func with(adapter: Adapter?, name: String? = nil) -> ChatModel {
    ChatModel(
      name: name ?? self.name, engine: engine, tokenizer: tokenizer, template: template, adapter: adapter,
      endTokens: endTokens, cache: cache, date: date, trainingDate: trainingDate)
  }

  /// The same model with another day in its templates; nil is the moment of rendering.
  public func rendering(on date: Date?) -> ChatModel {
    ChatModel(
      name: name, engine: engine, tokenizer: tokenizer, template: template, adapter: adapter, endTokens: endTokens,
      cache: cache, date: date, trainingDate: trainingDate)
  }

  /// The ids of a conversation up to where the assistant answers.
  ///
  /// - Throws: `ChatModelError.noTemplate`, or `TemplateError` when the template refuses the messages.
  public func prompt(_ messages: [ChatMessage]) throws -> [Int32] { try text.prompt(messages) }

  /// A conversation as the model reads it; special tokens that messages spell are marked as text.
  ///
  /// - Throws: As `prompt`.
  public func rendered(_ messages: [ChatMessage], addGenerationPrompt: Bool) throws -> RenderedText {
    try text.rendered(messages, addGenerationPrompt: addGenerationPrompt)
  }

  /// The ids of plain text, with what the tokenizer itself puts before a text.
  public func prompt(raw text: String) -> [Int32] { self.text.prompt(raw: text) }
}

/// Why a model cannot do what was asked.
public enum ChatModelError: Error, Sendable, Equatable, CustomStringConvertible {
  case noTemplate(model: String)
  case vocabulary(model: String, tokens: Int, rows: Int)
  case contextTooLong(model: String, asked: Int, most: Int)
  case noTokenizer(folder: String)

  /// What is wrong and what to do about it.
  public var description: String {
    switch self {
    case .noTemplate(let model):
      "\(model) has no chat template, so it cannot hold a conversation: give a plain prompt with --raw, or "
        + "use a model that was trained to chat"
    case .noTokenizer(let folder):
      "\(folder): tokenizer.json is missing, so text cannot become tokens: copy it there from where the weights came from, "
        + "together with tokenizer_config.json; where there are only older files, transformers writes it: "
        + "AutoTokenizer.from_pretrained(…).save_pretrained(…)"
    case .vocabulary(let model, let tokens, let rows):
      "\(model): the tokenizer has \(tokens) tokens but the model only \(rows) rows for them: the tokenizer "
        + "belongs to another model"
    case .contextTooLong(let model, let asked, let most):
      "--context \(asked): \(model) was made for at most \(most) tokens"
    }
  }
}
