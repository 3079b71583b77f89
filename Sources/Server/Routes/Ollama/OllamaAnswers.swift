internal import Chat
internal import HTTPTypes
internal import Hummingbird
internal import Tokenizers

// Ollama's /api/generate and /api/chat.
extension RouteTable {
  mutating func addOllamaAnswers(_ state: ServerState) {
    on(.post, "/api/generate", .scope(.chat)) { request, context in
      var fields = try await request.fields(state, context, anyType: true)
      var common = try OllamaFields(&fields, state)
      let (prompt, system) = (try fields.string("prompt") ?? "", try fields.string("system"))
      let isRaw = try fields.bool("raw") ?? false
      try fields.refuse("suffix", unless: [""], "models here write on, they do not fill in")
      try fields.refuse("images", unless: [[]], "models here read text only")
      try fields.refuse(
        "template", unless: [""], "models keep their own; send \"raw\": true with what you have rendered")
      try fields.refuse("context", unless: [[]], "use /api/chat for a conversation")
      try common.takeFormat(&fields, state)
      try fields.finish()
      let reply = OllamaReply(model: common.model.name) { .init(key: "response", value: .string($0)) }
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
      let signals = try await AnswerSignals([try common.call(ids, context)], state, context)
      return try await reply.response(signals, isStreaming: common.isStreaming, state, context)
    }
    on(.post, "/api/chat", .scope(.chat)) { request, context in
      var fields = try await request.fields(state, context, anyType: true)
      var common = try OllamaFields(&fields, state)
      let messages = try OllamaMessages.messages(&fields, state.settings.limits)
      try common.takeFormat(&fields, state)
      try fields.refuse("tools", unless: [[]], "models here call no tools")
      try fields.finish()
      let reply = OllamaReply(model: common.model.name) {
        .init(key: "message", value: ["role": "assistant", "content": .string($0)])
      }
      if messages.isEmpty { return .json(reply.loaded) }
      try state.admit(context)
      let ids = try PromptRendering.prompt(messages, common.model)
      let signals = try await AnswerSignals([try common.call(ids, context)], state, context)
      return try await reply.response(signals, isStreaming: common.isStreaming, state, context)
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
      let content = try message.string("content") ?? ""
      let name = try message.string("tool_name")
      try message.refuse("images", unless: [[]], "models here read text only")
      try message.refuse("thinking", unless: [""], "models here do not reason apart from their answers")
      try message.refuse("tool_calls", unless: [[]], "models here call no tools")
      message.ignore("tool_call_id")
      try message.finish()
      messages.append(ChatMessage(role: role, content: content, name: name))
    }
    return messages
  }
}
