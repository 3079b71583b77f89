internal import Chat
internal import Engine
internal import Tokenizers

/// Turns the fields of requests into answers in the shape of the command's JSON.
struct RequestGenerator {
  let model: ChatModel
  let contextLength: Int?
  let defaults: GenerationFields
  let loadSeconds: Double

  struct Output: Encodable {
    struct Beam: Encodable {
      let text: String
      let tokens: [Int32]
      let score: Double
    }
    struct Alternative: Encodable {
      let id: Int32
      let logprob: Double
    }
    struct TokenProbability: Encodable {
      let id: Int32
      let logprob: Double
      let top: [Alternative]
    }
    struct Usage: Encodable {
      let prompt_tokens: Int
      let completion_tokens: Int
      let cached_tokens: Int
    }
    struct Timings: Encodable {
      let load_seconds: Double
      let time_to_first_token_seconds: Double
      let prompt_tokens_per_second: Double
      let completion_tokens_per_second: Double
    }
    let text: String
    let tokens: [Int32]
    let finish_reason: String
    let logprobs: [TokenProbability]?
    let beams: [Beam]?
    let usage: Usage
    let timings: Timings
  }

  /// The prompt's ids.
  private func prompt(_ fields: GenerationFields) throws -> [Int32] {
    let given = [fields.messages != nil, fields.prompt != nil, fields.ids != nil].count { $0 }
    guard given == 1 else {
      throw CommandError("expected exactly one of the fields messages, prompt and ids, found \(given)")
    }
    if let ids = fields.ids { return ids }
    if let text = fields.prompt { return model.prompt(raw: text) }
    return try model.prompt(fields.messages ?? [])
  }

  /// Answers requests together.
  func answer(_ requests: [GenerationFields]) throws -> [Output] {
    let requests = requests.map { $0.over(defaults) }
    if requests.contains(where: { ($0.num_beams ?? 1) > 1 }) { return try requests.map(search) }
    let answers = try model.answer(
      requests.map { (try prompt($0), try $0.answerOptions()) }, contextLength: contextLength
    )
    return answers.map { output($0, beams: nil) }
  }

  /// Answers one request as it comes.
  func stream(_ fields: GenerationFields, onText: (String) -> Bool) throws -> Answer {
    let fields = fields.over(defaults)
    return try model.answer(
      try prompt(fields), try fields.answerOptions(), contextLength: contextLength, onText: onText
    )
  }

  private func search(_ fields: GenerationFields) throws -> Output {
    let found = try model.search(
      try prompt(fields),
      BeamSearchOptions(
        beamCount: fields.num_beams ?? 1, returnCount: fields.num_return_sequences ?? 1,
        lengthPenalty: fields.length_penalty ?? 1,
        earlyStopping: fields.early_stopping == true ? .whenFull : .whenUnlikely,
        maximumTokenCount: fields.max_tokens ?? .max, endTokens: model.endTokens,
        penalties: try fields.penalties()),
      contextLength: contextLength)
    return output(
      found.answer,
      beams: found.beams.map { Output.Beam(text: $0.text, tokens: $0.tokens, score: $0.score) })
  }

  private func output(_ answer: Answer, beams: [Output.Beam]?) -> Output {
    Output(
      text: answer.text, tokens: answer.tokens, finish_reason: answer.finishReason.rawValue,
      logprobs: answer.logProbabilities.isEmpty
        ? nil
        : answer.logProbabilities.map { token in
          Output.TokenProbability(
            id: token.chosen.id, logprob: Double(token.chosen.logProbability),
            top: token.likeliest.map { .init(id: $0.id, logprob: Double($0.logProbability)) })
        }, beams: beams,
      usage: .init(
        prompt_tokens: answer.promptTokenCount, completion_tokens: answer.tokens.count,
        cached_tokens: answer.cachedTokenCount),
      timings: .init(
        load_seconds: loadSeconds, time_to_first_token_seconds: answer.firstTokenSeconds,
        prompt_tokens_per_second: answer.promptTokensPerSecond,
        completion_tokens_per_second: answer.completionTokensPerSecond))
  }
}
