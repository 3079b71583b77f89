internal import Engine
internal import Tokenizers

/// A conversation with a model, in which what the model has read already is not read again.
///
/// Not `Sendable`, like its model.
public final class ChatSession {
  public let model: ChatModel
  public var conversation: Conversation
  /// At most this many tokens, questions and answers together.
  public let contextLength: Int

  /// The text that the last prompt and its answer make together, and the tokens that they were.
  ///
  /// A model may well spell an answer in other tokens than the tokenizer would. Reading back what it said from its text
  /// alone would then change the past, and everything after that place had to be computed again.
  private var spoken: (text: String, tokens: [Int32])?

  /// What came of one question.
  public struct Reply: Sendable {
    public let answer: Answer
    /// Whether `isCancelled` ended it; what was said until then is in the conversation.
    public let isInterrupted: Bool
    /// Whether the answer ends because the context was full.
    public let fillsContext: Bool
    /// Tokens of the conversation with this answer.
    public let usedTokenCount: Int
  }

  /// - Parameter contextLength: At most the model's; nil is the model's.
  public init(_ model: ChatModel, _ conversation: Conversation = Conversation(), contextLength: Int? = nil) {
    self.model = model
    self.conversation = conversation
    self.contextLength = min(contextLength ?? model.engine.contextLength, model.engine.contextLength)
  }

  /// Tokens that the conversation takes as it stands, with the template's text around it.
  ///
  /// - Throws: As `prompt`.
  public func tokenCount() throws -> Int {
    conversation.messages.isEmpty ? 0 : try prompt(addingGenerationPrompt: conversation.hasOpenQuestion).tokens.count
  }

  /// Answers the open question and adds the answer to the conversation.
  ///
  /// An answer without a word leaves the question open.
  ///
  /// - Parameters:
  ///   - isCancelled: Asked before every step of the model; true ends the answer there.
  ///   - onText: Receives text as it becomes certain.
  /// - Throws: `GenerationError.promptTooLong` when the conversation does not fit, with both numbers; the question stays
  ///   open. Otherwise as `ChatModel.answer`.
  public func answer(
    _ options: AnswerOptions, isCancelled: () -> Bool = { false }, onText: (String) -> Void
  ) throws -> Reply {
    precondition(conversation.hasOpenQuestion, "there is nothing to answer")
    let prompt = try prompt(addingGenerationPrompt: true)
    var isInterrupted = false
    let answers = try model.answer(
      [(prompt.tokens, options)], contextLength: contextLength,
      onText: { _, text in
        onText(text)
        return true
      },
      isCancelled: {
        isInterrupted = isInterrupted || isCancelled()
        return isInterrupted
      })
    let answer = answers.first ?? Answer()
    spoken = nil
    if model.tokenizer.decode(answer.tokens, skipSpecial: true) == answer.text {
      spoken = (prompt.text + answer.text, prompt.tokens + answer.tokens)
    }
    if !answer.text.allSatisfy(\.isWhitespace) { conversation.answer(answer.text) }
    let used = prompt.tokens.count + answer.tokens.count
    return Reply(
      answer: answer, isInterrupted: isInterrupted,
      fillsContext: answer.finishReason == .length && !isInterrupted && used >= contextLength, usedTokenCount: used)
  }

  /// The conversation as text and as ids.
  ///
  /// - Throws: `ChatModelError.noTemplate`, or `TemplateError` when the template refuses the messages.
  private func prompt(addingGenerationPrompt: Bool) throws -> (text: String, tokens: [Int32]) {
    let text = try model.rendered(conversation.messages, addGenerationPrompt: addingGenerationPrompt)
    if let spoken, let rest = text.remainder(after: RenderedText(spoken.text)) {
      let tokens = model.tokenizer.encode(rest, at: .continued)
      // Only a special token, which no merge crosses, surely begins a new token here.
      if let first = tokens.first, model.tokenizer.isSpecial(first) { return (text.text, spoken.tokens + tokens) }
    }
    return (text.text, model.tokenizer.encode(text))
  }
}
