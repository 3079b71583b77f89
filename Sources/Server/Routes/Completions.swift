internal import Chat
internal import Engine
internal import HTTPTypes
internal import Hummingbird
internal import Tokenizers

// /v1/completions: text goes on as it is, without the chat template. Evaluation harnesses score with its `echo` and `logprobs`.
extension RouteTable {
  mutating func addCompletions(_ state: ServerState) {
    on(.post, "/v1/completions", .scope(.chat)) { request, context in
      let wanted = try await CompletionRequest(try await request.fields(state, context), state, context)
      try state.admit(context)
      let reply = CompletionReply(wanted, try await wanted.echoes(state, context))
      return try await .answers(
        to: wanted.calls(context), isStreaming: wanted.sampling.isStreaming, reply, state, context)
    }
  }
}

/// A request for completions, checked.
struct CompletionRequest: Sendable {
  let model: ServedModel
  let prompts: [[Int32]]
  let sampling: SamplingFields
  /// Whether the prompt is part of the text.
  let echoes: Bool
  /// Whether nothing is to be written: the prompt is only scored.
  let isScoring: Bool

  init(_ given: Fields, _ state: ServerState, _ context: ServerContext) async throws {
    var fields = given
    let limits = state.settings.limits
    model = try await state.model(try fields.requiredString("model"), context)
    prompts = try PromptFields.prompts(&fields, "prompt", model, most: limits.prompts)
    var sampling = try SamplingFields(&fields, limits)
    echoes = try fields.bool("echo") ?? false
    // OpenAI's default, which is meant: a text that goes on has no end.
    let most = try fields.integer("max_tokens", in: 0...Int(Int32.max)) ?? 16
    isScoring = most == 0
    sampling.options.maximumTokenCount = max(1, most)
    sampling.options.listedTokenCount = try fields.integer("logprobs", in: 0...limits.listedTokens)
    if let best = try fields.integer("best_of", in: 1...limits.answers), best != sampling.count {
      throw APIError.invalid(
        "best_of", "best_of is not supported beyond n: ask for n answers with logprobs and choose",
        code: "unsupported_parameter")
    }
    try fields.refuse("suffix", "models here write on, they do not fill in")
    fields.ignore("user")
    try fields.finish()
    if isScoring, !echoes {
      throw APIError.invalid("max_tokens", "max_tokens is 0: goes with \"echo\": true, to score the prompt")
    }
    self.sampling = sampling
    for prompt in prompts {
      guard isScoring, prompt.count == model.contextLength else {
        try model.check(prompt, sampling.options, naming: "prompt")
        continue
      }
    }
  }

  func calls(_ context: ServerContext) -> [AnswerCall] {
    guard !isScoring else { return [] }
    return prompts.map {
      AnswerCall(model, $0, sampling.options, count: sampling.count, key: context.principal?.id ?? "")
    }
  }

  /// Each prompt as it is echoed, with how likely its tokens are if that was asked for.
  func echoes(_ state: ServerState, _ context: ServerContext) async throws -> [[EchoedToken]] {
    guard echoes else { return [] }
    var found: [[EchoedToken]] = []
    for prompt in prompts {
      guard let listing = sampling.options.listedTokenCount else {
        found.append(prompt.map { EchoedToken(id: $0, sampled: nil) })
        continue
      }
      let scores = try await state.room.scores(model, prompt, listing: listing, key: context.principal?.id ?? "")
      found.append(zip(prompt, scores).map { EchoedToken(id: $0, sampled: $1) })
    }
    if isScoring {
      Account(model, promptTokenCount: prompts.reduce(0) { $0 + $1.count }, state, context).close()
    }
    return found
  }
}

/// A token of a text with what the model thought of it; nil for the first of a prompt, before which is nothing.
struct EchoedToken: Sendable {
  let id: Int32
  let sampled: SampledToken?
}

/// Completions in OpenAI's shape.
struct CompletionReply: AnswerReply {
  private let wanted: CompletionRequest
  private let echoes: [[EchoedToken]]
  private let id = Identifier.make("cmpl")
  private let created = Clock.seconds
  private var answers: [Answer] = []
  /// Where the next token of each text begins.
  private var offsets: [TextOffsets]

  init(_ wanted: CompletionRequest, _ echoes: [[EchoedToken]]) {
    self.wanted = wanted
    self.echoes = echoes
    let none = TextOffsets(wanted.model.text.tokenizer, skipSpecial: true)
    offsets = Array(repeating: none, count: wanted.prompts.count * wanted.sampling.count)
  }

  private var tokenizer: Tokenizer { wanted.model.text.tokenizer }
  private var answersPerPrompt: Int { wanted.sampling.count }

