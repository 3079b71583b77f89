/// How beam search looks for the likeliest answers. The fields are `transformers`' of the same meaning.
public struct BeamSearchOptions: Sendable, Hashable {
  /// When to stop looking once as many answers have ended as there are beams.
  public enum EarlyStopping: Sendable, Hashable {
    /// At once (`early_stopping=True`).
    case whenFull
    /// When the best running beam, scored as if it ended now, does not beat the worst answer
    /// (`False`, the default). With a positive length penalty it may miss a better, longer answer.
    case whenUnlikely
    /// When no running beam can beat the worst answer any more (`"never"`).
    case whenImpossible
  }

  /// Hypotheses kept alive (`num_beams`).
  public var beamCount: Int
  /// Answers wanted, at most `beamCount` (`num_return_sequences`).
  public var returnCount: Int
  /// Exponent of the answer's length in its score; above 0 favours long answers, below 0 short ones
  /// (`length_penalty`).
  public var lengthPenalty: Double
  /// When to stop (`early_stopping`).
  public var earlyStopping: EarlyStopping
  /// Most tokens an answer may have, its end token included (`max_new_tokens`; `max_length` is this
  /// plus the prompt's length).
  public var maximumTokenCount: Int
  /// Tokens that end an answer (`eos_token_id`).
  public var endTokens: Set<Int32>
  /// Applied to log-probabilities, as `transformers` does in beam search, not to logits.
  public var penalties: Penalties

  /// Options; what is not given is as `transformers` has it.
  public init(
    beamCount: Int, returnCount: Int = 1, lengthPenalty: Double = 1,
    earlyStopping: EarlyStopping = .whenUnlikely, maximumTokenCount: Int,
    endTokens: Set<Int32>, penalties: Penalties = Penalties()
  ) {
    self.beamCount = beamCount
    self.returnCount = returnCount
    self.lengthPenalty = lengthPenalty
    self.earlyStopping = earlyStopping
    self.maximumTokenCount = maximumTokenCount
    self.endTokens = endTokens
    self.penalties = penalties
  }

  /// Checks every field.
  ///
  /// - Parameter vocabularyCount: if given, the biases' tokens must lie below it.
  /// - Throws: `SamplingError.invalidOption` for the first field out of range.
  public func validate(vocabularyCount: Int? = nil) throws(SamplingError) {
    guard (1...Self.largestBeamCount).contains(beamCount) else {
      throw .invalidOption(
        field: "number of beams", expected: "1 to \(Self.largestBeamCount)", found: "\(beamCount)")
    }
    guard (1...beamCount).contains(returnCount) else {
      throw .invalidOption(
        field: "number of returned sequences", expected: "1 to the number of beams, \(beamCount)",
        found: "\(returnCount)")
    }
    guard lengthPenalty.isFinite else {
      throw .invalidOption(
        field: "length penalty", expected: "a number", found: "\(lengthPenalty)")
    }
    guard maximumTokenCount >= 1 else {
      throw .invalidOption(
        field: "maximum of new tokens", expected: "1 or above", found: "\(maximumTokenCount)")
    }
    try penalties.validate(vocabularyCount: vocabularyCount)
  }

  /// Far beyond any use; keeps the arithmetic below away from overflow.
  static let largestBeamCount = 65_536
}
