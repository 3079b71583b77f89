/// Chooses a sequence's next token from the model's logits, again and again.
///
/// One value a sequence: it remembers the tokens that penalties count and the random generator's
/// state, and copying it forks both. The same options, prompt and logits give the same tokens, on
/// every machine; nothing else enters.
///
/// Each draw takes one number of the generator, whatever the filters kept, so the n-th token of an
/// answer always meets the n-th number of its seed. Greedy choices take none.
public struct Sampler: Sendable {
  /// How tokens are chosen.
  public let options: SamplingOptions
  /// The random generator, for whoever stores a half-finished answer.
  public private(set) var generator: SplitMix64
  private var history: TokenHistory

  /// A sampler for the answer to `prompt`.
  ///
  /// - Throws: `SamplingError.invalidOption` if the options do not validate.
  public init(_ options: SamplingOptions, prompt: [Int32]) throws(SamplingError) {
    try options.validate()
    self.options = options
    generator = SplitMix64(seed: options.seed)
    history = TokenHistory(prompt: prompt, for: options.penalties)
  }

  /// Continues an answer that another sampler began.
  ///
  /// - Parameters:
  ///   - options: those of the other sampler.
  ///   - prompt: the prompt of the answer, `[tokens]`.
  ///   - generated: the tokens chosen so far.
  ///   - generator: that sampler's generator.
  /// - Throws: `SamplingError.invalidOption` if the options do not validate.
  public init(
    _ options: SamplingOptions, prompt: [Int32], generated: [Int32], generator: SplitMix64
  ) throws(SamplingError) {
    try self.init(options, prompt: prompt)
    self.generator = generator
    for token in generated { record(token) }
  }

  /// Chooses the next token and records it.
  ///
  /// - Parameter logits: `[vocabulary]`; overwritten.
  /// - Throws: `SamplingError.logitNotFinite` for NaN or +infinity, `.nothingPossible` if all are
  ///   −infinity, `.invalidOption` if a bias is for a token beyond the vocabulary.
  public mutating func sample(_ logits: inout MutableSpan<Float>) throws(SamplingError) -> Int32 {
    if let beyond = options.penalties.logitBias.keys.max(), Int(beyond) >= logits.count {
      try options.penalties.validate(vocabularyCount: logits.count)
    }
    history.apply(options.penalties, to: &logits)
    let best = try largestLogit(logits.span)
    let token =
      options.temperature == 0 ? Int32(best.token) : draw(&logits, largest: best.logit)
    record(token)
    return token
  }

  /// As `sample`, and says how likely the model held the token and the best alternatives.
  ///
  /// The log-probabilities are the model's own: of the logits as they came, before penalties,
  /// temperature and filters. So they compare across options and sum to a sequence's score.
  ///
  /// - Parameters:
  ///   - logits: `[vocabulary]`; overwritten.
  ///   - count: how many of the likeliest tokens to list; 0 for the chosen one alone.
  ///   - restrict: rules tokens out; what is listed is of the logits before.
  /// - Throws: as `sample`.
  public mutating func sample(
    _ logits: inout MutableSpan<Float>, listing count: Int, restrict: (inout MutableSpan<Float>) -> Void = { _ in }
  ) throws(SamplingError) -> SampledToken {
    let original = [Float](copying: logits.span)
    let logSum = try logSumExp(original.span)
    var best = TopSelection(capacity: count, expected: min(count, original.count))
    if count > 0 {
      for i in original.indices { best.offer(original[i], at: i) }
    }
    func listed(_ index: Int) -> TokenLogProbability {
      TokenLogProbability(
        id: Int32(index), logProbability: Float(Double(original[index]) - logSum))
    }
    restrict(&logits)
    let token = try sample(&logits)
    return SampledToken(
      chosen: listed(Int(token)), likeliest: best.sorted().map { listed($0.index) })
  }

  /// Records a token that was not sampled here: forced, or checked elsewhere.
  public mutating func record(_ token: Int32) {
    if options.penalties.needHistory { history.record(token) }
  }

  private mutating func draw(_ logits: inout MutableSpan<Float>, largest: Float) -> Int32 {
    let temperature = options.temperature
    var top = largest / temperature
    if temperature != 1 {
      // Dividing by a very small temperature overflows; then the distances to the largest do as well.
      let shift = top.isFinite ? 0 : largest
      for i in logits.indices { logits[i] = (logits[i] - shift) / temperature }
      top = (largest - shift) / temperature
    }
    var candidates = Candidates(logits.span, largest: top, topK: options.topK)
    candidates.keepNucleus(options.topP)
    candidates.keepLikely(options.minP)
    return candidates.token(at: generator.nextUnit())
  }
}

/// A chosen token with what the model thought of it.
public struct SampledToken: Sendable, Hashable {
  /// The token and its log-probability.
  public var chosen: TokenLogProbability
  /// The likeliest tokens, best first; ties by id.
  public var likeliest: [TokenLogProbability]
}

extension [Float] {
  /// The elements of a span, copied.
  fileprivate init(copying span: Span<Float>) {
    self.init()
    reserveCapacity(span.count)
    for i in span.indices { append(span[i]) }
  }
}
