/// How the next token is chosen from the model's logits.
///
/// The steps, in the order of `transformers`' `generate`:
///
///     penalties → temperature → top-k → top-p → min-p → one draw
///
/// The defaults draw from the model's own distribution.
public struct SamplingOptions: Sendable, Hashable {
  /// Logits are divided by it; 0 takes the likeliest token and ignores the filters and the seed.
  public var temperature: Float
  /// Keeps the k likeliest tokens, and any that tie with the last of them; 0 is off.
  public var topK: Int
  /// Keeps the fewest likeliest tokens whose probabilities reach this sum; 1 is off.
  ///
  /// Holtzman et al., "The Curious Case of Neural Text Degeneration" (arXiv:1904.09751), section 3.1.
  public var topP: Float
  /// Keeps tokens at least this fraction as likely as the likeliest; 0 is off.
  ///
  /// Nguyen et al., "Turning Up the Heat" (arXiv:2407.01082), section 3.
  public var minP: Float
  /// What discourages or favours tokens before all this.
  public var penalties: Penalties
  /// Seed of the random generator. The same seed, options and logits give the same tokens.
  public var seed: UInt64

  /// Options; without arguments, the model's own distribution.
  public init(
    temperature: Float = 1, topK: Int = 0, topP: Float = 1, minP: Float = 0,
    penalties: Penalties = Penalties(), seed: UInt64 = 0
  ) {
    self.temperature = temperature
    self.topK = topK
    self.topP = topP
    self.minP = minP
    self.penalties = penalties
    self.seed = seed
  }

  /// Always the likeliest token; ties go to the lowest id.
  public static let greedy = SamplingOptions(temperature: 0)

  /// Checks every field.
  ///
  /// - Parameter vocabularyCount: if given, the biases' tokens must lie below it.
  /// - Throws: `SamplingError.invalidOption` for the first field out of range.
  public func validate(vocabularyCount: Int? = nil) throws(SamplingError) {
    guard temperature.isFinite, temperature >= 0 else {
      throw .invalidOption(
        field: "temperature", expected: "0 (likeliest token) or a number above",
        found: "\(temperature)")
    }
    guard topK >= 0 else {
      throw .invalidOption(field: "top-k", expected: "0 (off) or above", found: "\(topK)")
    }
    guard (0...1).contains(topP) else {
      throw .invalidOption(field: "top-p", expected: "0 to 1", found: "\(topP)")
    }
    guard (0...1).contains(minP) else {
      throw .invalidOption(field: "min-p", expected: "0 to 1", found: "\(minP)")
    }
    try penalties.validate(vocabularyCount: vocabularyCount)
  }
}
