internal import ArgumentParser
internal import Chat
internal import Engine
internal import Tokenizers

/// Everything a line of `--lines` may say, field by field as the flags are called.
struct GenerationFields: Decodable {
  var messages: [ChatMessage]?
  var prompt: String?
  var ids: [Int32]?
  var max_tokens: Int?
  var temperature: Float?
  var top_k: Int?
  var top_p: Float?
  var min_p: Float?
  var repetition_penalty: Float?
  var presence_penalty: Float?
  var frequency_penalty: Float?
  var logit_bias: [String: Float]?
  var seed: UInt64?
  var stop: StopField?
  var logprobs: Int?
  var num_beams: Int?
  var length_penalty: Double?
  var early_stopping: Bool?
  var num_return_sequences: Int?
  var system: String?
  var raw: Bool?

  /// A string or a list of strings.
  struct StopField: Decodable {
    var strings: [String]
    init(_ strings: [String]) { self.strings = strings }
    init(from decoder: any Decoder) throws {
      let container = try decoder.singleValueContainer()
      strings = try (try? container.decode(String.self)).map { [$0] } ?? container.decode([String].self)
    }
  }

  private enum CodingKeys: String, CodingKey, CaseIterable {
    case messages, prompt, ids, max_tokens, temperature, top_k, top_p, min_p, repetition_penalty
    case presence_penalty, frequency_penalty, logit_bias, seed, stop, logprobs, num_beams, length_penalty
    case early_stopping, num_return_sequences, system, raw
  }

  init() {}

  init(from decoder: any Decoder) throws {
    // A misspelt option that is silently ignored changes answers without a word.
    let known = Set(CodingKeys.allCases.map(\.rawValue))
    for key in try decoder.container(keyedBy: AnyKey.self).allKeys where !known.contains(key.stringValue) {
      throw DecodingError.dataCorrupted(
        .init(
          codingPath: [key],
          debugDescription:
            "unknown field \(key.stringValue): expected one of \(known.sorted().joined(separator: ", "))"))
    }
    let c = try decoder.container(keyedBy: CodingKeys.self)
    messages = try c.decodeIfPresent([ChatMessage].self, forKey: .messages)
    prompt = try c.decodeIfPresent(String.self, forKey: .prompt)
    ids = try c.decodeIfPresent([Int32].self, forKey: .ids)
    max_tokens = try c.decodeIfPresent(Int.self, forKey: .max_tokens)
    temperature = try c.decodeIfPresent(Float.self, forKey: .temperature)
    top_k = try c.decodeIfPresent(Int.self, forKey: .top_k)
    top_p = try c.decodeIfPresent(Float.self, forKey: .top_p)
    min_p = try c.decodeIfPresent(Float.self, forKey: .min_p)
    repetition_penalty = try c.decodeIfPresent(Float.self, forKey: .repetition_penalty)
    presence_penalty = try c.decodeIfPresent(Float.self, forKey: .presence_penalty)
    frequency_penalty = try c.decodeIfPresent(Float.self, forKey: .frequency_penalty)
    logit_bias = try c.decodeIfPresent([String: Float].self, forKey: .logit_bias)
    seed = try c.decodeIfPresent(UInt64.self, forKey: .seed)
    stop = try c.decodeIfPresent(StopField.self, forKey: .stop)
    logprobs = try c.decodeIfPresent(Int.self, forKey: .logprobs)
    num_beams = try c.decodeIfPresent(Int.self, forKey: .num_beams)
    length_penalty = try c.decodeIfPresent(Double.self, forKey: .length_penalty)
    early_stopping = try c.decodeIfPresent(Bool.self, forKey: .early_stopping)
    num_return_sequences = try c.decodeIfPresent(Int.self, forKey: .num_return_sequences)
    system = try c.decodeIfPresent(String.self, forKey: .system)
    raw = try c.decodeIfPresent(Bool.self, forKey: .raw)
  }

