/// The shapes of training example that are recognised by their keys.
public enum DatasetShape: String, Sendable, CaseIterable {
  /// `{"messages": [{"role", "content"}, …]}`, OpenAI's.
  case messages
  /// `{"conversations": [{"from", "value"}, …]}`, ShareGPT's.
  case conversations
  /// `{"instruction", "input"?, "output"}`, Alpaca's. A non-empty input follows the instruction after a blank line.
  case instruction
  /// `{"input", "output"}`.
  case inputOutput
  /// `{"prompt", "completion"}`.
  case promptCompletion
  /// `{"prompt", "chosen", "rejected"}`: a preference. The prompt may also be a list of messages.
  case preference
  /// `{"text"}`.
  case text

  /// The shape as messages show it.
  public var display: String {
    switch self {
    case .messages: #"{"messages"}"#
    case .conversations: #"{"conversations"}"#
    case .instruction: #"{"instruction", "output"}"#
    case .inputOutput: #"{"input", "output"}"#
    case .promptCompletion: #"{"prompt", "completion"}"#
    case .preference: #"{"prompt", "chosen", "rejected"}"#
    case .text: #"{"text"}"#
    }
  }

  /// The keys an object must have to be of this shape.
  var requiredKeys: [String] {
    switch self {
    case .messages: ["messages"]
    case .conversations: ["conversations"]
    case .instruction: ["instruction", "output"]
    case .inputOutput: ["input", "output"]
    case .promptCompletion: ["prompt", "completion"]
    case .preference: ["prompt", "chosen", "rejected"]
    case .text: ["text"]
    }
  }

  /// Every shape, for messages.
  static var allDisplayed: String { allCases.map(\.display).joined(separator: ", ") }
}

/// Turns one JSON object into an example, or says why it cannot.
struct ExampleParser {
  /// The data file, as the user named it.
  let file: String
  /// The line the object starts on.
  let line: Int

  /// The shape of `element`.
  ///
  /// Other keys (an id, a source) are ignored. `text` counts only when nothing else matches, because published sets
  /// often carry the rendered text beside the fields; Alpaca's keys include `input` and `output`, so it goes before them.
  ///
  /// - Throws: `notAnObject`, `unknownShape`, `ambiguousShape`.
  func shape(of element: JSONElement) throws(DatasetError) -> DatasetShape {
    guard case .object = element else {
      throw problem(.notAnObject, "an object", element.kindName, "write one {…} for each example")
    }
    let keys = Set(element.keys)
    var matching = DatasetShape.allCases.filter { keys.isSuperset(of: $0.requiredKeys) }
    if matching.count > 1 { matching.removeAll { $0 == .text } }
    if matching.contains(.instruction) { matching.removeAll { $0 == .inputOutput } }
    guard let shape = matching.first else {
      let found = element.keys.isEmpty ? "no keys" : "the keys " + Self.list(element.keys)
      throw problem(
        .unknownShape, "one of \(DatasetShape.allDisplayed)", found, "rename the keys")
    }
    guard matching.count == 1 else {
      throw problem(
        .ambiguousShape, "the keys of one shape",
        "those of " + matching.map(\.display).joined(separator: " and "),
        "keep the ones to train on")
    }
    return shape
  }

  /// Reads `element`, which has the keys of `shape`.
  ///
  /// - Throws: the first thing wrong with it.
  func example(_ element: JSONElement, shape: DatasetShape) throws(DatasetError) -> Example {
    let turns: [Turn]
    switch shape {
    case .text:
      let text = try text(element, "text")
      guard !Self.isBlank(text) else {
        throw problem(.emptyAnswer, "some text", "an empty \"text\"", "remove the line")
      }
      return Example(.text(text), file: file, line: line)
    case .messages:
      try refuseTools(element)
      turns = try self.turns(element, list: "messages", role: "role", content: "content")
    case .conversations:
      try refuseTools(element)
      turns = try self.turns(element, list: "conversations", role: "from", content: "value")
    case .instruction:
      try refuseHistory(element)
      var question = try text(element, "instruction")
      let input = element["input"] == nil ? "" : try text(element, "input")
      if !Self.isBlank(input) { question += "\n\n" + input }
      turns = [Turn(.user, question), Turn(.assistant, try text(element, "output"))]
    case .inputOutput:
      turns = [
        Turn(.user, try text(element, "input")), Turn(.assistant, try text(element, "output")),
      ]
    case .promptCompletion:
      turns = [
        Turn(.user, try text(element, "prompt")),
        Turn(.assistant, try text(element, "completion")),
      ]
    case .preference:
      try refuseTools(element)
      turns = try prompt(element) + [Turn(.assistant, try text(element, "chosen"))]
    }
    let conversation = try withSystemPrompt(turns, element)
    try check(conversation)
    return Example(
      .conversation(conversation), rejected: shape == .preference ? try rejected(element) : nil, file: file, line: line)
  }

  /// A question, or the messages up to the answer.
  private func prompt(_ element: JSONElement) throws(DatasetError) -> [Turn] {
    guard case .array? = element["prompt"] else { return [Turn(.user, try text(element, "prompt"))] }
    let turns = try self.turns(element, list: "prompt", role: "role", content: "content")
    guard turns.last?.role != .assistant else {
      throw problem(
        .unsupportedKey, "a \"prompt\" that leaves the answer open", "an assistant turn at its end",
        "end it with what is answered")
    }
    return turns
  }

