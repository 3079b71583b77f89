internal import Chat
internal import Engine
internal import HTTPTypes
internal import Hummingbird
internal import Tokenizers

// /v1/chat/completions, as OpenAI's API reference has it.
extension RouteTable {
  mutating func addChatCompletions(_ state: ServerState) {
    on(.post, "/v1/chat/completions", .scope(.chat)) { request, context in
      let wanted = try await ChatCompletionRequest(try await request.fields(state, context), state, context)
      try state.admit(context)
      if wanted.keeping != nil {
        try await state.storage.requireRoom(context.owner, most: state.settings.limits.storedBytes)
      }
      return try await Response.answers(
        to: [wanted.call(context)], isStreaming: wanted.sampling.isStreaming, ChatCompletionReply(wanted), state,
        context, keep: wanted.keeping?.keeper(state))
    }
  }
}

/// A request for chat completions, checked.
struct ChatCompletionRequest: Sendable {
  let model: ServedModel
  let prompt: [Int32]
  let sampling: SamplingFields
  /// Whether the answer may call tools.
  let callsTools: Bool
  /// What is kept with the answer; nil for nothing.
  let keeping: ConversationKeeping?

  init(_ given: Fields, _ state: ServerState, _ context: ServerContext) async throws {
    var fields = given
    let limits = state.settings.limits
    model = try await state.model(try fields.requiredString("model"), context)
    let messages = try MessageFields.messages(&fields, limits)
    var sampling = try SamplingFields(&fields, limits)
    let old = try fields.integer("max_tokens", in: 1...Int(Int32.max))
    sampling.options.maximumTokenCount = try fields.integer("max_completion_tokens", in: 1...Int(Int32.max)) ?? old
    let lists = try fields.bool("logprobs") ?? false
    let listed = try fields.integer("top_logprobs", in: 0...limits.listedTokens)
    if listed != nil, !lists { throw APIError.invalid("top_logprobs", "top_logprobs: goes with \"logprobs\": true") }
    sampling.options.listedTokenCount = lists ? listed ?? 0 : nil
    let format = try FormatFields.grammar(&fields, limits)
    let tools = try ToolSet.chat(&fields, limits)
    callsTools = tools.canCall
    if format != nil, callsTools {
      throw APIError.invalid("response_format", "response_format does not go with tools", code: "unsupported_parameter")
    }
    if format != nil { try FormatFields.refuse(stops: sampling.options.stops, beside: "response_format", "stop") }
    keeping = try ConversationKeeping.take(&fields, messages: given.sent("messages"), owner: context.owner, state)
    try ChatCompletionRequest.refuseOthers(&fields)
    try fields.finish()
    sampling.options.stopsEnd = tools.stopsEnd
    if let grammar = format ?? tools.grammar { sampling.options.constraint = model.constraint(grammar) }
    self.sampling = sampling
    prompt = try tools.prompt(messages, model)
    try model.check(prompt, sampling.options, naming: "messages")
  }

  func call(_ context: ServerContext) -> AnswerCall {
    AnswerCall(model, prompt, sampling.options, count: sampling.count, key: context.principal?.id ?? "")
  }

  /// What OpenAI's API has and this server does not, and what changes no answer.
  private static func refuseOthers(_ fields: inout Fields) throws(APIError) {
    fields.ignore("user", "safety_identifier", "prompt_cache_key")
    try fields.refuse("service_tier", unless: ["auto", "default"], "there is one tier")
    try fields.refuse("modalities", unless: [["text"]], "answers are text")
    try fields.refuse("audio", "answers are text")
    try fields.refuse("prediction", "repeated text is guessed without being told")
    try fields.refuse("reasoning_effort", "models here do not reason apart from their answers")
    try fields.refuse("verbosity", "say in a message how long the answer shall be")
    try fields.refuse("web_search_options", "this server does not go to the web")
    try fields.refuse("functions", "use tools")
    try fields.refuse("function_call", "use tool_choice")
  }
}

/// Messages as prompts.
enum PromptRendering {
  /// - Throws: `APIError` when the model has no template, or the template refuses the messages.
  static func prompt(_ messages: [ChatMessage], tools: TemplateValue? = nil, _ model: ServedModel) throws -> [Int32] {
    do { return try model.text.prompt(messages, tools: tools) } catch let error as TemplateError {
      throw APIError.invalid("messages", "the model's chat template refuses the messages: \(error)")
    }
  }
}

/// Answers in OpenAI's shape.
struct ChatCompletionReply: AnswerReply {
  private let wanted: ChatCompletionRequest
  private let id = Identifier.make("chatcmpl")
  private let created = Clock.seconds
  private var answers: [Answer] = []
  private var parts: [ToolCallStream]