  private struct AnyKey: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }
    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }

  /// These fields, with those of `defaults` where nothing is said.
  func over(_ defaults: GenerationFields) -> GenerationFields {
    var merged = self
    merged.max_tokens = max_tokens ?? defaults.max_tokens
    merged.temperature = temperature ?? defaults.temperature
    merged.top_k = top_k ?? defaults.top_k
    merged.top_p = top_p ?? defaults.top_p
    merged.min_p = min_p ?? defaults.min_p
    merged.repetition_penalty = repetition_penalty ?? defaults.repetition_penalty
    merged.presence_penalty = presence_penalty ?? defaults.presence_penalty
    merged.frequency_penalty = frequency_penalty ?? defaults.frequency_penalty
    merged.logit_bias = logit_bias ?? defaults.logit_bias
    merged.seed = seed ?? defaults.seed
    merged.stop = stop ?? defaults.stop
    merged.logprobs = logprobs ?? defaults.logprobs
    merged.num_beams = num_beams ?? defaults.num_beams
    merged.length_penalty = length_penalty ?? defaults.length_penalty
    merged.early_stopping = early_stopping ?? defaults.early_stopping
    merged.num_return_sequences = num_return_sequences ?? defaults.num_return_sequences
    if let messages, let system = system ?? defaults.system, messages.first?.role != "system" {
      merged.messages = [ChatMessage(role: "system", content: system)] + messages
    }
    return merged
  }

  /// - Throws: `CommandError` naming a field that is out of its range, or that contradicts another.
  func validate() throws {
    func require(_ name: String, _ value: Int?, _ range: ClosedRange<Int>, _ expected: String) throws {
      guard let value, !range.contains(value) else { return }
      throw CommandError("\(name) is \(value), expected \(expected)")
    }
    let beams = num_beams ?? 1
    try require("max_tokens", max_tokens, 1...Int.max, "at least 1")
    try require("num_beams", num_beams, 1...64, "1 to 64")
    try require("num_return_sequences", num_return_sequences, 1...max(1, beams), "1 to the number of beams, \(beams)")
    try require("logprobs", logprobs, 0...1000, "0 to 1000")
    if beams > 1 {
      if temperature ?? 0 > 0 {
        throw CommandError("temperature: beam search does not sample: leave it out, or num_beams")
      }
      if logprobs != nil { throw CommandError("logprobs: beam search reports scores: leave it out, or num_beams") }
      if stop?.strings.isEmpty == false {
        throw CommandError("stop: beam search ends at end tokens only: leave it out, or num_beams")
      }
    }
  }

  /// The penalties these fields ask for.
  func penalties() throws -> Penalties {
    var bias: [Int32: Float] = [:]
    for (key, value) in logit_bias ?? [:] {
      guard let id = Int32(key) else { throw CommandError("logit_bias: \(key) is not a token id") }
      bias[id] = value
    }
    return Penalties(
      repetition: repetition_penalty ?? 1, presence: presence_penalty ?? 0, frequency: frequency_penalty ?? 0,
      logitBias: bias)
  }

  /// How to answer.
  func answerOptions() throws -> AnswerOptions {
    AnswerOptions(
      sampling: SamplingOptions(
        temperature: temperature ?? 0, topK: top_k ?? 0, topP: top_p ?? 1, minP: min_p ?? 0,
        penalties: try penalties(), seed: seed ?? 0),
      maximumTokenCount: max_tokens, stops: stop?.strings ?? [], listedTokenCount: logprobs)
  }
}

