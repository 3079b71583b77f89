internal import Chat
internal import Engine
internal import HTTPTypes
internal import Hummingbird
internal import Tokenizers

// OpenAI's /v1/responses, without memory: what was said before is sent along.
extension RouteTable {
  mutating func addResponses(_ state: ServerState) {
    on(.post, "/v1/responses", .scope(.chat)) { request, context in
      let wanted = try await ResponsesRequest(try await request.fields(state, context), state, context)
      try state.admit(context)
      let call = AnswerCall(wanted.model, wanted.prompt, wanted.options, key: context.principal?.id ?? "")
      return try await .answers(to: [call], isStreaming: wanted.isStreaming, ResponsesReply(wanted), state, context)
    }
  }
}

/// A request for a response, checked.
struct ResponsesRequest: Sendable {
  let model: ServedModel
  let prompt: [Int32]
  let options: AnswerOptions
  let isStreaming: Bool
  let instructions: String?
  let metadata: JSON
  /// Which texts the answer may be, as it was sent.
  let format: JSON
  let tools: ToolSet

  init(_ given: Fields, _ state: ServerState, _ context: ServerContext) async throws {
    var fields = given
    let limits = state.settings.limits
    model = try await state.model(try fields.requiredString("model"), context)
    instructions = try fields.string("instructions")
    let messages =
      (instructions.map { [ChatMessage(role: "system", content: $0)] } ?? [])
      + (try ResponseItems.messages(&fields, limits))
    var options = AnswerOptions(sampling: SamplingOptions())
    options.sampling.temperature = Float(try fields.number("temperature", in: 0...2) ?? 1)
    options.sampling.topP = Float(try fields.number("top_p", in: 0...1) ?? 1)
    options.sampling.seed = .random(in: .min ... .max)
    options.maximumTokenCount = try fields.integer("max_output_tokens", in: 1...Int(Int32.max))
    isStreaming = try fields.bool("stream") ?? false
    metadata = fields.value("metadata") ?? [:]
    let (format, grammar) = try FormatFields.responsesFormat(&fields, limits)
    self.format = format
    tools = try ToolSet.responses(&fields, limits)
    if grammar != nil, tools.canCall {
      throw APIError.invalid("text.format", "text.format does not go with tools", code: "unsupported_parameter")
    }
    if let grammar = grammar ?? tools.grammar { options.constraint = model.constraint(grammar) }
    try ResponsesRequest.refuseOthers(&fields)
    try fields.finish()
    prompt = try tools.prompt(messages, model)
    self.options = options
    try model.check(prompt, options, naming: "input")
  }

  private static func refuseOthers(_ fields: inout Fields) throws(APIError) {
    fields.ignore("user", "safety_identifier", "prompt_cache_key")
    try fields.refuse("store", unless: [false], "responses are not kept")
    try fields.refuse("previous_response_id", "responses are not kept: send what was said before")
    try fields.refuse("conversation", "conversations are not kept: send what was said before")
    try fields.refuse("background", unless: [false], "responses are not kept")
    try fields.refuse("truncation", unless: ["disabled"], "nothing is cut")
    try fields.refuse("reasoning", "models here do not reason apart from their answers")
    try fields.refuse("include", unless: [[]], "there is nothing more to include")
    try fields.refuse("prompt", "there are no stored prompts")
    try fields.refuse("service_tier", unless: ["auto", "default"], "there is one tier")
    try fields.refuse("top_logprobs", unless: [0], "use /v1/chat/completions")
    try fields.refuse("max_tool_calls", "this server has no tools of its own")
    try fields.refuse("stream_options", unless: [["include_obfuscation": false]], "streams are not padded")
  }
}
