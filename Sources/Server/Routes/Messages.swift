internal import Chat
internal import Engine
internal import HTTPTypes
internal import Hummingbird
internal import Tokenizers

// Anthropic's /v1/messages and its counting of tokens.
extension RouteTable {
  mutating func addMessages(_ state: ServerState) {
    on(.post, "/v1/messages", .scope(.chat)) { request, context in
      let wanted = try MessagesRequest(try await request.fields(state, context), state)
      try state.admit(context)
      let call = AnswerCall(wanted.model, wanted.prompt, wanted.options, key: context.principal?.id ?? "")
      let signals = try await AnswerSignals([call], state, context)
      let reply = MessagesReply(wanted)
      guard wanted.isStreaming else {
        return .json(reply.whole(try await signals.collect(prompts: 1, answers: 1)[0][0].answer))
      }
      return .events(state, context) { error, events in
        try await events.send(Dialect.anthropic.body(of: error, requestID: context.requestID), event: "error")
      } produce: { events in
        try await reply.stream(signals, to: &events)
      }
    }
    on(.post, "/v1/messages/count_tokens", .scope(.chat)) { request, context in
      let wanted = try MessagesRequest(try await request.fields(state, context), state, isCounting: true)
      return .json(["input_tokens": .integer(wanted.prompt.count)])
    }
  }
}

/// A request for a message, checked.
struct MessagesRequest: Sendable {
  let model: ServedModel
  let prompt: [Int32]
  let options: AnswerOptions
  let isStreaming: Bool

  /// - Parameter isCounting: Whether only the prompt's tokens are asked for.
  init(_ given: Fields, _ state: ServerState, isCounting: Bool = false) throws {
    var fields = given
    let limits = state.settings.limits
    model = try state.model(try fields.requiredString("model"))
    var messages = try MessagesRequest.system(&fields, limits)
    guard let elements = try fields.array("messages", most: limits.messages) else { throw fields.missing("messages") }
    for (index, element) in elements.enumerated() {
      var message = try Fields(element, at: "messages[\(index)]")
      guard let role = try message.word("role", of: ["user", "assistant"]) else { throw message.missing("role") }
      messages.append(ChatMessage(role: role, content: try MessagesRequest.text(&message, "content", limits)))
      try message.finish()
    }
    guard messages.last?.role == "user" else {
      throw APIError.invalid("messages", "messages: the last one is answered, so it must be the user's")
    }
    var options = AnswerOptions(sampling: SamplingOptions())
    if !isCounting {
      guard let most = try fields.integer("max_tokens", in: 1...Int(Int32.max)) else {
        throw fields.missing("max_tokens")
      }
      options.maximumTokenCount = most
    }
    options.sampling.temperature = Float(try fields.number("temperature", in: 0...1) ?? 1)
    options.sampling.topP = Float(try fields.number("top_p", in: 0...1) ?? 1)
    options.sampling.topK = try fields.integer("top_k", in: 0...1_000_000) ?? 0
    options.sampling.seed = .random(in: .min ... .max)
    options.stops = try SamplingFields.stops(&fields, "stop_sequences", limits)
    isStreaming = try fields.bool("stream") ?? false
    fields.ignore("metadata")
    try fields.refuse("service_tier", unless: ["auto", "standard_only"], "there is one tier")
    try fields.refuse("thinking", unless: [["type": "disabled"]], "models here do not reason apart from their answers")
    try fields.refuse("tools", unless: [[]], "models here call no tools")
    try fields.refuse("tool_choice", unless: [["type": "none"], ["type": "auto"]], "models here call no tools")
    try fields.refuse("mcp_servers", unless: [[]], "this server calls no others")
    try fields.refuse("container", "there are none")
    try fields.finish()
    prompt = try PromptRendering.prompt(messages, model)
    self.options = options
    try model.check(prompt, options)
  }

  private static func system(_ fields: inout Fields, _ limits: ServerSettings.Limits) throws(APIError) -> [ChatMessage]
  {
    guard fields.has("system") else { return [] }
    return [ChatMessage(role: "system", content: try text(&fields, "system", limits))]
  }

