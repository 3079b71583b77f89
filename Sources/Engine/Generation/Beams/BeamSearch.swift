internal import Glibc

/// Beam search: extends several hypotheses side by side and returns the likeliest that ended.
///
///     score(y) = Σ_t ln p(y_t | y_<t) / |y|^lengthPenalty
///
/// where |y| counts generated tokens, end token included. It decides as `transformers`' `_beam_search`
/// does (version 5, `generation/utils.py`): each step takes the best (1 + end tokens, at least 2) ×
/// beams continuations of all beams together; those among the first `beamCount` that end become
/// answers, the best `beamCount` answers stay; the best continuations that do not end run on.
///
/// The value holds no model. The caller runs the model on the rows asked for and hands the logits in:
///
///     var search = try BeamSearch(options, prompt: prompt, vocabularyCount: 49_152)
///     var action = try search.advance(logitsAfterPrompt)            // one row
///     while case .continue(let parents, let tokens) = action {
///       // row i continues what was row parents[i] by tokens[i]; reorder the KV cache so
///       action = try search.advance(logits)                        // tokens.count rows
///     }
///     search.results
///
/// Ties go to the earlier beam, then to the lower id; among answers to the earlier found (PyTorch
/// leaves these open). With one beam it still runs on past an end token while a better answer seems
/// possible, as the formulas say; `transformers` takes one beam to mean greedy search, which is
/// `Sampler`'s. Beams that cannot exist (more beams than continuations, tokens of probability 0) are
/// left out, where `transformers` fills up with copies scored about −10⁹.
public struct BeamSearch: Sendable {
  /// What to do after a step.
  public enum Action: Sendable, Hashable {
    /// Run the model on `tokens`, one row a beam; row i continues the former row `parents[i]`.
    case `continue`(parents: [Int], tokens: [Int32])
    /// The search is over; see `results`.
    case finished
  }

  /// An answer, or the beginning of one.
  public struct Hypothesis: Sendable, Hashable {
    /// Generated tokens, without the prompt; the end token is last if there is one.
    public let tokens: [Int32]
    /// Σ_t ln p, after penalties.
    public let logProbability: Float
    /// `logProbability` over the length to the power of the length penalty.
    public let score: Float
    /// Why it ended; nil while it runs.
    public let finishReason: FinishReason?
  }

  /// How the search goes.
  public let options: BeamSearchOptions
  private let vocabularyCount: Int
  /// Best first. One empty beam before the first step.
  private var beams: [Beam]
  /// Best first, at most `beamCount`.
  private var finished: [Hypothesis] = []
  private var isOver = false

  private struct Beam {
    var tokens: [Int32]
    var logProbability: Float
    var history: TokenHistory
  }

  /// One token more on one beam.
  private struct Continuation {
    var parent: Int
    var token: Int32
    var logProbability: Float
    var ends: FinishReason?
  }

  /// A search for answers to `prompt`.
  ///
  /// - Parameters:
  ///   - options: how many beams, what they are scored by, when to end.
  ///   - prompt: what the answers continue, `[tokens]`; only penalties look at it.
  ///   - vocabularyCount: logits in a row.
  /// - Throws: `SamplingError.invalidOption` if the options do not validate.
  public init(
    _ options: BeamSearchOptions, prompt: [Int32], vocabularyCount: Int
  ) throws(SamplingError) {
    try options.validate(vocabularyCount: vocabularyCount)
    guard vocabularyCount > 0 else {
      throw .invalidOption(field: "vocabulary", expected: "1 or above", found: "\(vocabularyCount)")
    }
    self.options = options
    self.vocabularyCount = vocabularyCount
    let history = TokenHistory(prompt: prompt, for: options.penalties)
    beams = [Beam(tokens: [], logProbability: 0, history: history)]
  }

  /// Rows of logits the next `advance` takes.
  public var rowCount: Int { isOver ? 0 : beams.count }

  /// The answers found, best first, at most `returnCount`; final once `advance` said `.finished`.
  ///
  /// Fewer than `returnCount` only if the search was left early or fewer answers are possible.
  public var results: [Hypothesis] { Array(finished.prefix(options.returnCount)) }

  /// The running hypotheses, best first: what there is to show when the search is left early.
  public var running: [Hypothesis] {
    beams.map { beam in
      Hypothesis(
        tokens: beam.tokens, logProbability: beam.logProbability,
        score: score(beam.logProbability, length: max(1, beam.tokens.count)), finishReason: nil)
    }
  }

