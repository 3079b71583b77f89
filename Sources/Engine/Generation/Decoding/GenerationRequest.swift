/// What to generate: a prompt and when to stop.
public struct GenerationRequest: Sendable {
  /// At least one token.
  public var prompt: [Int32]
  /// How each token is chosen.
  public var sampling: SamplingOptions
  /// The most tokens to generate; nil is as many as the context holds.
  public var maximumTokenCount: Int?
  /// Tokens that end the answer; they are not part of its text.
  public var endTokens: Set<Int32>
  /// How many of the likeliest tokens to report for each position; nil reports no probabilities.
  public var listedTokenCount: Int?
  /// Which tokens may come, beside what `sampling` says; nil lets all.
  public var constraint: (any TokenConstraint)?

  /// A request; without further arguments greedy, and as long as the context allows.
  public init(
    prompt: [Int32], sampling: SamplingOptions = .greedy, maximumTokenCount: Int? = nil,
    endTokens: Set<Int32> = [], listedTokenCount: Int? = nil, constraint: (any TokenConstraint)? = nil
  ) {
    self.prompt = prompt
    self.sampling = sampling
    self.maximumTokenCount = maximumTokenCount
    self.endTokens = endTokens
    self.listedTokenCount = listedTokenCount
    self.constraint = constraint
  }

  /// How many tokens may be generated in a context of `contextLength`.
  ///
  /// - Throws: When the prompt is empty or does not fit; nothing is ever cut silently.
  func tokenLimit(_ contextLength: Int, vocabularyCount: Int) throws(GenerationError) -> Int {
    guard !prompt.isEmpty else { throw .emptyPrompt }
    if let stranger = prompt.first(where: { $0 < 0 || Int($0) >= vocabularyCount }) {
      throw .unknownToken(stranger, vocabularyCount: vocabularyCount)
    }
    guard prompt.count < contextLength else {
      throw .promptTooLong(tokens: prompt.count, contextLength: contextLength)
    }
    if let maximumTokenCount, maximumTokenCount < 1 { throw .nothingToGenerate(maximumTokenCount) }
    return min(maximumTokenCount ?? .max, contextLength - prompt.count)
  }
}

/// Why nothing can be generated.
public enum GenerationError: Error, Sendable, Equatable, CustomStringConvertible {
  /// There is no token to continue from.
  case emptyPrompt
  /// The prompt leaves no room for an answer of even one token.
  case promptTooLong(tokens: Int, contextLength: Int)
  /// An id that is no row of the token table.
  case unknownToken(Int32, vocabularyCount: Int)
  /// The limit asked for is below one token.
  case nothingToGenerate(Int)
  /// An option is out of range, or the model gave no usable logits.
  case sampling(SamplingError)
  /// The sequence has outgrown the memory for keys and values, with nobody else in it.
  case cacheFull(tokens: Int, limit: Int)

  /// What is wrong and what to do about it.
  public var description: String {
    switch self {
    case .emptyPrompt: "the prompt is empty: expected at least one token"
    case .promptTooLong(let tokens, let contextLength):
      "the prompt has \(tokens) tokens and the context holds \(contextLength), of which one is needed for the "
        + "answer: shorten the prompt or the conversation, or use a larger --context if the model has one"
    case .unknownToken(let id, let count):
      "token id \(id) is outside the vocabulary: expected 0 to \(count - 1)"
    case .nothingToGenerate(let count): "\(count) tokens to generate: expected at least 1"
    case .sampling(let error): error.description
    case .cacheFull(let tokens, let limit):
      "a sequence of \(tokens) tokens and its beams need more memory for keys and values than its limit of \(limit) tokens: "
        + "use fewer beams, fewer tokens, or a higher limit"
    }
  }
}
