internal import Engine

extension ChatModel {
  /// Finds out, without computing anything, whether a request can be answered.
  ///
  /// - Throws: What `answer` would throw before its first token.
  public func check(_ prompt: [Int32], _ options: AnswerOptions, contextLength: Int? = nil) throws {
    _ = try BatchDecoder(engine, contextLength: contextLength).add(
      GenerationRequest(
        prompt: prompt, sampling: options.sampling, maximumTokenCount: options.maximumTokenCount,
        endTokens: endTokens, listedTokenCount: options.listedTokenCount),
      adapter: adapter)
    _ = try StopStrings(options.stops)
  }
}
