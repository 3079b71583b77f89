internal import ArgumentParser
internal import Engine

/// The generation options of `hearth chat`: those of `hearth generate` that make sense for one streaming answer, with
/// defaults that suit conversation.
struct ChatOptions: ParsableArguments {
  @Option(help: "The most tokens of an answer (default: as many as fit).") var maxTokens: Int?
  @Option(help: "0 chooses the likeliest token; 1 samples as the model thinks.") var temperature: Float = 0.7
  @Option(help: "Sample among the K likeliest tokens; 0 is all.") var topK = 0
  @Option(help: "Sample among the likeliest tokens that together reach this probability.") var topP: Float = 0.9
  @Option(help: "Drop tokens less likely than this share of the likeliest.") var minP: Float = 0
  @Option(help: "Divide the logits of tokens seen before; 1 is off.") var repetitionPenalty: Float = 1
  @Option(help: "Subtract from the logits of tokens generated before.") var presencePenalty: Float = 0
  @Option(help: "Subtract from logits for each time a token was generated.") var frequencyPenalty: Float = 0
  @Option(parsing: .singleValue, help: "Add to the logits of a token: ID=BIAS; may be repeated.")
  var logitBias: [String] = []
  @Option(help: "The same seed gives the same conversation (default: another one each time).") var seed: UInt64?
  @Option(parsing: .singleValue, help: "End an answer at this string; may be repeated.") var stop: [String] = []

  func validate() throws {
    if let maxTokens, maxTokens < 1 { throw ValidationError("--max-tokens \(maxTokens): expected at least 1") }
    if stop.contains("") { throw ValidationError("--stop: expected at least one character") }
    _ = try bias()
    let sampling = try settings().sampling(seed: 0)
    do { try sampling.validate() } catch { throw ValidationError("\(error)") }
  }

  func settings() throws -> ChatSettings {
    ChatSettings(
      temperature: temperature, topK: topK, topP: topP, minP: minP, repetitionPenalty: repetitionPenalty,
      presencePenalty: presencePenalty, frequencyPenalty: frequencyPenalty, logitBias: try bias(), seed: seed,
      maximumTokenCount: maxTokens, stops: stop)
  }

  private func bias() throws -> [Int32: Float] {
    var bias: [Int32: Float] = [:]
    for entry in logitBias {
      let parts = entry.split(separator: "=", maxSplits: 1)
      guard parts.count == 2, let id = Int32(parts[0]), let value = Float(parts[1]) else {
        throw ValidationError("--logit-bias \(entry): expected ID=BIAS, for example 42=-100")
      }
      bias[id] = value
    }
    return bias
  }
}
