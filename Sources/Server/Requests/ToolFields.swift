internal import Chat
internal import Tokenizers

/// Whether an answer may call tools.
enum ToolChoice: Sendable, Equatable {
  case never, maybe, always
  /// This one, whatever it is asked.
  case function(String)
}

/// The tools that a request brings, and what of them an answer may call.
struct ToolSet: Sendable {
  let tools: [ToolDescription]
  let choice: ToolChoice
  /// Whether one answer may call several.
  let severalCalls: Bool
  /// Answers that call them; nil when no tool may be called.
  let grammar: Grammar?

  /// Whether the answer may call tools.
  var canCall: Bool { grammar != nil }
  /// Where stop strings, which are for words, cease to count: a call is whole, whatever its arguments are.
  var stopsEnd: String? { canCall ? ToolCallText.open : nil }

  /// - Throws: `APIError` when the choice is none of the tools, or parameters cannot be enforced.
  init(_ tools: [ToolDescription], _ choice: ToolChoice, severalCalls: Bool) throws(APIError) {
    self.tools = tools
    self.choice = choice
    self.severalCalls = severalCalls
    var (callable, mustCall) = (tools, true)
    switch choice {
    case .never: callable = []
    case .maybe: mustCall = false
    case .always:
      guard !tools.isEmpty else { throw .invalid("tool_choice", "tool_choice wants a call, and there are no tools") }
    case .function(let name):
      callable = tools.filter { $0.name == name }
      guard !callable.isEmpty else {
        throw .invalid("tool_choice", "tool_choice: there is no tool \"\(name.prefix(64))\"")
      }
    }
    if let twin = tools.indices.first(where: { index in tools[..<index].contains { $0.name == tools[index].name } }) {
      throw .invalid("tools", "tools[\(twin)]: there is a tool of this name before")
    }
    grammar =
      callable.isEmpty
      ? nil
      : try FormatFields.compile("tools") { () throws(GrammarError) in
        try Grammar.toolCalls(callable, mustCall: mustCall, severalCalls: severalCalls)
      }
  }
}

// As each API has them.
extension ToolSet {
  /// `tools`, `tool_choice`, `parallel_tool_calls` of OpenAI's chat.
  static func chat(_ fields: inout Fields, _ limits: ServerSettings.Limits) throws(APIError) -> ToolSet {
    let tools = try list(&fields, limits) { (tool: inout Fields) throws(APIError) in
      guard try tool.word("type", of: ["function"]) != nil else { throw tool.missing("type") }
      guard var function = try tool.object("function") else { throw tool.missing("function") }
      let description = try described(&function, "parameters", limits)
      try function.finish()
      return description
    }
    let choice = try choice(&fields) { (choice: inout Fields) throws(APIError) in
      guard try choice.word("type", of: ["function"]) != nil else { throw choice.missing("type") }
      guard var function = try choice.object("function") else { throw choice.missing("function") }
      let name = try function.requiredString("name")
      try function.finish()
      return .function(name)
    }
    return try ToolSet(tools, choice, severalCalls: try fields.bool("parallel_tool_calls") ?? true)
  }

  /// The same of OpenAI's responses, which have the function's members beside its type.
  static func responses(_ fields: inout Fields, _ limits: ServerSettings.Limits) throws(APIError) -> ToolSet {
    let tools = try list(&fields, limits) { (tool: inout Fields) throws(APIError) in
      guard tool.has("type") else { throw tool.missing("type") }
      try requireType("function", of: &tool)
      let description = try described(&tool, "parameters", limits)
      try tool.refuse("defer_loading", unless: [false], "all tools are told at once")
      try tool.refuse("allowed_callers", unless: [["direct"]], "tools are called by answers")
      try tool.refuse("async", unless: [false], "tools are called by whoever asks")
      tool.ignore("output_schema")
      return description
    }
    let choice = try choice(&fields) { (choice: inout Fields) throws(APIError) in
      guard try choice.word("type", of: ["function"]) != nil else { throw choice.missing("type") }
      return .function(try choice.requiredString("name"))
    }
    return try ToolSet(tools, choice, severalCalls: try fields.bool("parallel_tool_calls") ?? true)
  }

