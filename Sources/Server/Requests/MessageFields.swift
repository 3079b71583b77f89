internal import Chat
internal import Tokenizers

/// The messages of a conversation, as OpenAI's chat API sends them.
enum MessageFields {
  /// Takes `messages`.
  static func messages(_ fields: inout Fields, _ limits: ServerSettings.Limits) throws(APIError) -> [ChatMessage] {
    guard let elements = try fields.array("messages", most: limits.messages) else { throw fields.missing("messages") }
    guard !elements.isEmpty else { throw .invalid("messages", "messages is empty: expected at least one message") }
    var messages: [ChatMessage] = []
    for (index, element) in elements.enumerated() {
      messages.append(try message(element, at: "messages[\(index)]", limits))
    }
    return messages
  }

  private static func message(
    _ value: JSON, at path: String, _ limits: ServerSettings.Limits
  ) throws(APIError) -> ChatMessage {
    var fields = try Fields(value, at: path)
    let given = try fields.word("role", of: ["system", "developer", "user", "assistant", "tool"])
    guard let given else { throw fields.missing("role") }
    // OpenAI's newer name for the same thing; templates know the older one.
    let role = given == "developer" ? "system" : given
    var message = ChatMessage(role: role, content: try content(&fields, limits), name: try fields.string("name"))
    if role == "assistant" {
      message.toolCalls = try toolCalls(&fields)
      // What an answer of this API had, so that it can be sent back as it came.
      fields.ignore("refusal", "annotations")
      try fields.refuse("audio", "answers are text")
      try fields.refuse("function_call", "use tool_calls")
    }
    if role == "tool" {
      guard try fields.string("tool_call_id") != nil else { throw fields.missing("tool_call_id") }
    }
    guard message.content != nil || message.toolCalls != nil else { throw fields.missing("content") }
    try fields.finish()
    return message
  }

  /// A text, or parts that are texts.
  private static func content(_ fields: inout Fields, _ limits: ServerSettings.Limits) throws(APIError) -> String? {
    guard let value = fields.value("content") else { return nil }
    if let text = value.text { return text }
    guard let parts = value.elements else { throw fields.wrong("content", "a string or a list of parts", value) }
    guard parts.count <= limits.contentParts else {
      throw .invalid(
        fields.path("content"),
        "\(fields.path("content")) has \(parts.count) parts: expected at most \(limits.contentParts)")
    }
    var text = ""
    for (index, part) in parts.enumerated() {
      let path = fields.path("content") + "[\(index)]"
      var fields = try Fields(part, at: path)
      let type = try fields.requiredString("type")
      guard type == "text" else {
        throw .invalid(
          path + ".type", "\(path) is \"\(type.prefix(40))\": this server's models read text only",
          code: "unsupported_content")
      }
      text += try fields.requiredString("text")
      try fields.finish()
    }
    return text
  }

  /// Calls that the assistant made earlier, as templates expect them: arguments as an object.
  private static func toolCalls(_ fields: inout Fields) throws(APIError) -> TemplateValue? {
    guard let elements = try fields.array("tool_calls", most: 128), !elements.isEmpty else { return nil }
    var calls: [TemplateValue] = []
    for (index, element) in elements.enumerated() {
      var call = try Fields(element, at: fields.path("tool_calls") + "[\(index)]")
      let id = try call.requiredString("id")
      guard try call.word("type", of: ["function"]) != nil else { throw call.missing("type") }
      guard var function = try call.object("function") else { throw call.missing("function") }
      let name = try function.requiredString("name")
      let text = try function.requiredString("arguments")
      guard let arguments = try? JSON(parsing: Array(text.utf8)) else {
        throw .invalid(function.path("arguments"), "\(function.path("arguments")) is no JSON")
      }
      try function.finish()
      try call.finish()
      calls.append(
        .object([
          ("id", .string(id)), ("type", "function"),
          ("function", .object([("name", .string(name)), ("arguments", arguments.templateValue)])),
        ]))
    }
    return .array(calls)
  }
}

extension JSONElement {
  /// The value as templates see it.
  var templateValue: TemplateValue {
    switch self {
    case .null: .none
    case .bool(let value): .bool(value)
    case .number(let text): Int(text).map { .integer($0) } ?? .double(Double(text) ?? .nan)
    case .string(let text): .string(text)
    case .array(let elements): .array(elements.map(\.templateValue))
    case .object(let members): .object(members.map { ($0.key, $0.value.templateValue) })
    }
  }
}
