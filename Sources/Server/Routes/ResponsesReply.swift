internal import Chat
internal import Engine

/// An answer as a response: items, a message and calls of tools.
struct ResponsesReply: AnswerReply {
  private typealias Member = JSONElement.Member

  private let wanted: ResponsesRequest
  private let id = Identifier.make("resp", separator: "_")
  private let itemID = Identifier.make("msg", separator: "_")
  private let created = Clock.seconds
  private var parts: ToolCallStream
  /// Of the next event.
  private var number = 0
  private var words = ""
  private var hasMessage = false

  init(_ wanted: ResponsesRequest) {
    self.wanted = wanted
    parts = ToolCallStream(callsTools: wanted.tools.canCall)
  }

  var callsTools: Bool { wanted.tools.canCall }

  func whole(_ answers: [[FinishedAnswer]]) -> JSON {
    guard let answer = answers.first?.first?.answer else { return .null }
    let (words, calls) = ToolCallStream.parts(of: answer.text, callsTools: wanted.tools.canCall)
    return response(answer, items(words, calls, answer))
  }

  // Events in the order of the reference, each numbered.

  mutating func begin(_ events: inout EventWriter) async throws {
    try await send("response.created", [.init(key: "response", value: response(nil, []))], &events)
    try await send("response.in_progress", [.init(key: "response", value: response(nil, []))], &events)
  }

  mutating func append(_ piece: AnswerPiece, prompt: Int, to events: inout EventWriter) async throws {
    let (text, calls) = parts.append(piece)
    let isEnd = piece.answer != nil
    // There is a message when there are words, or nothing else.
    if !hasMessage, !text.isEmpty || (isEnd && calls.isEmpty) {
      hasMessage = true
      try await send("response.output_item.added", [index(0), item(message([], "in_progress"))], &events)
      try await send("response.content_part.added", place + [.init(key: "part", value: part(""))], &events)
    }
    if !text.isEmpty {
      words += text
      try await send(
        "response.output_text.delta", place + [.init(key: "delta", value: .string(text)), noProbabilities], &events)
    }
    guard let answer = piece.answer else { return }
    let items = items(words, calls, answer)
    if hasMessage {
      let text = Member(key: "text", value: .string(words))
      try await send("response.output_text.done", place + [text, noProbabilities], &events)
      try await send("response.content_part.done", place + [.init(key: "part", value: part(words))], &events)
      try await send("response.output_item.done", [index(0), item(items[0])], &events)
    }
    for (number, found) in items.enumerated() where number > 0 || !hasMessage {
      try await send(call: found, number, &events)
    }
    let last = answer.finishReason == .length ? "response.incomplete" : "response.completed"
    try await send(last, [.init(key: "response", value: response(answer, items))], &events)
  }

  mutating func fail(_ error: APIError, requestID: String, to events: inout EventWriter) async throws {
    let failure = Dialect.openAI.body(of: error, requestID: requestID)["error"]
    try await send(
      "error",
      ["code", "message", "param"].map { Member(key: $0, value: failure?[$0] ?? .null) }, &events)
  }

  /// A call's arguments come when they are whole, in one piece.
  private mutating func send(call: JSON, _ number: Int, _ events: inout EventWriter) async throws {
    guard let arguments = call["arguments"], let id = call["id"] else { return }
    let begun = JSON.object(
      (call.members ?? []).map {
        switch $0.key {
        case "arguments": Member(key: $0.key, value: "")
        case "status": Member(key: $0.key, value: "in_progress")
        default: $0
        }
      })
    let place = [Member(key: "item_id", value: id), index(number)]
    try await send("response.output_item.added", [index(number), item(begun)], &events)
    try await send(
      "response.function_call_arguments.delta", place + [.init(key: "delta", value: arguments)], &events)
    let name = Member(key: "name", value: call["name"] ?? .null)
    try await send(
      "response.function_call_arguments.done", place + [name, .init(key: "arguments", value: arguments)], &events)
    try await send("response.output_item.done", [index(number), item(call)], &events)
  }

  private mutating func send(_ type: String, _ members: [Member], _ events: inout EventWriter) async throws {
    let head = [Member(key: "type", value: .string(type)), .init(key: "sequence_number", value: .integer(number))]
    number += 1
    try await events.send(.object(head + members), event: type)
  }

  private var place: [Member] {
    [.init(key: "item_id", value: .string(itemID)), index(0), .init(key: "content_index", value: 0)]
  }
  private var noProbabilities: Member { .init(key: "logprobs", value: []) }
  private func index(_ number: Int) -> Member { .init(key: "output_index", value: .integer(number)) }
  private func item(_ item: JSON) -> Member { .init(key: "item", value: item) }

  private func status(_ answer: Answer) -> String { answer.finishReason == .length ? "incomplete" : "completed" }

  private func part(_ text: String) -> JSON {
    ["type": "output_text", "text": .string(text), "annotations": [], "logprobs": []]
  }

  private func message(_ content: [JSON], _ status: String) -> JSON {
    [
      "id": .string(itemID), "type": "message", "status": .string(status), "role": "assistant",
      "content": .array(content),
    ]
  }

  private func items(_ words: String, _ calls: [ToolCallText.Call], _ answer: Answer) -> [JSON] {
    let message = words.isEmpty && !calls.isEmpty ? [] : [message([part(words)], status(answer))]
    return message
      + calls.map { call in
        [
          "id": .string(Identifier.make("fc", separator: "_")), "type": "function_call", "status": "completed",
          "call_id": .string(Identifier.make("call", separator: "_")), "name": .string(call.name),
          "arguments": .string(call.arguments.line),
        ]
      }
  }

  /// - Parameter answer: nil while it is in the making.
  private func response(_ answer: Answer?, _ items: [JSON]) -> JSON {
    let isShort = answer?.finishReason == .length
    return [
      "id": .string(id), "object": "response", "created_at": .integer(created),
      "status": .string(answer.map(status) ?? "in_progress"), "background": false, "error": nil,
      "incomplete_details": isShort ? ["reason": "max_output_tokens"] : nil,
      "instructions": .optional(wanted.instructions),
      "max_output_tokens": wanted.options.maximumTokenCount.map { .integer($0) } ?? .null,
      "model": .string(wanted.model.name), "output": .array(items),
      "parallel_tool_calls": .bool(wanted.tools.severalCalls),
      "previous_response_id": nil, "reasoning": ["effort": nil, "summary": nil], "store": false,
      "temperature": .real(Double(wanted.options.sampling.temperature)), "text": ["format": wanted.format],
      "tool_choice": choice, "tools": .array(wanted.tools.tools.map(tool)),
      "top_p": .real(Double(wanted.options.sampling.topP)), "truncation": "disabled",
      "usage": answer.map(usage) ?? .null, "user": nil, "metadata": wanted.metadata,
    ]
  }

  private var choice: JSON {
    switch wanted.tools.choice {
    case .never: "none"
    case .maybe: "auto"
    case .always: "required"
    case .function(let name): ["type": "function", "name": .string(name)]
    }
  }

  private func tool(_ tool: ToolDescription) -> JSON {
    [
      "type": "function", "name": .string(tool.name), "description": .optional(tool.description),
      "parameters": tool.parameters ?? .object([]), "strict": true,
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
