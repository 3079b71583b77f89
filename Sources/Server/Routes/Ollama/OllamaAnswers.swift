internal import Chat
internal import HTTPTypes
internal import Hummingbird
internal import Tokenizers

// Ollama's /api/generate and /api/chat.
extension RouteTable {
  mutating func addOllamaAnswers(_ state: ServerState) {
    on(.post, "/api/generate", .scope(.chat)) { request, context in
      var fields = try await request.fields(state, context, anyType: true)
      var common = try await OllamaFields(&fields, state, context)
      let (prompt, system) = (try fields.string("prompt") ?? "", try fields.string("system"))
      let isRaw = try fields.bool("raw") ?? false
      try fields.refuse("suffix", unless: [""], "models here write on, they do not fill in")
      try fields.refuse("images", unless: [[]], "models here read text only")
      try fields.refuse(
        "template", unless: [""], "models keep their own; send \"raw\": true with what you have rendered")
      try fields.refuse("context", unless: [[]], "use /api/chat for a conversation")
      try common.takeFormat(&fields, state)
      try fields.finish()
      let reply = OllamaReply(model: common.model.name, callsTools: false) { text, _ in
        .init(key: "response", value: .string(text))
      }
      if prompt.isEmpty { return .json(reply.loaded) }
      try state.admit(context)
      var ids: [Int32]
      if isRaw || common.model.text.template == nil {
        ids = common.model.text.prompt(raw: prompt)
      } else {
        let messages =
          (system.map { [ChatMessage(role: "system", content: $0)] } ?? []) + [
            ChatMessage(role: "user", content: prompt)
          ]
        ids = try PromptRendering.prompt(messages, common.model)
      }
      return try await .answers(
        to: [try common.call(ids, context)], isStreaming: common.isStreaming, reply, state, context)
    }
    on(.post, "/api/chat", .scope(.chat)) { request, context in
      var fields = try await request.fields(state, context, anyType: true)
      var common = try await OllamaFields(&fields, state, context)
      let messages = try OllamaMessages.messages(&fields, state.settings.limits)
      try common.takeFormat(&fields, state)
      let tools = try ToolSet.ollama(&fields, state.settings.limits)
      try fields.finish()
      if let grammar = tools.grammar {
        guard common.options.constraint == nil else {
          throw APIError.invalid("format", "format does not go with tools", code: "unsupported_parameter")
        }
        common.options.constraint = common.model.constraint(grammar)
        common.options.stopsEnd = tools.stopsEnd
      }
      let reply = OllamaReply(model: common.model.name, callsTools: tools.canCall) { text, calls in
        .init(key: "message", value: OllamaMessages.message(text, calls))
      }
      if messages.isEmpty { return .json(reply.loaded) }
      try state.admit(context)
      let ids = try tools.prompt(messages, common.model)
      return try await .answers(
        to: [try common.call(ids, context)], isStreaming: common.isStreaming, reply, state, context)
    }
  }
}

/// Messages as Ollama's chat sends them.
enum OllamaMessages {
  static func messages(_ fields: inout Fields, _ limits: ServerSettings.Limits) throws(APIError) -> [ChatMessage] {
    var messages: [ChatMessage] = []
    for (index, element) in (try fields.array("messages", most: limits.messages) ?? []).enumerated() {
      var message = try Fields(element, at: "messages[\(index)]")
      guard let role = try message.word("role", of: ["system", "user", "assistant", "tool"]) else {
        throw message.missing("role")
      }
      let older = try message.string("name")
      var said = ChatMessage(
        role: role, content: try message.string("content"), name: try message.string("tool_name") ?? older)
      if role == "assistant" { try takeCalls(&message, &said) }
      if said.content == nil, said.toolCalls == nil { said.content = "" }
      try message.refuse("images", unless: [[]], "models here read text only")
      try message.refuse("thinking", unless: [""], "models here do not reason apart from their answers")
      message.ignore("tool_call_id")
      try message.finish()
      messages.append(said)
    }
    return messages
  }

  /// Calls that the assistant made earlier: their arguments are objects here, and ids are optional.
  private static func takeCalls(_ fields: inout Fields, _ message: inout ChatMessage) throws(APIError) {
    for (index, element) in (try fields.array("tool_calls", most: 128) ?? []).enumerated() {
      var call = try Fields(element, at: fields.path("tool_calls") + "[\(index)]")
      guard var function = try call.object("function") else { throw call.missing("function") }
      let name = try function.requiredString("name")
      guard let arguments = function.value("arguments"), arguments.members != nil else {
        throw function.missing("arguments")
      }
      function.ignore("index")
      try function.finish()
      message.addCall(id: try call.string("id") ?? "", name: name, arguments: arguments)
      call.ignore("type")
      try call.finish()
    }
  }

  /// What the model said, and what it calls.
  static func message(_ text: String, _ calls: [ToolCallText.Call]) -> JSON {
    .object([
      "role": "assistant", "content": .string(text),
      "tool_calls": calls.isEmpty
        ? nil
        : .array(calls.map { ["function": ["name": .string($0.name), "arguments": $0.arguments]] }),
    ])
  }
}