  /// Takes the model's logits for every running beam and decides.
  ///
  /// - Parameter logits: `[rowCount, vocabulary]`. Row i belongs to the i-th token of the last
  ///   `.continue`; the first call takes the one row that follows the prompt.
  /// - Throws: `SamplingError.wrongLogitCount`; `.logitNotFinite` for NaN or +infinity;
  ///   `.nothingPossible` if a row is −infinity throughout. The search is then unchanged.
  public mutating func advance(_ logits: Span<Float>) throws(SamplingError) -> Action {
    guard !isOver else { return .finished }
    let (expected, overflow) = beams.count.multipliedReportingOverflow(by: vocabularyCount)
    guard !overflow, logits.count == expected else {
      throw .wrongLogitCount(expected: expected, found: logits.count)
    }

    let continuations = try bestContinuations(logits)
    let length = beams[0].tokens.count + 1
    // Those after the first `beamCount` are here so that enough run on, not to become answers.
    for continuation in continuations.prefix(options.beamCount) {
      guard let reason = continuation.ends else { continue }
      insert(
        Hypothesis(
          tokens: beams[continuation.parent].tokens + [continuation.token],
          logProbability: continuation.logProbability,
          score: score(continuation.logProbability, length: length), finishReason: reason))
    }

    let survivors = Array(continuations.lazy.filter { $0.ends == nil }.prefix(options.beamCount))
    guard let best = survivors.first, canImprove(best.logProbability, length: length) else {
      isOver = true
      return .finished
    }
    beams = survivors.map { survivor in
      var beam = beams[survivor.parent]
      beam.tokens.append(survivor.token)
      beam.logProbability = survivor.logProbability
      if options.penalties.needHistory { beam.history.record(survivor.token) }
      return beam
    }
    return .continue(parents: survivors.map(\.parent), tokens: survivors.map(\.token))
  }

  /// The best continuations of all beams together, best first.
  private func bestContinuations(
    _ logits: Span<Float>
  ) throws(SamplingError) -> [Continuation] {
    let keepCount = max(2, 1 + options.endTokens.count) * options.beamCount
    var best = TopSelection(capacity: keepCount, expected: keepCount)
    var scores = [Float](repeating: 0, count: vocabularyCount)
    for (row, beam) in beams.enumerated() {
      let start = row * vocabularyCount
      let logSum = Float(try logSumExp(logits.extracting(start..<start + vocabularyCount)))
      var rowScores = scores.mutableSpan
      for token in 0..<vocabularyCount { rowScores[token] = logits[start + token] - logSum }
      beam.history.apply(options.penalties, to: &rowScores)
      for token in 0..<vocabularyCount {
        let total = beam.logProbability + rowScores[token]
        guard total < .infinity else {
          throw .logitNotFinite(token: Int32(token), found: total)
        }
        if total > -.infinity { best.offer(total, at: start + token) }
      }
    }

    let isLast = beams[0].tokens.count + 1 >= options.maximumTokenCount
    return best.sorted().map { entry in
      let (parent, token) = entry.index.quotientAndRemainder(dividingBy: vocabularyCount)
      let isEnd = options.endTokens.contains(Int32(token))
      return Continuation(
        parent: parent, token: Int32(token), logProbability: entry.score,
        ends: isEnd ? .stop : isLast ? .length : nil)
    }
  }

  /// Keeps the best `beamCount` answers, of equal ones the earlier.
  private mutating func insert(_ hypothesis: Hypothesis) {
    let place = finished.firstIndex { $0.score < hypothesis.score } ?? finished.count
    finished.insert(hypothesis, at: place)
    if finished.count > options.beamCount { finished.removeLast() }
  }

  /// Whether running on may still change the answers.
  ///
  /// - Parameter length: tokens of the running beams, after this step.
  private func canImprove(_ bestRunning: Float, length: Int) -> Bool {
    guard finished.count == options.beamCount, let worst = finished.last else { return true }
    switch options.earlyStopping {
    case .whenFull: return false
    case .whenUnlikely: return score(bestRunning, length: length) > worst.score
    case .whenImpossible:
      // A sum only falls; dividing it by more brings it up, so the longest answer is the best case.
      let bestLength = options.lengthPenalty > 0 ? options.maximumTokenCount : length
      return score(bestRunning, length: bestLength) > worst.score
    }
  }

  /// A sum of log-probabilities under the length penalty, rounded as PyTorch does.
  private func score(_ logProbability: Float, length: Int) -> Float {
    logProbability / Float(pow(Double(length), options.lengthPenalty))
  }
}
