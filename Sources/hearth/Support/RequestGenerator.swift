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
    if let messages = fields.messages {
      if fields.raw == true { throw CommandError("raw: goes with prompt; messages take the chat template") }
      return try model.prompt(messages)
    }
    if fields.system != nil {
      throw CommandError("system: goes with messages; prompt and ids are continued as they are")
    }
    if let ids = fields.ids { return ids }
    if fields.raw == false {
      throw CommandError("raw: a prompt is always continued as it is; for the chat template give messages")
    }
    return model.prompt(raw: fields.prompt ?? "")
  }

  /// Answers requests together. One that cannot be answered fails alone; the others' answers are what they would be without it.
  func answer(_ requests: [GenerationFields]) -> [Result<Output, any Error>] {
    let requests = requests.map { $0.over(defaults) }
    var results = [Result<Output, any Error>?](repeating: nil, count: requests.count)
    var (together, places): ([(prompt: [Int32], options: AnswerOptions)], [Int]) = ([], [])
    for (place, fields) in requests.enumerated() {
      do {
        try fields.validate()
        if fields.num_beams ?? 1 > 1 {
          results[place] = .success(try search(fields))
          continue
        }
        let (prompt, options) = (try prompt(fields), try fields.answerOptions())
        try model.check(prompt, options, contextLength: contextLength)
        together.append((prompt, options))
        places.append(place)
      } catch { results[place] = .failure(error) }
    }
    for (place, result) in zip(places, answer(together)) { results[place] = result.map { output($0, beams: nil) } }
    return results.map { $0 ?? .failure(CommandError("no answer was made: please report this")) }
  }

  private func answer(_ requests: [(prompt: [Int32], options: AnswerOptions)]) -> [Result<Answer, any Error>] {
    guard !requests.isEmpty else { return [] }
    do { return try model.answer(requests, contextLength: contextLength).map { .success($0) } } catch {
      // The model gave one of them no usable logits, which shows only on the way.
      if requests.count == 1 { return [.failure(error)] }
      return requests.flatMap { answer([$0]) }
    }
  }

  /// Answers one request as it comes.
  func stream(_ fields: GenerationFields, onText: (String) -> Bool) throws -> Answer {
    let fields = fields.over(defaults)
    try fields.validate()
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