  /// `tools` and `tool_choice` of Anthropic's messages.
  static func messages(_ fields: inout Fields, _ limits: ServerSettings.Limits) throws(APIError) -> ToolSet {
    let tools = try list(&fields, limits) { (tool: inout Fields) throws(APIError) in
      try requireType("custom", of: &tool)
      let description = try described(&tool, "input_schema", limits)
      try tool.refuse("defer_loading", unless: [false], "all tools are told at once")
      try tool.refuse("allowed_callers", unless: [["direct"]], "tools are called by answers")
      try tool.refuse("eager_input_streaming", unless: [false], "calls come when they are whole")
      try tool.refuse("input_examples", unless: [[]], "put examples into the description")
      tool.ignore("cache_control")
      return description
    }
    guard var given = try fields.object("tool_choice") else {
      return try ToolSet(tools, .maybe, severalCalls: true)
    }
    guard let type = try given.word("type", of: ["auto", "any", "tool", "none"]) else { throw given.missing("type") }
    let severalCalls = !(try given.bool("disable_parallel_tool_use") ?? false)
    let choice: ToolChoice
    switch type {
    case "none": choice = .never
    case "any": choice = .always
    case "tool": choice = .function(try given.requiredString("name"))
    default: choice = .maybe
    }
    try given.finish()
    return try ToolSet(tools, choice, severalCalls: severalCalls)
  }

  /// `tools` of Ollama's chat, which leaves the choice to the model.
  static func ollama(_ fields: inout Fields, _ limits: ServerSettings.Limits) throws(APIError) -> ToolSet {
    let tools = try list(&fields, limits) { (tool: inout Fields) throws(APIError) in
      _ = try tool.word("type", of: ["function"])
      guard var function = try tool.object("function") else { throw tool.missing("function") }
      let description = try described(&function, "parameters", limits)
      try function.finish()
      return description
    }
    return try ToolSet(tools, .maybe, severalCalls: true)
  }

  /// Tools of other types are those that a provider runs itself, and here there are none.
  private static func requireType(_ expected: String, of tool: inout Fields) throws(APIError) {
    guard let type = try tool.string("type"), type != expected else { return }
    throw .invalid(
      tool.path("type"),
      "\(tool.path("type")) is \"\(type.prefix(40))\": expected \(expected): this server has no tools",
      code: "unsupported_parameter")
  }

  private static func list(
    _ fields: inout Fields, _ limits: ServerSettings.Limits,
    _ read: (inout Fields) throws(APIError) -> ToolDescription
  ) throws(APIError) -> [ToolDescription] {
    var tools: [ToolDescription] = []
    for (index, element) in (try fields.array("tools", most: limits.tools) ?? []).enumerated() {
      var tool = try Fields(element, at: "tools[\(index)]")
      tools.append(try read(&tool))
      try tool.finish()
    }
    return tools
  }

  /// `tool_choice`: one of three words, or an object.
  private static func choice(
    _ fields: inout Fields, _ read: (inout Fields) throws(APIError) -> ToolChoice
  ) throws(APIError) -> ToolChoice {
    switch fields.value("tool_choice") {
    case nil, .string("auto")?: return .maybe
    case .string("none")?: return .never
    case .string("required")?: return .always
    case let value?:
      var fields = try Fields(value, at: "tool_choice")
      let choice = try read(&fields)
      try fields.finish()
      return choice
    }
  }

  /// A tool's name, description and parameters.
  private static func described(
    _ fields: inout Fields, _ parameters: String, _ limits: ServerSettings.Limits
  ) throws(APIError) -> ToolDescription {
    let name = try fields.requiredString("name")
    guard (1...64).contains(name.utf8.count), name.utf8.allSatisfy({ isNameByte($0) }) else {
      throw .invalid(fields.path("name"), "\(fields.path("name")): expected 1 to 64 letters, digits, _ and -")
    }
    let path = fields.path(parameters)
    let (description, schema) = (try fields.string("description"), fields.value(parameters))
    if let schema, schema.bytes.count > limits.schemaBytes {
      throw .invalid(path, "\(path) has more than \(limits.schemaBytes) bytes")
    }
    // Parameters are enforced, whatever this says.
    _ = try fields.bool("strict")
    return ToolDescription(name: name, description: description, parameters: schema)
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
}
