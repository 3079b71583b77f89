public import Engine

/// How fast a model is, against what the machine allows.
public struct Benchmark: Sendable {
  /// Lengths of prompts, in tokens.
  public var promptTokens = [512]
  /// Tokens that each sequence is given.
  public var decodeTokens = 128
  /// Numbers of sequences decoded together.
  public var sequences = [1, 4, 16]
  /// Positions at which decoding begins.
  public var contexts = [0]
  /// Rounds; the median counts.
  public var repetitions = 5

  /// The usual questions.
  public init() {}

  /// Prompts of one length.
  public struct Prompt: Sendable {
    public let tokens: Int
    public let tokensPerSecond: Double
  }

  /// Sequences decoded together.
  public struct Decode: Sendable {
    public let sequences: Int
    public let context: Int
    /// Of all sequences together.
    public let tokensPerSecond: Double
  }

  /// What was found.
  public struct Result: Sendable {
    public let prompt: [Prompt]
    public let decode: [Decode]
    /// The most memory the process held, before the ceiling was measured.
    public let peakMemoryBytes: Int
    /// Of all threads together, bytes a second.
    public let readBandwidth: Double
    /// What the bandwidth allows one sequence at the first of the contexts.
    public let decodeCeiling: Double
  }

  /// Measures. Rounds of all questions alternate, so that what else the machine does meets them alike.
  ///
  /// - Parameter progress: Receives how much of the work is done, from 0 to 1.
  /// - Throws: `GenerationError` when a prompt or position does not fit the model's context.
  public func run(_ model: LanguageModel, progress: (Double) -> Void = { _ in }) throws -> Result {
    // The first pass also gets memory from the system.
    _ = try model.promptSeconds(min(64, promptTokens.max() ?? 64))
    _ = try model.decodeSeconds(2)
    let decodes = contexts.flatMap { context in sequences.map { (sequences: $0, context: context) } }
    var promptRates = [[Double]](repeating: [], count: promptTokens.count)
    var decodeRates = [[Double]](repeating: [], count: decodes.count)
    let (total, perRound) = (Double(repetitions), Double(promptTokens.count + decodes.count))
    for round in 0..<repetitions {
      var done = 0.0
      func advance() {
        done += 1
        progress((Double(round) + done / perRound) / total)
      }
      for (index, tokens) in promptTokens.enumerated() {
        promptRates[index].append(Double(tokens) / (try model.promptSeconds(tokens)))
        advance()
      }
      for (index, decode) in decodes.enumerated() {
        let seconds = try model.decodeSeconds(
          decodeTokens, sequenceCount: decode.sequences, position: decode.context)
        decodeRates[index].append(Double(decode.sequences * decodeTokens) / seconds)
        advance()
      }
    }
    let peak = PeakMemory.bytes
    let bandwidth = Machine.readBandwidth(model.pool)
    let footprint = model.footprint
    // The cache grows while decoding: halfway through it is as long as on average.
    let cached = ((contexts.first ?? 0) + decodeTokens / 2) * footprint.cacheBytesPerToken
    return Result(
      prompt: zip(promptTokens, promptRates).map { Prompt(tokens: $0, tokensPerSecond: median($1)) },
      decode: zip(decodes, decodeRates).map {
        Decode(sequences: $0.sequences, context: $0.context, tokensPerSecond: median($1))
      }, peakMemoryBytes: peak, readBandwidth: bandwidth,
      decodeCeiling: bandwidth / Double(max(1, footprint.weightBytes + cached)))
  }

  private func median(_ values: [Double]) -> Double {
    let sorted = values.sorted()
    guard !sorted.isEmpty else { return 0 }
    return (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
  }
}
