internal import Chat
internal import Tokenizers

/// Which tools may be called, and whether one must: `tools`, `tool_choice`, `parallel_tool_calls` as OpenAI's chat has them.
struct ToolFields: Sendable {
  private(set) var tools: [ToolDescription] = []
  /// The tools as they were sent, for templates.
  private(set) var sent: JSON = []
  /// nil when no tool may be called.
  private(set) var grammar: Grammar?

  init(_ fields: inout Fields, _ limits: ServerSettings.Limits) throws(APIError) {
    for (index, element) in (try fields.array("tools", most: limits.tools) ?? []).enumerated() {
      tools.append(try ToolFields.tool(element, "tools[\(index)]", limits))
    }
    sent = .array(tools.map(\.openAI))
    var (callable, mustCall) = (tools, false)
    let severalCalls = try fields.bool("parallel_tool_calls") ?? true
    switch fields.value("tool_choice") {
    case nil, .string("auto")?: break
    case .string("none")?: callable = []
    case .string("required")?:
      guard !tools.isEmpty else { throw .invalid("tool_choice", "tool_choice is required, and there are no tools") }
      mustCall = true
    case let choice?:
      var choice = try Fields(choice, at: "tool_choice")
      guard try choice.word("type", of: ["function"]) != nil, var function = try choice.object("function") else {
        throw choice.missing("function")
      }
      let name = try function.requiredString("name")
      try function.finish()
      try choice.finish()
      callable = tools.filter { $0.name == name }
      guard !callable.isEmpty else {
        throw .invalid("tool_choice", "tool_choice: there is no tool \"\(name.prefix(64))\"")
      }
      mustCall = true
    }
    guard !callable.isEmpty else { return }
    grammar = try FormatFields.compile("tools") { () throws(GrammarError) in
      try Grammar.toolCalls(callable, mustCall: mustCall, severalCalls: severalCalls)
    }
  }

  private static func tool(
    _ element: JSON, _ path: String, _ limits: ServerSettings.Limits
  ) throws(APIError) -> ToolDescription {
    var fields = try Fields(element, at: path)
    guard try fields.word("type", of: ["function"]) != nil else { throw fields.missing("type") }
    guard var function = try fields.object("function") else { throw fields.missing("function") }
    let name = try function.requiredString("name")
    guard (1...64).contains(name.utf8.count), name.utf8.allSatisfy({ isNameByte($0) }) else {
      throw .invalid(function.path("name"), "\(function.path("name")): expected 1 to 64 letters, digits, _ and -")
    }
    let description = try function.string("description")
    let parameters = function.value("parameters")
    if let parameters, parameters.bytes.count > limits.schemaBytes {
      throw .invalid(
        function.path("parameters"), "\(function.path("parameters")) has more than \(limits.schemaBytes) bytes")
    }
    // Parameters are enforced, whatever this says.
    _ = try function.bool("strict")
    try function.finish()
    try fields.finish()
    return ToolDescription(name: name, description: description, parameters: parameters)
  }

  private static func isNameByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"),
      UInt8(ascii: "_"), UInt8(ascii: "-"):
      true
    default: false
    }
  }

  /// The prompt of messages, with what the model needs to know about its tools.
  func prompt(_ messages: [ChatMessage], _ model: ServedModel) throws -> [Int32] {
    // Templates that know tools say so in their own way; others are told in plain words.
    let knows = model.text.template?.template.source.contains("tools") ?? false
    let hasCalls = messages.contains { $0.role == "tool" || $0.toolCalls != nil }
    if knows || (tools.isEmpty && !hasCalls) {
      return try PromptRendering.prompt(messages, tools: tools.isEmpty ? nil : sent.templateValue, model)
    }
    var plain = messages.map(ToolFields.plain)
    if grammar != nil {
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
