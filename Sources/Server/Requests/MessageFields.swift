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
      try takeCalls(&fields, &message)
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

  private static func content(_ fields: inout Fields, _ limits: ServerSettings.Limits) throws(APIError) -> String? {
    try fields.text("content", types: ["text"], limits)
  }

  /// Calls that the assistant made earlier.
  private static func takeCalls(_ fields: inout Fields, _ message: inout ChatMessage) throws(APIError) {
    for (index, element) in (try fields.array("tool_calls", most: 128) ?? []).enumerated() {
      var call = try Fields(element, at: fields.path("tool_calls") + "[\(index)]")
      let id = try call.requiredString("id")
      guard try call.word("type", of: ["function"]) != nil else { throw call.missing("type") }
      guard var function = try call.object("function") else { throw call.missing("function") }
      let name = try function.requiredString("name")
      message.addCall(id: id, name: name, arguments: try arguments(&function))
      try function.finish()
      try call.finish()
    }
  }

  /// Arguments of a call, an object as text.
  static func arguments(_ fields: inout Fields) throws(APIError) -> JSON {
    let text = try fields.requiredString("arguments")
    guard let arguments = try? JSON(parsing: Array(text.utf8)) else {
      throw .invalid(fields.path("arguments"), "\(fields.path("arguments")) is no JSON")
    }
    return arguments
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
