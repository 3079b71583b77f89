public import Engine
internal import Tokenizers

extension ChatModel {
  /// One of the answers that beam search found.
  public struct Beam: Sendable {
    /// Without the end token.
    public let text: String
    /// Every token, the end token excluded.
    public let tokens: [Int32]
    /// Sum of log-probabilities divided by length to the power of the length penalty.
    public let score: Double
  }

  /// Answers a prompt by beam search.
  ///
  /// - Returns: The best answers, best first, and the very best as an `Answer`.
  /// - Throws: `GenerationError` when the prompt does not fit or an option makes no sense.
  public func search(
    _ prompt: [Int32], _ options: BeamSearchOptions, contextLength: Int? = nil
  ) throws -> (answer: Answer, beams: [Beam]) {
    let started = ContinuousClock.now
    let decoder = BatchDecoder(engine, cache: cache, settings: .init(contextLength: contextLength))
    let found = try decoder.search(
      GenerationRequest(prompt: prompt, endTokens: endTokens), options, adapter: adapter)
    let beams = found.map { hypothesis in
      let tokens = hypothesis.tokens.filter { !endTokens.contains($0) }
      return Beam(
        text: tokenizer.decode(tokens, skipSpecial: true), tokens: tokens, score: Double(hypothesis.score))
    }
    var answer = Answer()
    answer.promptTokenCount = prompt.count
    answer.decodingSeconds = (ContinuousClock.now - started).seconds
    if let best = beams.first {
      answer.text = best.text
      answer.tokens = best.tokens
      answer.finishReason = found.first?.finishReason ?? .length
    }
    return (answer, beams)
  }
}
