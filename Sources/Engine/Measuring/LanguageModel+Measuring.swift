internal import Glibc

/// How long a model takes, through the decoder that answers requests.
extension LanguageModel {
  /// Seconds from `count` tokens of a prompt to the first token of an answer.
  ///
  /// - Throws: `GenerationError` when the prompt does not fit the context.
  public func promptSeconds(_ count: Int) throws(GenerationError) -> Double {
    let decoder = BatchDecoder(self)
    _ = try decoder.add(GenerationRequest(prompt: sampleTokens(count), maximumTokenCount: 1))
    let started = ContinuousClock.now
    while !decoder.isIdle { _ = try decoder.step() }
    return (ContinuousClock.now - started) / .seconds(1)
  }

  /// Seconds that `sequenceCount` sequences together take for `count` tokens each, after `position` tokens.
  ///
  /// What stands before is not computed: its keys and values are zeros, over which attention takes as long as over any.
  ///
  /// - Throws: `GenerationError` when that does not fit the context.
  public func decodeSeconds(
    _ count: Int, sequenceCount: Int = 1, position: Int = 0
  ) throws(GenerationError) -> Double {
    let decoder = BatchDecoder(self)
    for _ in 0..<sequenceCount {
      let prompt = sampleTokens(position + 1)
      let past = sequence(adapter: nil)
      let isReserved = past.cache.reserve(adding: position)
      precondition(isReserved, "a sequence whose pages are limited by memory only")
      for page in past.cache.pages { unsafe memset(page.data, 0, cacheShape.pageBytes) }
      past.cache.advance(by: position)
      past.tokens = Array(prompt.prefix(position))
      _ = try decoder.add(GenerationRequest(prompt: prompt, maximumTokenCount: count), continuing: past)
    }
    let started = ContinuousClock.now
    while !decoder.isIdle { _ = try decoder.step() }
    return (ContinuousClock.now - started) / .seconds(1)
  }

  /// Ids from all over the vocabulary, always the same.
  private func sampleTokens(_ count: Int) -> [Int32] {
    (0..<count).map { Int32(($0 * 7919 + 13) % vocabularyCount) }
  }
}
