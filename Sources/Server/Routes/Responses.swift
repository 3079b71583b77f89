internal import Chat
internal import Engine
internal import HTTPTypes
internal import Hummingbird
internal import Tokenizers

// OpenAI's /v1/responses, without memory: what was said before is sent along.
extension RouteTable {
  mutating func addResponses(_ state: ServerState) {
    on(.post, "/v1/responses", .scope(.chat)) { request, context in
      let wanted = try ResponsesRequest(try await request.fields(state, context), state)
      try state.admit(context)
      let call = AnswerCall(wanted.model, wanted.prompt, wanted.options, key: context.principal?.id ?? "")
      let signals = try await AnswerSignals([call], state, context)
      let reply = ResponsesReply(wanted)
      guard wanted.isStreaming else {
        return .json(reply.whole(try await signals.collect(prompts: 1, answers: 1)[0][0].answer))
      }
      return .events(state, context) { error, events in
        let failure = Dialect.openAI.body(of: error, requestID: context.requestID)["error"]
        try await events.send(
          .object([
            "type": "error", "code": failure?["code"], "message": failure?["message"], "param": failure?["param"],
            "sequence_number": .integer(1 << 20),
          ]), event: "error")
      } produce: { events in
        try await reply.stream(signals, to: &events)
      }
    }
  }
}

/// A request for a response, checked.
struct ResponsesRequest: Sendable {
  let model: ServedModel
  let prompt: [Int32]
  let options: AnswerOptions
  let isStreaming: Bool
  let instructions: String?
  let metadata: JSON

  init(_ given: Fields, _ state: ServerState) throws {
    var fields = given
    let limits = state.settings.limits
    model = try state.model(try fields.requiredString("model"))
    instructions = try fields.string("instructions")
    let messages =
      (instructions.map { [ChatMessage(role: "system", content: $0)] } ?? [])
      + (try ResponsesRequest.input(&fields, limits))
    var options = AnswerOptions(sampling: SamplingOptions())
    options.sampling.temperature = Float(try fields.number("temperature", in: 0...2) ?? 1)
    options.sampling.topP = Float(try fields.number("top_p", in: 0...1) ?? 1)
    options.sampling.seed = .random(in: .min ... .max)
    options.maximumTokenCount = try fields.integer("max_output_tokens", in: 1...Int(Int32.max))
    isStreaming = try fields.bool("stream") ?? false
    metadata = fields.value("metadata") ?? [:]
    try ResponsesRequest.refuseOthers(&fields)
    try fields.finish()
    prompt = try PromptRendering.prompt(messages, model)
    self.options = options
    try model.check(prompt, options)
  }

  private static func refuseOthers(_ fields: inout Fields) throws(APIError) {
    fields.ignore("user", "safety_identifier", "prompt_cache_key")
    try fields.refuse("store", unless: [false], "responses are not kept")
    try fields.refuse("previous_response_id", "responses are not kept: send what was said before")
    try fields.refuse("conversation", "conversations are not kept: send what was said before")
    try fields.refuse("background", unless: [false], "responses are not kept")
    try fields.refuse("truncation", unless: ["disabled"], "nothing is cut")
    try fields.refuse("reasoning", "models here do not reason apart from their answers")
    try fields.refuse("include", unless: [[]], "there is nothing more to include")
    try fields.refuse("prompt", "there are no stored prompts")
    try fields.refuse("service_tier", unless: ["auto", "default"], "there is one tier")
    try fields.refuse("top_logprobs", unless: [0], "use /v1/chat/completions")
    try fields.refuse("text", unless: [["format": ["type": "text"]]], "answers are free text")
    try fields.refuse("tools", unless: [[]], "models here call no tools")
    try fields.refuse("tool_choice", unless: ["none", "auto"], "models here call no tools")
    try fields.refuse("parallel_tool_calls", unless: [true, false], "models here call no tools")
    try fields.refuse("max_tool_calls", "models here call no tools")
    try fields.refuse("stream_options", unless: [["include_obfuscation": false]], "streams are not padded")
  }

  /// A text, or items that are messages.
  private static func input(_ fields: inout Fields, _ limits: ServerSettings.Limits) throws(APIError) -> [ChatMessage] {
    guard let value = fields.value("input") else { throw fields.missing("input") }
    if let text = value.text { return [ChatMessage(role: "user", content: text)] }
    guard let items = value.elements, !items.isEmpty, items.count <= limits.messages else {
      throw fields.wrong("input", "a string or a list of 1 to \(limits.messages) items", value)
    }
    var messages: [ChatMessage] = []
    for (index, item) in items.enumerated() {
      var item = try Fields(item, at: "input[\(index)]")
      let type = try item.string("type") ?? "message"
      guard type == "message" else {
        throw .invalid(
          item.path("type"), "\(item.path("type")) is \"\(type.prefix(40))\": expected message",
          code: "unsupported_content")
      }
      guard let role = try item.word("role", of: ["system", "developer", "user", "assistant"]) else {
        throw item.missing("role")
      }
      messages.append(ChatMessage(role: role == "developer" ? "system" : role, content: try content(&item, limits)))
      // What an earlier response had, so that it can be sent back as it came.
      item.ignore("id", "status")
      try item.finish()
    }
    return messages
  }

