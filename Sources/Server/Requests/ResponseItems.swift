internal import Chat
internal import Tokenizers

/// What was said and done so far, as OpenAI's responses take it: a text, or items in order.
enum ResponseItems {
  /// Takes `input`.
  static func messages(_ fields: inout Fields, _ limits: ServerSettings.Limits) throws(APIError) -> [ChatMessage] {
    guard let value = fields.value("input") else { throw fields.missing("input") }
    if let text = value.text { return [ChatMessage(role: "user", content: text)] }
    guard let items = value.elements, !items.isEmpty, items.count <= limits.messages else {
      throw fields.wrong("input", "a string or a list of 1 to \(limits.messages) items", value)
    }
    var messages: [ChatMessage] = []
    for (index, item) in items.enumerated() {
      var item = try Fields(item, at: "input[\(index)]")
      let type = try item.string("type") ?? "message"
      switch type {
      case "message": messages.append(try message(&item, limits))
      case "function_call":
        // A turn's words and calls are items here, and one message to a template.
        if messages.last?.role != "assistant" { messages.append(ChatMessage(role: "assistant", content: nil)) }
        try call(&item, &messages[messages.count - 1])
      case "function_call_output": messages.append(try output(&item, limits))
      default:
        throw .invalid(
          item.path("type"),
          "\(item.path("type")) is \"\(type.prefix(40))\": expected message, function_call or function_call_output",
          code: "unsupported_content")
      }
      // What an earlier response had, so that it can be sent back as it came.
      item.ignore("id", "status")
      try item.finish()
    }
    return messages
  }

  private static func message(
    _ item: inout Fields, _ limits: ServerSettings.Limits
  ) throws(APIError) -> ChatMessage {
    guard let role = try item.word("role", of: ["system", "developer", "user", "assistant"]) else {
      throw item.missing("role")
    }
    let content = try item.text(
      "content", types: ["input_text", "output_text", "text"], ignoring: ["annotations", "logprobs"], limits)
    guard let content else { throw item.missing("content") }
    try item.refuse("phase", "models here do not reason apart from their answers")
    return ChatMessage(role: role == "developer" ? "system" : role, content: content)
  }

  private static func call(_ item: inout Fields, _ message: inout ChatMessage) throws(APIError) {
    let (id, name) = (try item.requiredString("call_id"), try item.requiredString("name"))
    message.addCall(id: id, name: name, arguments: try MessageFields.arguments(&item))
    try refuseOthers(&item)
  }

  private static func output(_ item: inout Fields, _ limits: ServerSettings.Limits) throws(APIError) -> ChatMessage {
    guard try item.string("call_id") != nil else { throw item.missing("call_id") }
    guard let output = try item.text("output", types: ["input_text"], limits) else { throw item.missing("output") }
    let name = try item.string("name")
    try refuseOthers(&item)
    return ChatMessage(role: "tool", content: output, name: name)
  }

  private static func refuseOthers(_ item: inout Fields) throws(APIError) {
    try item.refuse("caller", unless: [["type": "direct"]], "tools are called by answers")
    try item.refuse("namespace", "tools have one")
    try item.refuse("async", unless: [false], "tools are called by whoever asks")
    item.ignore("created_by")
  }
}
