public import Engine

/// What to answer, for whom.
public struct AnswerCall: Sendable {
  /// Who answers.
  public var model: ServedModel
  /// The prompt's ids.
  public var prompt: [Int32]
  /// How to answer.
  public var options: AnswerOptions
  /// Answers to give; their seeds count up from the options'.
  public var count: Int
  /// Whom it is for: steps are shared fairly between keys, and only calls of one key share what was computed.
  public var key: String

  /// A call for one or several answers.
  public init(_ model: ServedModel, _ prompt: [Int32], _ options: AnswerOptions, count: Int = 1, key: String = "") {
    self.model = model
    self.prompt = prompt
    self.options = options
    self.count = count
    self.key = key
  }
}

/// The next piece of an answer.
public struct AnswerPiece: Sendable {
  /// Which of the answers, from 0.
  public let choice: Int
  /// Whole characters, never a part of a stop string; may be empty.
  public let text: String
  /// The tokens that this text completes, when probabilities were asked for.
  public let tokens: [SampledToken]
  /// With the last piece, the whole answer.
  public let answer: Answer?

  /// A piece of an answer.
  package init(choice: Int, text: String, tokens: [SampledToken], answer: Answer?) {
    (self.choice, self.text, self.tokens, self.answer) = (choice, text, tokens, answer)
  }
}

/// Why the engine room does not take a call on.
public enum EngineRoomError: Error, Sendable, Equatable, CustomStringConvertible {
  /// As many calls wait as may.
  case full(waiting: Int, retryAfterSeconds: Int)
  /// This key has as many calls under way as it may.
  case keyFull(limit: Int, retryAfterSeconds: Int)
  /// The room is being closed.
  case closing
  /// The model was unloaded.
  case modelGone(String)

  /// What is wrong and what to do about it.
  public var description: String {
    switch self {
    case .full(let waiting, let seconds): "\(waiting) requests are waiting already: try again in \(seconds) s"
    case .keyFull(let limit, let seconds):
      "this key has \(limit) requests under way, which is its share: try again in \(seconds) s"
    case .closing: "the server is shutting down: try another one, or again when it is back"
    case .modelGone(let name): "the model \(name) was unloaded"
    }
  }
}
