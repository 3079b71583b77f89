internal import Chat
internal import Tokenizers

/// Messages as Anthropic's API has them: blocks of text, of calls and of their results.
enum MessageBlocks {
  /// What says nothing about a block: beginnings that are alike are found in the cache without being told.
  static let ignored = ["cache_control", "citations"]

  /// Takes one message, which may be several to a template.
  ///
  /// - Returns: Whose it is.
  static func take(
    _ message: inout Fields, into messages: inout [ChatMessage], _ limits: ServerSettings.Limits
  ) throws(APIError) -> String {
    guard let role = try message.word("role", of: ["user", "assistant"]) else { throw message.missing("role") }
    guard let value = message.value("content") else { throw message.missing("content") }
    if let text = value.text {
      messages.append(ChatMessage(role: role, content: text))
      return role
    }
    let path = message.path("content")
    guard let blocks = value.elements, blocks.count <= limits.contentParts else {
      throw message.wrong("content", "a string or a list of at most \(limits.contentParts) blocks", value)
    }
    var (text, results): (String?, [ChatMessage]) = (nil, [])
    var said = ChatMessage(role: role, content: nil)
    for (index, block) in blocks.enumerated() {
      var block = try Fields(block, at: path + "[\(index)]")
      let type = try block.requiredString("type")
      switch (type, role) {
      case ("text", _): text = (text ?? "") + (try block.requiredString("text"))
      case ("tool_use", "assistant"):
        let (id, name) = (try block.requiredString("id"), try block.requiredString("name"))
        guard let input = block.value("input") else { throw block.missing("input") }
        said.addCall(id: id, name: name, arguments: input)
        try block.refuse("caller", unless: [["type": "direct"]], "tools are called by answers")
        try block.refuse("toolset_name", "tools have none")
      case ("tool_result", "user"): results.append(try result(&block, limits))
      default: throw block.notText(type)
      }
      for name in ignored { block.ignore(name) }
      try block.finish()
    }
    said.content = text
    messages += results
    if text != nil || said.toolCalls != nil || results.isEmpty {
      if said.content == nil, said.toolCalls == nil { said.content = "" }
      messages.append(said)
    }
    return role
  }

  private static func result(_ block: inout Fields, _ limits: ServerSettings.Limits) throws(APIError) -> ChatMessage {
    guard try block.string("tool_use_id") != nil else { throw block.missing("tool_use_id") }
    let content = try block.text("content", types: ["text"], ignoring: ignored, limits) ?? ""
    let isError = try block.bool("is_error") ?? false
    try block.refuse("toolset_name", "tools have none")
    return ChatMessage(role: "tool", content: isError ? "Error: " + content : content)
  }
}
