internal import Engine
internal import Tokenizers

/// Turns the tokens of one answer into text that may be shown: whole characters only, and never a part of a stop
/// string.
struct AnswerStream {
  private(set) var answer = Answer()
  private var decoder: StreamingDecoder
  private var stops: StopStrings
  private let endTokens: Set<Int32>
  private let keepsProbabilities: Bool
  private let started: ContinuousClock.Instant
  private var firstToken: ContinuousClock.Instant?
  /// Tokens whose text may not have been shown yet, with where it ends in all decoded bytes.
  private var unshown: [(token: SampledToken, end: Int)] = []
  private var decodedByteCount = 0
  private var shownByteCount = 0

  init(
    _ tokenizer: Tokenizer, stops: [String], before marker: String? = nil, endTokens: Set<Int32>, promptTokenCount: Int,
    keepsProbabilities: Bool, started: ContinuousClock.Instant = .now
  ) throws(StopStrings.ValidationError) {
    decoder = StreamingDecoder(tokenizer, skipSpecial: true)
    self.stops = try StopStrings(stops, before: marker)
    self.endTokens = endTokens
    self.keepsProbabilities = keepsProbabilities
    self.started = started
    answer.promptTokenCount = promptTokenCount
  }

  /// Takes what the decoder chose.
  ///
  /// - Returns: Text to show now, and whether the answer is over.
  mutating func append(_ event: BatchDecoder.Event) -> (text: String, isOver: Bool) {
    let (token, finishReason) = (event.token, event.finishReason)
    answer.cachedTokenCount = event.cachedTokenCount
    let now = ContinuousClock.now
    if let firstToken {
      answer.decodingSeconds = (now - firstToken).seconds
    } else {
      firstToken = now
      answer.firstTokenSeconds = (now - started).seconds
    }
    let isEnd = endTokens.contains(token.chosen.id)
    var text = ""
    if !isEnd {
      answer.tokens.append(token.chosen.id)
      if keepsProbabilities { answer.logProbabilities.append(token) }
      let piece = decoder.append(token.chosen.id)
      decodedByteCount += piece.utf8.count
      if keepsProbabilities { unshown.append((token, decodedByteCount)) }
      let (emit, stopped) = stops.append(piece)
      text = emit
      shownByteCount += text.utf8.count
      if stopped {
        answer.finishReason = .stop
        answer.stopString = stops.match
        answer.text += text
        return (text, true)
      }
    }
    guard let finishReason else {
      answer.text += text
      return (text, false)
    }
    answer.finishReason = finishReason
    let shown = text + finish()
    answer.text += shown
    return (shown, true)
  }

  /// Tokens whose text has been shown since the last call, where probabilities are kept. Those that spell a stop string
  /// never are.
  mutating func takeShown() -> [SampledToken] {
    let count = unshown.firstIndex { $0.end > shownByteCount } ?? unshown.count
    defer { unshown.removeFirst(count) }
    return unshown.prefix(count).map(\.token)
  }

  /// What was held back, now that no token follows.
  private mutating func finish() -> String {
    let (emit, stopped) = stops.append(decoder.finish())
    let rest = emit + (stopped ? "" : stops.finish())
    shownByteCount += rest.utf8.count
    // What the decoder held back belongs to the last token.
    if !stops.isStopped { shownByteCount = max(shownByteCount, decodedByteCount) }
    if stops.isStopped { answer.finishReason = .stop }
    answer.stopString = stops.match
    return rest
  }

  /// Ends an answer that the user interrupted.
  mutating func interrupt() -> String {
    let rest = finish()
    answer.text += rest
    return rest
  }
}

extension Duration {
  /// As a floating-point number of seconds.
  package var seconds: Double {
    let (seconds, attoseconds) = components
    return Double(seconds) + Double(attoseconds) * 1e-18
  }
}
