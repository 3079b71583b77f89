internal import Engine

/// A call that the engine room has taken on. Belongs to the `EngineRoom`.
final class RunningCall {
  typealias Continuation = AsyncThrowingStream<AnswerPiece, any Error>.Continuation

  let call: AnswerCall
  let count: Int
  let continuation: Continuation
  let started = ContinuousClock.now
  private(set) var station: Station?
  /// The decoder's numbers of its answers.
  private(set) var requests: [Int] = []
  private var streams: [AnswerStream] = []
  private var open: Set<Int>

  init(_ call: AnswerCall, count: Int, _ continuation: Continuation) {
    self.call = call
    self.count = count
    self.continuation = continuation
    open = Set(0..<count)
  }

  /// Whether all answers have ended.
  var isAnswered: Bool { open.isEmpty }

  /// Hands the call to the decoder.
  ///
  /// - Throws: When the prompt does not fit or an option makes no sense; nothing has been handed over then.
  func begin(_ station: Station, _ adapter: Adapter?) throws {
    let (text, options) = (call.model.text, call.options)
    let keepsProbabilities = options.listedTokenCount != nil
    streams = try (0..<count).map { _ in
      try AnswerStream(
        text.tokenizer, stops: options.stops, before: options.stopsEnd, endTokens: text.endTokens,
        promptTokenCount: call.prompt.count, keepsProbabilities: keepsProbabilities, started: started)
    }
    requests = try station.decoder.add(
      GenerationRequest(
        prompt: call.prompt, sampling: options.sampling, maximumTokenCount: options.maximumTokenCount,
        endTokens: text.endTokens, listedTokenCount: options.listedTokenCount, constraint: options.constraint),
      count: count, adapter: adapter, salt: call.key, key: call.key)
    self.station = station
  }

  /// Takes what the decoder chose for one of the answers, and tells the caller.
  ///
  /// - Returns: Whether that answer is over.
  func take(_ event: BatchDecoder.Event, _ choice: Int) -> Bool {
    // One step may bring several tokens, of which the first may have ended the answer.
    guard open.contains(choice) else { return false }
    let (text, isOver) = streams[choice].append(event)
    let tokens = streams[choice].takeShown()
    if isOver { open.remove(choice) }
    if isOver || !text.isEmpty || !tokens.isEmpty {
      continuation.yield(
        AnswerPiece(choice: choice, text: text, tokens: tokens, answer: isOver ? streams[choice].answer : nil))
    }
    return isOver
  }
}