  /// A text, or blocks of texts.
  private static func text(_ fields: inout Fields, _ name: String, _ limits: ServerSettings.Limits) throws(APIError)
    -> String
  {
    guard let value = fields.value(name) else { throw fields.missing(name) }
    if let text = value.text { return text }
    guard let blocks = value.elements, blocks.count <= limits.contentParts else {
      throw fields.wrong(name, "a string or a list of at most \(limits.contentParts) blocks", value)
    }
    var text = ""
    for (index, block) in blocks.enumerated() {
      var block = try Fields(block, at: fields.path(name) + "[\(index)]")
      let type = try block.requiredString("type")
      guard type == "text" else {
        throw .invalid(
          block.path("type"), "\(block.path("type")) is \"\(type.prefix(40))\": this server's models read text only",
          code: "unsupported_content")
      }
      text += try block.requiredString("text")
      // What begins alike is found in the cache without being told.
      block.ignore("cache_control", "citations")
      try block.finish()
    }
    return text
  }
}

/// Answers in Anthropic's shape.
struct MessagesReply: Sendable {
  private let wanted: MessagesRequest
  private let id = Identifier.make("msg", separator: "_")

  init(_ wanted: MessagesRequest) { self.wanted = wanted }

  /// All in one.
  func whole(_ answer: Answer) -> JSON {
    message(
      [["type": "text", "text": .string(answer.text)]], reason(answer), .optional(answer.stopString), usage(answer))
  }

  /// Events by name: the message begins, its text comes, it ends.
  func stream(_ signals: AnswerSignals, to events: inout EventWriter) async throws {
    var hasBegun = false
    for try await signal in signals {
      guard case .piece(_, let piece) = signal else {
        try await events.send(["type": "ping"], event: "ping")
        continue
      }
      if !hasBegun {
        hasBegun = true
        let usage: JSON = ["input_tokens": .integer(wanted.prompt.count), "output_tokens": 0]
        try await send("message_start", [.init(key: "message", value: message([], .null, .null, usage))], &events)
        try await send(
          "content_block_start",
          [.init(key: "index", value: 0), .init(key: "content_block", value: ["type": "text", "text": ""])],
          &events)
      }
      if !piece.text.isEmpty {
        let delta: JSON = ["type": "text_delta", "text": .string(piece.text)]
        try await send(
          "content_block_delta", [.init(key: "index", value: 0), .init(key: "delta", value: delta)], &events)
      }
      guard let answer = piece.answer else { continue }
      try await send("content_block_stop", [.init(key: "index", value: 0)], &events)
      let delta: JSON = ["stop_reason": reason(answer), "stop_sequence": .optional(answer.stopString)]
      try await send(
        "message_delta", [.init(key: "delta", value: delta), .init(key: "usage", value: usage(answer))], &events)
      try await send("message_stop", [], &events)
    }
  }

  private func send(_ type: String, _ members: [JSONElement.Member], _ events: inout EventWriter) async throws {
    try await events.send(.object([.init(key: "type", value: .string(type))] + members), event: type)
  }

  private func message(_ content: [JSON], _ reason: JSON, _ stop: JSON, _ usage: JSON) -> JSON {
    [
      "id": .string(id), "type": "message", "role": "assistant", "model": .string(wanted.model.name),
      "content": .array(content), "stop_reason": reason, "stop_sequence": stop, "usage": usage,
    ]
  }

  private func reason(_ answer: Answer) -> JSON {
    if answer.stopString != nil { return "stop_sequence" }
    return answer.finishReason == .length ? "max_tokens" : "end_turn"
  }

  /// Anthropic counts what was found in a cache apart from the rest.
  private func usage(_ answer: Answer) -> JSON {
    [
      "input_tokens": .integer(answer.promptTokenCount - answer.cachedTokenCount), "cache_creation_input_tokens": 0,
      "cache_read_input_tokens": .integer(answer.cachedTokenCount), "output_tokens": .integer(answer.tokens.count),
    ]
  }
}