  /// The answer that is not wanted.
  private func rejected(_ element: JSONElement) throws(DatasetError) -> String {
    let rejected = try text(element, "rejected")
    guard !Self.isBlank(rejected) else {
      throw problem(.emptyAnswer, "an answer in \"rejected\"", "an empty one", "fill it in or remove the line")
    }
    guard rejected != (try text(element, "chosen")) else {
      throw problem(
        .emptyAnswer, "two different answers", "the same in \"chosen\" and \"rejected\"",
        "remove the line: it prefers nothing")
    }
    return rejected
  }

  /// A `"system"` key beside the others opens the conversation; ignoring it would train on another prompt than was written.
  private func withSystemPrompt(_ turns: [Turn], _ element: JSONElement) throws(DatasetError)
    -> [Turn]
  {
    guard element["system"] != nil, element["system"] != .null else { return turns }
    let system = try text(element, "system")
    guard !Self.isBlank(system) else { return turns }
    guard !turns.contains(where: { $0.role == .system }) else {
      throw problem(
        .ambiguousShape, "one system prompt", "a \"system\" key and a system turn", "keep one")
    }
    return [Turn(.system, system)] + turns
  }

  private func refuseHistory(_ element: JSONElement) throws(DatasetError) {
    guard let history = element["history"], history != .null, history != .array([]) else { return }
    throw problem(
      .unsupportedKey, "\"instruction\" without \"history\"", "a \"history\"",
      "write such conversations as {\"messages\": […]}")
  }

  /// Tools beside a conversation would be shown to the model when it is asked and not when it is taught.
  private func refuseTools(_ element: JSONElement) throws(DatasetError) {
    for key in ["tools", "functions"] {
      guard let tools = element[key], tools != .null, tools != .array([]) else { continue }
      // Some sets write the list as a string.
      if case .string(let text) = tools, Self.isBlank(text) || text == "[]" { continue }
      throw problem(
        .unsupportedKey, "conversations without tools", "\"\(key)\"",
        "describe the tools in a system message, as text, or remove the key")
    }
  }

  private func check(_ turns: [Turn]) throws(DatasetError) {
    guard turns.contains(where: { $0.role == .assistant }) else {
      throw problem(
        .noAssistantTurn, "at least one assistant turn", "none",
        "add the answer to be learned, or remove the line")
    }
    for (index, turn) in turns.enumerated() where turn.role == .assistant {
      guard Self.isBlank(turn.content) else { continue }
      let found = turns.count == 2 ? "an empty answer" : "an empty assistant turn (turn \(index + 1))"
      throw problem(.emptyAnswer, "an answer to learn", found, "fill it in or remove the line")
    }
  }

  private func turns(_ element: JSONElement, list: String, role: String, content: String)
    throws(DatasetError) -> [Turn]
  {
    guard let value = element[list], case .array(let elements) = value else {
      let found = element[list]?.kindName ?? "nothing"
      throw problem(.notAList, "a list in \"\(list)\"", found, "write […]")
    }
    guard !elements.isEmpty else {
      throw problem(
        .emptyConversation, "messages in \"\(list)\"", "an empty list", "remove the line")
    }
    var turns: [Turn] = []
    for (index, message) in elements.enumerated() {
      let name = "\(list)[\(index)]"
      guard case .object = message else {
        throw problem(.notAnObject, "an object in \(name)", message.kindName, "write {…}")
      }
      try refuseUnsupported(message, name)
      let speaker = try text(message, role, within: name)
      guard let known = Self.roles[speaker.lowercased()] else {
        throw problem(
          .unknownRole, "a role among " + Self.list(Self.roles.keys.sorted()),
          "\"\(speaker)\" in \(name)", "rename it")
      }
      turns.append(Turn(known, try text(message, content, within: name)))
    }
    return turns
  }

  /// Keys that change what is to be learned and that this reader does not follow are refused rather than ignored.
  private func refuseUnsupported(_ message: JSONElement, _ name: String) throws(DatasetError) {
    for key in ["tool_calls", "function_call"] {
      if let value = message[key], value != .null, value != .array([]) {
        throw problem(
          .unsupportedKey, "text messages", "\"\(key)\" in \(name)",
          "write the call out as text in the message, or remove the line")
      }
    }
    if let weight = message["weight"], weight != .number("1"), weight != .null {
      throw problem(
        .unsupportedKey, "every assistant turn counted alike", "a \"weight\" in \(name)",
        "remove it, or split the conversation so that only turns to be learned remain")
    }
  }

  private func text(_ element: JSONElement, _ key: String, within name: String? = nil)
    throws(DatasetError) -> String
  {
    let place = name.map { "\($0).\(key)" } ?? "\"\(key)\""
    guard let value = element[key] else {
      throw problem(.missingKey, place, "no such key", "add it")
    }
    guard case .string(let text) = value else {
      throw problem(.notText, "a string in \(place)", value.kindName, "write it as \"…\"")
    }
    return text
  }

  private func problem(
    _ kind: DatasetError.Kind, _ expected: String, _ found: String, _ remedy: String
  ) -> DatasetError {
    DatasetError(
      kind, file: file, line: line, expected: expected, found: found, remedy: remedy)
  }

  private static func isBlank(_ text: String) -> Bool { text.allSatisfy(\.isWhitespace) }

  private static func list(_ names: [String]) -> String {
    let shown = names.prefix(12).map { "\"\($0.prefix(40))\"" }.joined(separator: ", ")
    return names.count > 12 ? shown + ", …" : shown
  }

  /// The speakers' names in published data sets.
  private static let roles: [String: Turn.Role] = [
    "system": .system, "developer": .system,
    "user": .user, "human": .user,
    "assistant": .assistant, "gpt": .assistant, "chatgpt": .assistant, "model": .assistant,
    "bot": .assistant,
    "tool": .tool, "function": .tool, "observation": .tool,
  ]
}
