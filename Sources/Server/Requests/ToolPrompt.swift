internal import Chat
internal import Tokenizers

extension ToolSet {
  /// The prompt of messages, with what the model needs to know about its tools.
  func prompt(_ messages: [ChatMessage], _ model: ServedModel) throws -> [Int32] {
    // Templates that know tools say so in their own way; others are told in plain words.
    let knows = model.text.template?.template.source.contains("tools") ?? false
    let hasCalls = messages.contains { $0.role == "tool" || $0.toolCalls != nil }
    if knows || (tools.isEmpty && !hasCalls) {
      let sent = JSON.array(tools.map(\.openAI)).templateValue
      return try PromptRendering.prompt(messages, tools: tools.isEmpty ? nil : sent, model)
    }
    var plain = messages.map(ToolSet.plain)
    if canCall {
      let instructions = ToolCallText.instructions(tools)
      if plain.first?.role == "system" {
        plain[0].content = instructions + "\n" + (plain[0].content ?? "")
      } else {
        plain.insert(ChatMessage(role: "system", content: instructions), at: 0)
      }
    }
    return try PromptRendering.prompt(plain, model)
  }

  /// A message without anything that only templates for tools know.
  private static func plain(_ message: ChatMessage) -> ChatMessage {
    if message.role == "tool" {
      return ChatMessage(role: "user", content: "<tool_response>\n\(message.content ?? "")\n</tool_response>")
    }
    guard case .array(let calls)? = message.toolCalls else { return message }
    let texts = calls.compactMap { call -> String? in
      guard case .string(let name)? = call["function"]?["name"],
        let arguments = call["function"]?["arguments"]
      else { return nil }
      return ToolCallText.text(name, JSON(arguments))
    }
    return ChatMessage(
      role: message.role, content: ([message.content].compactMap { $0 } + texts).joined(separator: "\n"))
  }
}

extension ToolDescription {
  /// As OpenAI's API and most templates have it.
  fileprivate var openAI: JSON {
    [
      "type": "function",
      "function": .object([
        "name": .string(name), "description": description.map { .string($0) }, "parameters": parameters ?? .object([]),
      ]),
    ]
  }
}

extension ChatMessage {
  /// Adds a call that the assistant made earlier, as templates expect it.
  mutating func addCall(id: String, name: String, arguments: JSON) {
    var calls: [TemplateValue] = []
    if case .array(let earlier)? = toolCalls { calls = earlier }
    calls.append(
      .object([
        ("id", .string(id)), ("type", "function"),
        ("function", .object([("name", .string(name)), ("arguments", arguments.templateValue)])),
      ]))
    toolCalls = .array(calls)
  }
}

extension JSONElement {
  /// A template's value as JSON.
  init(_ value: TemplateValue) {
    switch value {
    case .undefined, .none: self = .null
    case .bool(let value): self = .bool(value)
    case .integer(let value): self = .integer(value)
    case .double(let value): self = .real(value)
    case .string(let text): self = .string(text)
    case .array(let elements): self = .array(elements.map { JSON($0) })
    case .object(let entries): self = .object(entries.map { Member(key: $0.key, value: JSON($0.value)) })
    }
  }
}