  init(_ wanted: ChatCompletionRequest) {
    self.wanted = wanted
    parts = Array(repeating: ToolCallStream(callsTools: wanted.callsTools), count: wanted.sampling.count)
  }

  var callsTools: Bool { wanted.callsTools }

  func whole(_ answers: [[FinishedAnswer]]) -> JSON {
    let answers = answers.flatMap { $0 }
    let choices = answers.enumerated().map { index, found -> JSON in
      let (content, calls) = ToolCallStream.parts(of: found.answer.text, callsTools: wanted.callsTools)
      return [
        "index": .integer(index),
        "message": .object([
          "role": "assistant", "content": calls.isEmpty || !content.isEmpty ? .string(content) : .null,
          "refusal": .null,
          "tool_calls": calls.isEmpty ? nil : .array(entries(calls, choice: index)),
        ]), "logprobs": logProbabilities(found.tokens), "finish_reason": .string(reason(found.answer, calls)),
      ]
    }
    return [
      "id": .string(id), "object": "chat.completion", "created": .integer(created), "model": .string(wanted.model.name),
      "choices": .array(choices), "usage": Usage(answers.map(\.answer), prompts: [wanted.prompt]).openAI,
    ]
  }

  // A chunk for each piece: first who speaks, then what, then why it ended, then what was used if that was asked for.

  mutating func begin(_ events: inout EventWriter) async throws {
    for choice in 0..<wanted.sampling.count {
      try await events.send(chunk(choice, ["role": "assistant", "content": "", "refusal": nil]))
    }
  }

  mutating func append(_ piece: AnswerPiece, prompt: Int, to events: inout EventWriter) async throws {
    let (words, calls) = parts[piece.choice].append(piece)
    if !words.isEmpty || !piece.tokens.isEmpty {
      try await events.send(chunk(piece.choice, ["content": .string(words)], tokens: piece.tokens))
    }
    guard let answer = piece.answer else { return }
    answers.append(answer)
    if !calls.isEmpty {
      let entries = entries(calls, choice: piece.choice, areNumbered: true)
      try await events.send(chunk(piece.choice, ["tool_calls": .array(entries)]))
    }
    try await events.send(chunk(piece.choice, [:], reason: reason(answer, calls)))
  }

  mutating func end(_ events: inout EventWriter) async throws {
    if wanted.sampling.includesUsage {
      try await events.send(chunk([], usage: Usage(answers, prompts: [wanted.prompt]).openAI))
    }
    try await events.sendDone()
  }

  private func reason(_ answer: Answer, _ calls: [ToolCallText.Call]) -> String {
    calls.isEmpty || answer.finishReason == .length ? answer.finishReason.rawValue : "tool_calls"
  }

  /// Calls under names that follow from the answer's, so that what is streamed and what is kept have the same.
  ///
  /// - Parameter areNumbered: In a stream, each says which of the calls it is.
  private func entries(_ calls: [ToolCallText.Call], choice: Int, areNumbered: Bool = false) -> [JSON] {
    calls.enumerated().map { index, call in
      .object([
        "index": areNumbered ? .integer(index) : nil,
        "id": .string("call_\(id.dropFirst("chatcmpl-".count))\(choice)x\(index)"), "type": "function",
        "function": ["name": .string(call.name), "arguments": .string(call.arguments.line)],
      ])
    }
  }

  private func chunk(_ choice: Int, _ delta: JSON, tokens: [SampledToken] = [], reason: String? = nil) -> JSON {
    chunk(
      [
        [
          "index": .integer(choice), "delta": delta, "logprobs": tokens.isEmpty ? nil : logProbabilities(tokens),
          "finish_reason": .optional(reason),
        ]
      ], usage: .null)
  }

  private func chunk(_ choices: [JSON], usage: JSON) -> JSON {
    .object([
      "id": .string(id), "object": "chat.completion.chunk", "created": .integer(created),
      "model": .string(wanted.model.name), "choices": .array(choices),
      "usage": wanted.sampling.includesUsage ? usage : nil,
    ])
  }

  private func logProbabilities(_ tokens: [SampledToken]) -> JSON {
    guard wanted.sampling.options.listedTokenCount != nil else { return .null }
    let tokenizer = wanted.model.text.tokenizer
    func entry(_ token: TokenLogProbability) -> [JSONElement.Member] {
      [
        .init(key: "token", value: .string(tokenizer.shown(token.id))),
        .init(key: "logprob", value: .real(Double(token.logProbability))),
        .init(key: "bytes", value: .array(tokenizer.bytes(of: token.id).map { .integer(Int($0)) })),
      ]
    }
    return [
      "content": .array(
        tokens.map { token in
          .object(
            entry(token.chosen) + [
              .init(key: "top_logprobs", value: .array(token.likeliest.map { .object(entry($0)) }))
            ])
        }), "refusal": nil,
    ]
  }
}
