public import Engine

/// What to answer and how.
public struct AnswerOptions: Sendable {
  /// How each token is chosen.
  public var sampling: SamplingOptions
  /// nil is as many as the context holds.
  public var maximumTokenCount: Int?
  /// Strings that end the answer; they are not part of it.
  public var stops: [String]
  /// A text from which on they end nothing; nil for none.
  public var stopsEnd: String?
  /// How many alternatives to list for each token; nil lists no probabilities.
  public var listedTokenCount: Int?
  /// Which texts may come; nil lets all.
  public var constraint: (any TokenConstraint)?

  /// Options; without arguments greedy, as long as the context allows.
  public init(
    sampling: SamplingOptions = .greedy, maximumTokenCount: Int? = nil, stops: [String] = [],
    listedTokenCount: Int? = nil
  ) {
    self.sampling = sampling
    self.maximumTokenCount = maximumTokenCount
    self.stops = stops
    self.listedTokenCount = listedTokenCount
  }
}

/// A finished answer.
public struct Answer: Sendable {
  /// Without end token and stop string.
  public var text = ""
  /// Every generated token, the end token excluded.
  public var tokens: [Int32] = []
  /// The stop string that ended it, if one did.
  public var stopString: String?
  /// Why the answer ended.
  public var finishReason = FinishReason.length
  /// What the model thought of each token, if asked for.
  public var logProbabilities: [SampledToken] = []
  /// Tokens of the prompt.
  public var promptTokenCount = 0
  /// Prompt tokens that were already computed for an earlier request.
  public var cachedTokenCount = 0
  /// Seconds from the request to its first token.
  public var firstTokenSeconds = 0.0
  /// Seconds from the first token to the last.
  public var decodingSeconds = 0.0

  /// An answer without a word.
  public init() {}

  /// Tokens read per second, those of the cache excluded.
  public var promptTokensPerSecond: Double {
    firstTokenSeconds > 0 ? Double(promptTokenCount - cachedTokenCount) / firstTokenSeconds : 0
  }

  /// Tokens generated per second after the first.
  public var completionTokensPerSecond: Double {
    decodingSeconds > 0 ? Double(max(0, tokens.count - 1)) / decodingSeconds : 0
  }
}
