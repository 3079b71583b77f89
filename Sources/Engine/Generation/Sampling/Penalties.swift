/// Changes to logits that depend on what the sequence holds so far, or on a fixed list.
///
/// In this order, each on the result of the one before:
///
///     1. logit bias    x ← x + bias                          tokens with a bias
///     2. repetition    x ← x · r if x < 0, else x / r        tokens in prompt or answer
///     3. frequency     x ← x − frequency · count             tokens in the answer
///        presence          − presence
///
/// 1 and 2 are `transformers`' `SequenceBiasLogitsProcessor` and `RepetitionPenaltyLogitsProcessor`
/// (Keskar et al., "CTRL" (arXiv:1909.05858), section 4.1, with the sign handled), in the order
/// `generate` runs them; 3 is as OpenAI documents it, counting generated tokens only.
public struct Penalties: Sendable, Hashable {
  /// Above 1 discourages every token seen so far, prompt included; 1 is off.
  public var repetition: Float
  /// Subtracted once from tokens the answer holds; 0 is off.
  public var presence: Float
  /// Subtracted for each time the answer holds the token; 0 is off.
  public var frequency: Float
  /// Added to the logits of these tokens; −infinity rules one out.
  public var logitBias: [Int32: Float]

  /// Penalties, all off unless given.
  public init(
    repetition: Float = 1, presence: Float = 0, frequency: Float = 0,
    logitBias: [Int32: Float] = [:]
  ) {
    self.repetition = repetition
    self.presence = presence
    self.frequency = frequency
    self.logitBias = logitBias
  }

  /// Checks every field.
  ///
  /// - Parameter vocabularyCount: if given, the biases' tokens must lie below it.
  /// - Throws: `SamplingError.invalidOption` for the first field out of range.
  public func validate(vocabularyCount: Int? = nil) throws(SamplingError) {
    guard repetition.isFinite, repetition > 0 else {
      throw .invalidOption(
        field: "repetition penalty", expected: "a number above 0", found: "\(repetition)")
    }
    guard presence.isFinite else {
      throw .invalidOption(field: "presence penalty", expected: "a number", found: "\(presence)")
    }
    guard frequency.isFinite else {
      throw .invalidOption(field: "frequency penalty", expected: "a number", found: "\(frequency)")
    }
    // In order of ids, so that the same options always name the same culprit.
    for (token, bias) in logitBias.sorted(by: { $0.key < $1.key }) {
      let upper = vocabularyCount ?? Int(Int32.max)
      guard token >= 0, Int(token) < upper else {
        throw .invalidOption(
          field: "logit bias", expected: "token ids from 0 to \(upper - 1)", found: "\(token)")
      }
      guard bias < .infinity else {
        throw .invalidOption(
          field: "logit bias of token \(token)", expected: "a number or -infinity",
          found: "\(bias)")
      }
    }
  }

  /// Whether the penalties look at the prompt or the answer at all.
  var needHistory: Bool { repetition != 1 || presence != 0 || frequency != 0 }
}

/// Which tokens a sequence holds, as the penalties need to know it.
struct TokenHistory: Sendable {
  /// Distinct tokens of the prompt; shared between copies.
  private let prompt: Set<Int32>
  /// How often each token was generated.
  private var generated: [Int32: Int] = [:]

  /// Starts after a prompt. Penalties that look at nothing cost nothing.
  init(prompt: [Int32], for penalties: Penalties) {
    self.prompt = penalties.repetition == 1 ? [] : Set(prompt)
  }

  /// Adds a generated token.
  mutating func record(_ token: Int32) { generated[token, default: 0] += 1 }

  /// Applies `penalties` in place to one row of logits (or log-probabilities), `[vocabulary]`.
  ///
  /// Tokens the row does not reach are ignored, as `transformers` does for models whose embedding is
  /// larger than their head. Every token is touched once a rule, so the order of a dictionary's
  /// elements does not show.
  func apply(_ penalties: Penalties, to row: inout MutableSpan<Float>) {
    for (token, bias) in penalties.logitBias where row.indices.contains(Int(token)) {
      row[Int(token)] += bias
    }
    if penalties.repetition != 1 {
      for token in prompt { penalise(token, by: penalties.repetition, in: &row) }
      for token in generated.keys where !prompt.contains(token) {
        penalise(token, by: penalties.repetition, in: &row)
      }
    }
    if penalties.frequency != 0 || penalties.presence != 0 {
      for (token, count) in generated where row.indices.contains(Int(token)) {
        row[Int(token)] -= penalties.frequency * Float(count) + penalties.presence
      }
    }
  }

  private func penalise(_ token: Int32, by penalty: Float, in row: inout MutableSpan<Float>) {
    guard row.indices.contains(Int(token)) else { return }
    let score = row[Int(token)]
    row[Int(token)] = score < 0 ? score * penalty : score / penalty
  }
}
