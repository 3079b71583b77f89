internal import Chat
internal import Engine
internal import HTTPTypes
internal import Hummingbird
internal import Tokenizers

// Anthropic's /v1/messages and its counting of tokens.
extension RouteTable {
  mutating func addMessages(_ state: ServerState) {
    on(.post, "/v1/messages", .scope(.chat), takesQuery: true) { request, context in
      try request.refuseQuery(except: "beta")
      let wanted = try await MessagesRequest(try await request.fields(state, context), state, context)
      try state.admit(context)
      let call = AnswerCall(wanted.model, wanted.prompt, wanted.options, key: context.principal?.id ?? "")
      return try await .answers(to: [call], isStreaming: wanted.isStreaming, MessagesReply(wanted), state, context)
    }
    on(.post, "/v1/messages/count_tokens", .scope(.chat), takesQuery: true) { request, context in
      try request.refuseQuery(except: "beta")
      let wanted = try await MessagesRequest(try await request.fields(state, context), state, context, isCounting: true)
      return .json(["input_tokens": .integer(wanted.prompt.count)])
    }
  }
}

/// A request for a message, checked.
struct MessagesRequest: Sendable {
  let model: ServedModel
  let prompt: [Int32]
  let options: AnswerOptions
  let isStreaming: Bool
  /// Whether the answer may call tools.
  let callsTools: Bool

  /// - Parameter isCounting: Whether only the prompt's tokens are asked for.
  init(
    _ given: Fields, _ state: ServerState, _ context: ServerContext, isCounting: Bool = false
  ) async throws {
    var fields = given
    let limits = state.settings.limits
    model = try await state.model(try fields.requiredString("model"), context)
    var messages: [ChatMessage] = []
    if let system = try fields.text("system", types: ["text"], ignoring: MessageBlocks.ignored, limits) {
      messages.append(ChatMessage(role: "system", content: system))
    }
    guard let elements = try fields.array("messages", most: limits.messages) else { throw fields.missing("messages") }
    var role: String?
    for (index, element) in elements.enumerated() {
      var message = try Fields(element, at: "messages[\(index)]")
      role = try MessageBlocks.take(&message, into: &messages, limits)
      try message.finish()
    }
    guard role == "user" else {
      throw APIError.invalid("messages", "messages: the last one is answered, so it must be the user's")
    }
    var options = AnswerOptions(sampling: SamplingOptions())
    if !isCounting {
      guard let most = try fields.integer("max_tokens", in: 1...Int(Int32.max)) else {
        throw fields.missing("max_tokens")
      }
      options.maximumTokenCount = most
    }
    options.sampling.temperature = Float(try fields.number("temperature", in: 0...1) ?? 1)
    options.sampling.topP = Float(try fields.number("top_p", in: 0...1) ?? 1)
    options.sampling.topK = try fields.integer("top_k", in: 0...1_000_000) ?? 0
    options.sampling.seed = .random(in: .min ... .max)
    options.stops = try SamplingFields.stops(&fields, "stop_sequences", limits)
    isStreaming = try fields.bool("stream") ?? false
    fields.ignore("metadata", "cache_control", "user_profile_id", "workspace_id")
    try fields.refuse("service_tier", unless: ["auto", "standard_only"], "there is one tier")
    try fields.refuse("thinking", unless: [["type": "disabled"]], "models here do not reason apart from their answers")
    try fields.refuse("speed", unless: ["standard"], "there is one")
    try fields.refuse("inference_geo", "answers are computed here")
    try fields.refuse("diagnostics", "there are none")
    try fields.refuse("mcp_servers", unless: [[]], "this server calls no others")
    try fields.refuse("container", "there are none")
    let tools = try ToolSet.messages(&fields, limits)
    let format = try FormatFields.messagesFormat(&fields, limits)
    if format != nil, tools.canCall {
      throw APIError.invalid(
        "output_config.format", "output_config.format does not go with tools", code: "unsupported_parameter")
    }
    if format != nil {
      try FormatFields.refuse(stops: options.stops, beside: "output_config.format", "stop_sequences")
    }
    callsTools = tools.canCall
    options.stopsEnd = tools.stopsEnd
    try fields.finish()
    if let grammar = format ?? tools.grammar { options.constraint = model.constraint(grammar) }
    prompt = try tools.prompt(messages, model)
    self.options = options
    try model.check(prompt, options, naming: "messages")
  }
}
