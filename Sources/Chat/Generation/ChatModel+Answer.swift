public import Engine
internal import Tokenizers

extension ChatModel {
  /// Answers prompts together, one token of each a step; answers do not depend on the company.
  ///
  /// - Parameters:
  ///   - requests: Prompts as ids, each with its options.
  ///   - past: A sequence of this model to continue from, for a single request.
  ///   - onText: Receives text as it becomes certain; returning false stops that answer.
  ///   - isCancelled: Asked before every step, also while a long prompt is read; true ends all answers there.
  /// - Returns: The answers in the order of the requests, and the first one's sequence to continue from.
  /// - Throws: `GenerationError` when a prompt does not fit or an option makes no sense; `StopStrings.ValidationError`.
  public func answer(
    _ requests: [(prompt: [Int32], options: AnswerOptions)], contextLength: Int? = nil,
    continuing past: TokenSequence? = nil, onText: (_ request: Int, _ text: String) -> Bool = { _, _ in true },
    isCancelled: () -> Bool = { false }
  ) throws -> (answers: [Answer], sequence: TokenSequence?) {
    let decoder = BatchDecoder(engine, contextLength: contextLength)
    var (streams, ids, sequence): ([AnswerStream], [Int: Int], TokenSequence?) = ([], [:], nil)
    for (index, request) in requests.enumerated() {
      let started = ContinuousClock.now
      let added = try decoder.add(
        GenerationRequest(
          prompt: request.prompt, sampling: request.options.sampling,
          maximumTokenCount: request.options.maximumTokenCount, endTokens: endTokens,
          listedTokenCount: request.options.listedTokenCount),
        adapter: adapter, continuing: requests.count == 1 ? past : nil)
      ids[added.id] = index
      if index == 0 { sequence = added.sequence }
      streams.append(
        try AnswerStream(
          tokenizer, stops: request.options.stops, endTokens: endTokens,
          promptTokenCount: request.prompt.count, cachedTokenCount: added.reused,
          keepsProbabilities: request.options.listedTokenCount != nil, started: started))
    }
    var running = Set(ids.values)
    while !decoder.isIdle {
      if isCancelled() {
        for index in running.sorted() {
          let rest = streams[index].interrupt()
          if !rest.isEmpty { _ = onText(index, rest) }
        }
        break
      }
      for event in try decoder.step() {
        guard let index = ids[event.request] else { continue }
        let (text, isOver) = streams[index].append(event.token, finishReason: event.finishReason)
        if isOver { running.remove(index) }
        let goesOn = text.isEmpty ? true : onText(index, text)
        if isOver && event.finishReason == nil { decoder.cancel(event.request) }
        if !goesOn, !isOver {
          _ = streams[index].interrupt()
          running.remove(index)
          decoder.cancel(event.request)
        }
      }
    }
    return (streams.map(\.answer), sequence)
  }

  /// Answers one prompt.
  public func answer(
    _ prompt: [Int32], _ options: AnswerOptions, contextLength: Int? = nil, continuing past: TokenSequence? = nil,
    onText: (String) -> Bool = { _ in true }
  ) throws -> (answer: Answer, sequence: TokenSequence?) {
    let (answers, sequence) = try answer(
      [(prompt, options)], contextLength: contextLength, continuing: past
    ) { _, text in onText(text) }
    return (answers.first ?? Answer(), sequence)
  }
}