  private static func content(_ fields: inout Fields, _ limits: ServerSettings.Limits) throws(APIError) -> String {
    guard let value = fields.value("content") else { throw fields.missing("content") }
    if let text = value.text { return text }
    guard let parts = value.elements, parts.count <= limits.contentParts else {
      throw fields.wrong("content", "a string or a list of at most \(limits.contentParts) parts", value)
    }
    var text = ""
    for (index, part) in parts.enumerated() {
      var part = try Fields(part, at: fields.path("content") + "[\(index)]")
      guard try part.word("type", of: ["input_text", "output_text", "text"]) != nil else { throw part.missing("type") }
      text += try part.requiredString("text")
      part.ignore("annotations", "logprobs")
      try part.finish()
    }
    return text
  }
}

/// Answers as responses.
struct ResponsesReply: Sendable {
  private let wanted: ResponsesRequest
  private let id = Identifier.make("resp", separator: "_")
  private let itemID = Identifier.make("msg", separator: "_")
  private let created = Clock.seconds

  init(_ wanted: ResponsesRequest) { self.wanted = wanted }

  /// All in one.
  func whole(_ answer: Answer) -> JSON { response(answer) }

  /// Events in the order of the reference, each numbered.
  func stream(_ signals: AnswerSignals, to events: inout EventWriter) async throws {
    var number = 0
    func send(_ type: String, _ members: [JSONElement.Member], _ events: inout EventWriter) async throws {
      let head: [JSONElement.Member] = [
        .init(key: "type", value: .string(type)), .init(key: "sequence_number", value: .integer(number)),
      ]
      number += 1
      try await events.send(.object(head + members), event: type)
    }
    let place: [JSONElement.Member] = [
      .init(key: "item_id", value: .string(itemID)), .init(key: "output_index", value: 0),
      .init(key: "content_index", value: 0),
    ]
    let (outputIndex, empty) = (JSONElement.Member(key: "output_index", value: 0), part(""))
    try await send("response.created", [.init(key: "response", value: response(nil))], &events)
    try await send("response.in_progress", [.init(key: "response", value: response(nil))], &events)
    try await send(
      "response.output_item.added", [outputIndex, .init(key: "item", value: item([], "in_progress"))], &events)
    try await send("response.content_part.added", place + [.init(key: "part", value: empty)], &events)
    for try await signal in signals {
      guard case .piece(_, let piece) = signal else {
        try await events.sendComment()
        continue
      }
      if !piece.text.isEmpty {
        try await send(
          "response.output_text.delta",
          place + [.init(key: "delta", value: .string(piece.text)), .init(key: "logprobs", value: [])], &events)
      }
      guard let answer = piece.answer else { continue }
      let text = JSONElement.Member(key: "text", value: .string(answer.text))
      try await send("response.output_text.done", place + [text, .init(key: "logprobs", value: [])], &events)
      try await send("response.content_part.done", place + [.init(key: "part", value: part(answer.text))], &events)
      let done = item([part(answer.text)], status(answer))
      try await send("response.output_item.done", [outputIndex, .init(key: "item", value: done)], &events)
      let last = answer.finishReason == .length ? "response.incomplete" : "response.completed"
      try await send(last, [.init(key: "response", value: response(answer))], &events)
    }
  }

  private func status(_ answer: Answer) -> String { answer.finishReason == .length ? "incomplete" : "completed" }

  private func part(_ text: String) -> JSON {
    ["type": "output_text", "text": .string(text), "annotations": [], "logprobs": []]
  }

  private func item(_ content: [JSON], _ status: String) -> JSON {
    [
      "id": .string(itemID), "type": "message", "status": .string(status), "role": "assistant",
      "content": .array(content),
    ]
  }

  /// - Parameter answer: nil while it is in the making.
  private func response(_ answer: Answer?) -> JSON {
    let isShort = answer?.finishReason == .length
    return [
      "id": .string(id), "object": "response", "created_at": .integer(created),
      "status": .string(answer.map(status) ?? "in_progress"), "background": false, "error": nil,
      "incomplete_details": isShort ? ["reason": "max_output_tokens"] : nil,
      "instructions": .optional(wanted.instructions),
      "max_output_tokens": wanted.options.maximumTokenCount.map { .integer($0) } ?? .null,
      "model": .string(wanted.model.name),
      "output": answer.map { [item([part($0.text)], status($0))] } ?? [], "parallel_tool_calls": true,
      "previous_response_id": nil, "reasoning": ["effort": nil, "summary": nil], "store": false,
      "temperature": .real(Double(wanted.options.sampling.temperature)), "text": ["format": ["type": "text"]],
      "tool_choice": "auto", "tools": [], "top_p": .real(Double(wanted.options.sampling.topP)),
      "truncation": "disabled",
      "usage": answer.map(usage) ?? .null, "user": nil, "metadata": wanted.metadata,
    ]
  }

  private func usage(_ answer: Answer) -> JSON {
    [
      "input_tokens": .integer(answer.promptTokenCount),
      "input_tokens_details": ["cached_tokens": .integer(answer.cachedTokenCount)],
      "output_tokens": .integer(answer.tokens.count), "output_tokens_details": ["reasoning_tokens": 0],
      "total_tokens": .integer(answer.promptTokenCount + answer.tokens.count),
    ]
  }
}
