internal import Chat
internal import Engine

/// An answer in Anthropic's shape: blocks, of text and of calls.
struct MessagesReply: AnswerReply {
  private let wanted: MessagesRequest
  private let id = Identifier.make("msg", separator: "_")
  private var parts: ToolCallStream
  private var hasText = false

  init(_ wanted: MessagesRequest) {
    self.wanted = wanted
    parts = ToolCallStream(callsTools: wanted.callsTools)
  }

  var callsTools: Bool { wanted.callsTools }

  func whole(_ answers: [[FinishedAnswer]]) -> JSON {
    guard let answer = answers.first?.first?.answer else { return .null }
    let (words, calls) = ToolCallStream.parts(of: answer.text, callsTools: wanted.callsTools)
    let text: [JSON] = words.isEmpty && !calls.isEmpty ? [] : [["type": "text", "text": .string(words)]]
    return message(
      text + calls.map { block($0, input: $0.arguments) }, reason(answer, calls), .optional(answer.stopString),
      usage(answer))
  }

  // Events by name: the message begins, its blocks come one after the other, it ends.

  mutating func begin(_ events: inout EventWriter) async throws {
    let usage: JSON = ["input_tokens": .integer(wanted.prompt.count), "output_tokens": 0]
    try await send("message_start", [.init(key: "message", value: message([], .null, .null, usage))], &events)
  }

  mutating func append(_ piece: AnswerPiece, prompt: Int, to events: inout EventWriter) async throws {
    let (text, calls) = parts.append(piece)
    let isEnd = piece.answer != nil
    if !hasText, !text.isEmpty || (isEnd && calls.isEmpty) {
      hasText = true
      try await begin(block: ["type": "text", "text": ""], at: 0, &events)
    }
    if !text.isEmpty { try await send(delta: ["type": "text_delta", "text": .string(text)], at: 0, &events) }
    guard let answer = piece.answer else { return }
    if hasText { try await end(blockAt: 0, &events) }
    for (index, call) in calls.enumerated() {
      let place = index + (hasText ? 1 : 0)
      try await begin(block: block(call, input: .object([])), at: place, &events)
      // Arguments come when they are whole, in one piece.
      try await send(
        delta: ["type": "input_json_delta", "partial_json": .string(call.arguments.line)], at: place, &events)
      try await end(blockAt: place, &events)
    }
    let delta: JSON = ["stop_reason": reason(answer, calls), "stop_sequence": .optional(answer.stopString)]
    try await send(
      "message_delta", [.init(key: "delta", value: delta), .init(key: "usage", value: usage(answer))], &events)
    try await send("message_stop", [], &events)
  }

  mutating func wait(_ events: inout EventWriter) async throws {
    try await events.send(["type": "ping"], event: "ping")
  }

  mutating func fail(_ error: APIError, requestID: String, to events: inout EventWriter) async throws {
    try await events.send(Dialect.anthropic.body(of: error, requestID: requestID), event: "error")
  }

  private func begin(block: JSON, at index: Int, _ events: inout EventWriter) async throws {
    try await send(
      "content_block_start",
      [.init(key: "index", value: .integer(index)), .init(key: "content_block", value: block)], &events)
  }

  private func send(delta: JSON, at index: Int, _ events: inout EventWriter) async throws {
    try await send(
      "content_block_delta", [.init(key: "index", value: .integer(index)), .init(key: "delta", value: delta)], &events)
  }

  private func end(blockAt index: Int, _ events: inout EventWriter) async throws {
    try await send("content_block_stop", [.init(key: "index", value: .integer(index))], &events)
  }

  private func block(_ call: ToolCallText.Call, input: JSON) -> JSON {
    [
      "type": "tool_use", "id": .string(Identifier.make("toolu", separator: "_")), "name": .string(call.name),
      "input": input,
    ]
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

  private func reason(_ answer: Answer, _ calls: [ToolCallText.Call]) -> JSON {
    if answer.stopString != nil { return "stop_sequence" }
    if answer.finishReason == .length { return "max_tokens" }
    return calls.isEmpty ? "end_turn" : "tool_use"
  }

  /// Anthropic counts what was found in a cache apart from the rest.
  private func usage(_ answer: Answer) -> JSON {
    [
      "input_tokens": .integer(answer.promptTokenCount - answer.cachedTokenCount), "cache_creation_input_tokens": 0,
      "cache_read_input_tokens": .integer(answer.cachedTokenCount), "output_tokens": .integer(answer.tokens.count),
    ]
  }
}