/// The generation options of commands that answer.
struct GenerationOptions: ParsableArguments {
  @Option(parsing: .unconditional, help: "The most tokens to generate (default: as many as fit).") var maxTokens: Int?
  @Option(parsing: .unconditional, help: "0 chooses the likeliest token; 1 samples as the model thinks.")
  var temperature: Float = 0
  @Option(parsing: .unconditional, help: "Sample among the K likeliest tokens; 0 is all.") var topK = 0
  @Option(parsing: .unconditional, help: "Sample among the likeliest tokens that together reach this probability.")
  var topP: Float = 1
  @Option(parsing: .unconditional, help: "Drop tokens less likely than this share of the likeliest.") var minP: Float =
    0
  @Option(parsing: .unconditional, help: "Divide the logits of tokens seen before; 1 is off.") var repetitionPenalty:
    Float = 1
  @Option(parsing: .unconditional, help: "Subtract from the logits of tokens generated before.") var presencePenalty:
    Float = 0
  @Option(parsing: .unconditional, help: "Subtract from logits for each time a token was generated.")
  var frequencyPenalty: Float = 0
  @Option(parsing: .unconditionalSingleValue, help: "Add to the logits of tokens: ID=BIAS …") var logitBias: [String] =
    []
  @Option(parsing: .unconditional, help: "The same seed gives the same answer.") var seed: UInt64 = 0
  @Option(parsing: .unconditionalSingleValue, help: "End the answer at this string; may be repeated.") var stop:
    [String] = []
  @Option(parsing: .unconditional, help: "Report log-probabilities with the K likeliest alternatives.") var logprobs:
    Int?
  @Option(parsing: .unconditional, help: "Beam search with this many beams.") var numBeams = 1
  @Option(parsing: .unconditional, help: "Beam scores are divided by length to this power.") var lengthPenalty = 1.0
  @Flag(help: "End beam search as soon as enough answers are finished.") var earlyStopping = false
  @Option(parsing: .unconditional, help: "How many of the beams' answers to return.") var numReturnSequences = 1

  func validate() throws {
    func require(_ flag: String, _ value: some Comparable, _ isGood: Bool, _ expected: String) throws {
      if !isGood { throw ValidationError("--\(flag) \(value): expected \(expected)") }
    }
    if let maxTokens { try require("max-tokens", maxTokens, maxTokens >= 1, "at least 1") }
    try require(
      "temperature", temperature, temperature.isFinite && temperature >= 0,
      "0 (always the likeliest token) or more; answers are usually sampled at 0.2 to 1")
    try require("top-k", topK, topK >= 0, "0 (off) or more")
    try require("top-p", topP, (0...1).contains(topP), "0 to 1 (off)")
    try require("min-p", minP, (0...1).contains(minP), "0 (off) to 1")
    try require(
      "repetition-penalty", repetitionPenalty, repetitionPenalty.isFinite && repetitionPenalty > 0,
      "more than 0; 1 is off, 1.1 is usual")
    try require("presence-penalty", presencePenalty, presencePenalty.isFinite, "a number; 0 is off")
    try require("frequency-penalty", frequencyPenalty, frequencyPenalty.isFinite, "a number; 0 is off")
    try require("length-penalty", lengthPenalty, lengthPenalty.isFinite, "a number; 1 is usual")
    try require("num-beams", numBeams, (1...64).contains(numBeams), "1 to 64")
    try require(
      "num-return-sequences", numReturnSequences, numReturnSequences >= 1 && numReturnSequences <= numBeams,
      "1 to the number of beams, \(numBeams)")
    if let logprobs { try require("logprobs", logprobs, (0...1000).contains(logprobs), "0 to 1000") }
    for entry in logitBias {
      let parts = entry.split(separator: "=", maxSplits: 1)
      guard parts.count == 2, Int32(parts[0]) != nil, Float(parts[1]) != nil else {
        throw ValidationError("--logit-bias \(entry): expected ID=BIAS, for example 42=-100")
      }
    }
    do { try fields.validate() } catch { throw ValidationError("\(error)") }
  }

  var fields: GenerationFields {
    var fields = GenerationFields()
    fields.max_tokens = maxTokens
    fields.temperature = temperature
    fields.top_k = topK
    fields.top_p = topP
    fields.min_p = minP
    fields.repetition_penalty = repetitionPenalty
    fields.presence_penalty = presencePenalty
    fields.frequency_penalty = frequencyPenalty
    fields.logit_bias = Dictionary(
      logitBias.compactMap { entry in
        let parts = entry.split(separator: "=", maxSplits: 1)
        return Float(parts[1]).map { (String(parts[0]), $0) }
      }, uniquingKeysWith: { _, last in last })
    fields.seed = seed
    fields.stop = .init(stop)
    fields.logprobs = logprobs
    fields.num_beams = numBeams
    fields.length_penalty = lengthPenalty
    fields.early_stopping = earlyStopping
    fields.num_return_sequences = numReturnSequences
    return fields
  }
}
