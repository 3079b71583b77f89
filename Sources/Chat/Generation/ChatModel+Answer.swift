internal import Engine
internal import Tokenizers

extension ChatModel {
  /// Answers prompts together; answers do not depend on the company. What prompts have in common with each other or with earlier
  /// ones is computed once.
  ///
  /// - Parameters:
  ///   - requests: Prompts as ids, each with its options.
  ///   - onText: Receives text as it becomes certain; returning false stops that answer.
  ///   - isCancelled: Asked before every step, also while a long prompt is read; true ends all answers there.
  /// - Returns: The answers in the order of the requests.
  /// - Throws: `GenerationError` when a prompt does not fit or an option makes no sense; `StopStrings.ValidationError`.
  public func answer(
    _ requests: [(prompt: [Int32], options: AnswerOptions)], contextLength: Int? = nil,
    onText: (_ request: Int, _ text: String) -> Bool = { _, _ in true }, isCancelled: () -> Bool = { false }
  ) throws -> [Answer] {
    let decoder = BatchDecoder(engine, cache: cache, settings: .init(contextLength: contextLength))
    var (streams, ids): ([AnswerStream], [Int: Int]) = ([], [:])
    for (index, request) in requests.enumerated() {
      let started = ContinuousClock.now
      let id = try decoder.add(
        GenerationRequest(
          prompt: request.prompt, sampling: request.options.sampling,
          maximumTokenCount: request.options.maximumTokenCount, endTokens: endTokens,
          listedTokenCount: request.options.listedTokenCount, constraint: request.options.constraint),
        adapter: adapter)
      ids[id] = index
      streams.append(
        try AnswerStream(
          tokenizer, stops: request.options.stops, endTokens: endTokens, promptTokenCount: request.prompt.count,
          keepsProbabilities: request.options.listedTokenCount != nil, started: started))
    }
    var running = Set(ids.values)
    // Whatever ends this, the pages of unfinished answers go back.
    defer { for id in ids.keys { decoder.cancel(id) } }
    while !decoder.isIdle {
      if isCancelled() {
        for index in running.sorted() {
          let rest = streams[index].interrupt()
          if !rest.isEmpty { _ = onText(index, rest) }
        }
        break
      }
      for event in try decoder.step() {
        // One step may bring several tokens, of which the first may have ended the answer.
        guard let index = ids[event.request], running.contains(index) else { continue }
        let (text, isOver) = streams[index].append(event)
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
    return streams.map(\.answer)
  }

  /// Answers one prompt.
  public func answer(
    _ prompt: [Int32], _ options: AnswerOptions, contextLength: Int? = nil, onText: (String) -> Bool = { _ in true }
  ) throws -> Answer {
    try answer([(prompt, options)], contextLength: contextLength) { _, text in onText(text) }.first ?? Answer()
  }
}