  func whole(_ answers: [[FinishedAnswer]]) -> JSON {
    var choices: [JSON] = []
    for prompt in wanted.prompts.indices {
      let echo = echoes.isEmpty ? [] : echoes[prompt]
      let before = tokenizer.decode(echo.map(\.id))
      for answer in 0..<answersPerPrompt {
        let found = answers.isEmpty ? nil : answers[prompt][answer]
        let tokens = (found?.tokens ?? []).map { EchoedToken(id: $0.chosen.id, sampled: $0) }
        var offsets = TextOffsets(tokenizer, from: before.unicodeScalars.count, skipSpecial: true)
        choices.append(
          choice(
            prompt * answersPerPrompt + answer, before + (found?.answer.text ?? ""), echo + tokens,
            at: echoOffsets(echo) + offsets.next(tokens), reason: found?.answer.finishReason.rawValue ?? "length"))
      }
    }
    let finished = answers.flatMap { $0.map(\.answer) }
    return document(choices, usage: Usage(finished, prompts: wanted.prompts).openAI)
  }

  // The echo first, then a chunk for each piece.

  mutating func begin(_ events: inout EventWriter) async throws {
    for (prompt, echo) in echoes.enumerated() {
      let text = tokenizer.decode(echo.map(\.id))
      for answer in 0..<answersPerPrompt {
        let index = prompt * answersPerPrompt + answer
        let reason = wanted.isScoring ? "length" : nil
        try await events.send(
          document([choice(index, text, echo, at: echoOffsets(echo), reason: reason)], usage: .null))
        offsets[index] = TextOffsets(tokenizer, from: text.unicodeScalars.count, skipSpecial: true)
      }
    }
  }

  mutating func append(_ piece: AnswerPiece, prompt: Int, to events: inout EventWriter) async throws {
    let index = prompt * answersPerPrompt + piece.choice
    let tokens = piece.tokens.map { EchoedToken(id: $0.chosen.id, sampled: $0) }
    let reason = piece.answer?.finishReason.rawValue
    let places = offsets[index].next(tokens)
    try await events.send(document([choice(index, piece.text, tokens, at: places, reason: reason)], usage: .null))
    if let answer = piece.answer { answers.append(answer) }
  }

  mutating func end(_ events: inout EventWriter) async throws {
    if wanted.sampling.includesUsage {
      try await events.send(document([], usage: Usage(answers, prompts: wanted.prompts).openAI))
    }
    try await events.sendDone()
  }

  private func document(_ choices: [JSON], usage: JSON) -> JSON {
    .object([
      "id": .string(id), "object": "text_completion", "created": .integer(created), "model": .string(wanted.model.name),
      "choices": .array(choices),
      "usage": wanted.sampling.isStreaming && !wanted.sampling.includesUsage ? nil : usage,
    ])
  }

  /// An echo is all of its tokens, special ones too.
  private func echoOffsets(_ echo: [EchoedToken]) -> [Int] {
    var offsets = TextOffsets(tokenizer, skipSpecial: false)
    return offsets.next(echo)
  }

  private func choice(_ index: Int, _ text: String, _ tokens: [EchoedToken], at offsets: [Int], reason: String?) -> JSON
  {
    let lists = wanted.sampling.options.listedTokenCount != nil
    return [
      "index": .integer(index), "text": .string(text), "logprobs": lists ? logProbabilities(tokens, offsets) : nil,
      "finish_reason": .optional(reason),
    ]
  }

  /// The older shape: columns side by side, and where in the text each token begins, in code points.
  private func logProbabilities(_ tokens: [EchoedToken], _ offsets: [Int]) -> JSON {
    func top(_ token: EchoedToken) -> JSON {
      guard let sampled = token.sampled else { return .null }
      var members: [JSONElement.Member] = []
      for other in sampled.likeliest {
        members.append(.init(key: tokenizer.shown(other.id), value: .real(Double(other.logProbability))))
      }
      let chosen = tokenizer.shown(sampled.chosen.id)
      if !members.contains(where: { $0.key == chosen }) {
        members.append(.init(key: chosen, value: .real(Double(sampled.chosen.logProbability))))
      }
      return .object(members)
    }
    return [
      "tokens": .array(tokens.map { .string(tokenizer.shown($0.id)) }),
      "token_logprobs": .array(tokens.map { $0.sampled.map { .real(Double($0.chosen.logProbability)) } ?? .null }),
      "top_logprobs": .array(tokens.map(top)), "text_offset": .array(offsets.map { .integer($0) }),
    ]
  }
}

/// Where tokens begin in the text that they make together, in code points. One that goes on with a character begins where the
/// character does; one that does not begins behind what stands for bytes that are none.
private struct TextOffsets: Sendable {
  private let tokenizer: Tokenizer
  private var decoder: StreamingDecoder
  private var count: Int

  init(_ tokenizer: Tokenizer, from start: Int = 0, skipSpecial: Bool) {
    self.tokenizer = tokenizer
    decoder = StreamingDecoder(tokenizer, skipSpecial: skipSpecial)
    count = start
  }

  mutating func next(_ tokens: [EchoedToken]) -> [Int] {
    tokens.map { token in
      let piece = decoder.append(token.id).unicodeScalars.count
      defer { count += piece }
      // Whole characters of its own end the text; what comes before them was held back until now.
      let own = String(validating: tokenizer.bytes(of: token.id), as: UTF8.self)?.unicodeScalars.count
      return count + max(0, piece - (own ?? piece))
    }
  }
}
