internal import Chat
internal import Engine
internal import Foundation
internal import Hummingbird
internal import Tokenizers

/// What Ollama's `/api/generate` and `/api/chat` have in common.
struct OllamaFields {
  let model: ServedModel
  var options = AnswerOptions()
  let isStreaming: Bool
  /// Prompt and answer together, when the request says less than the model holds.
  private var contextLength: Int?

  init(_ fields: inout Fields, _ state: ServerState, _ context: ServerContext) async throws {
    model = try await state.ollamaModel(&fields, context)
    isStreaming = try fields.bool("stream") ?? true
    // Models stay loaded as long as the server runs.
    fields.ignore("keep_alive")
    try fields.refuse("think", unless: [false], "models here do not reason apart from their answers")
    var sampling = SamplingOptions(temperature: 0.8, topK: 40, topP: 0.9)
    sampling.seed = .random(in: .min ... .max)
    if var given = try fields.object("options") {
      sampling.temperature = Float(try given.number("temperature", in: 0...100) ?? 0.8)
      sampling.topK = try given.integer("top_k", in: 0...1_000_000) ?? 40
      sampling.topP = Float(try given.number("top_p", in: 0...1) ?? 0.9)
      sampling.minP = Float(try given.number("min_p", in: 0...1) ?? 0)
      sampling.penalties.repetition = Float(try given.number("repeat_penalty", in: 0.01...100) ?? 1)
      sampling.penalties.presence = Float(try given.number("presence_penalty", in: -2...2) ?? 0)
      sampling.penalties.frequency = Float(try given.number("frequency_penalty", in: -2...2) ?? 0)
      sampling.seed = try SamplingFields.seed(&given)
      options.stops = try SamplingFields.stops(&given, "stop", state.settings.limits)
      // −1 and −2 are Ollama's "without end" and "as much as fits": here the same.
      if let most = try given.integer("num_predict", in: -2...Int(Int32.max)), most > 0 {
        options.maximumTokenCount = most
      }
      contextLength = try given.integer("num_ctx", in: 1...model.contextLength)
      try given.refuse("mirostat", unless: [0], "use top_p or min_p")
      try given.refuse("typical_p", unless: [1, .number("1.0")], "use top_p or min_p")
      try given.refuse("tfs_z", unless: [1, .number("1.0")], "use top_p or min_p")
      try given.refuse("repeat_last_n", unless: [-1], "repetition counts in the whole text")
      // How Ollama computes, not what.
      given.ignore(
        "num_batch", "num_gpu", "main_gpu", "use_mmap", "use_mlock", "num_thread", "numa", "low_vram", "num_keep",
        "mirostat_eta", "mirostat_tau", "penalize_newline")
      try given.finish()
    }
    options.sampling = sampling
  }

  /// Takes `format`: "json", or a schema.
  mutating func takeFormat(_ fields: inout Fields, _ state: ServerState) throws(APIError) {
    switch fields.value("format") {
    case nil, .string("")?: break
    case .string("json")?:
      let grammar = try FormatFields.compile("format") { () throws(GrammarError) in try Grammar.anyObject() }
      options.constraint = model.constraint(grammar)
    case let schema?:
      options.constraint = model.constraint(try FormatFields.schema(schema, "format", state.settings.limits))
    }
    if options.constraint != nil {
      try FormatFields.refuse(stops: options.stops, beside: "format", "options.stop")
    }
  }

  /// A call for an answer to a prompt.
  func call(_ prompt: [Int32], _ context: ServerContext) throws -> AnswerCall {
    var options = options
    if let contextLength {
      guard prompt.count < contextLength else {
        throw GenerationError.promptTooLong(tokens: prompt.count, contextLength: contextLength)
      }
      options.maximumTokenCount = min(options.maximumTokenCount ?? .max, contextLength - prompt.count)
    }
    try model.check(prompt, options, naming: "prompt")
    return AnswerCall(model, prompt, options, key: context.principal?.id ?? "")
  }
}

extension ServerState {
  /// The model that a request of Ollama's API names; ":latest" says nothing here.
  func ollamaModel(_ fields: inout Fields, _ context: ServerContext) async throws -> ServedModel {
    // "name" is what older clients say.
    let older = try fields.string("name")
    guard let name = try fields.string("model") ?? older else { throw fields.missing("model") }
    let isTagged = name.hasSuffix(":latest") && room.model(name) == nil
    return try await model(isTagged ? String(name.dropLast(7)) : name, context)
  }
}

/// An answer in Ollama's shape: one object, or a line for each piece and one at the end.
struct OllamaReply: AnswerReply {
  let model: String
  /// Puts text and calls where this route has them: `response`, or `message`.
  private let content: @Sendable (String, [ToolCallText.Call]) -> JSONElement.Member
  private var parts: ToolCallStream

  init(
    model: String, callsTools: Bool,
    content: @escaping @Sendable (String, [ToolCallText.Call]) -> JSONElement.Member
  ) {
    self.model = model
    self.content = content
    parts = ToolCallStream(callsTools: callsTools)
  }

  var contentType: String { "application/x-ndjson" }
  var callsTools: Bool { parts.callsTools }

  func whole(_ answers: [[FinishedAnswer]]) -> JSON {
    guard let answer = answers.first?.first?.answer else { return .null }
    let (words, calls) = ToolCallStream.parts(of: answer.text, callsTools: parts.callsTools)
    return end(answer, content(words, calls))
  }

  mutating func append(_ piece: AnswerPiece, prompt: Int, to events: inout EventWriter) async throws {
    let (words, calls) = parts.append(piece)
    if !words.isEmpty || !calls.isEmpty {
      try await events.sendLine(.object(head + [content(words, calls), .init(key: "done", value: false)]))
    }
    if let answer = piece.answer { try await events.sendLine(end(answer, content("", []))) }
  }

  /// Lines have no comments: whoever waits for one waits in silence.
  mutating func wait(_ events: inout EventWriter) async throws {}

  mutating func fail(_ error: APIError, requestID: String, to events: inout EventWriter) async throws {
    try await events.sendLine(Dialect.ollama.body(of: error, requestID: requestID))
  }

  /// The answer to a request without a prompt, which Ollama's clients load models with.
  var loaded: JSON {
    .object(head + [content("", []), .init(key: "done", value: true), .init(key: "done_reason", value: "load")])
  }

  private var head: [JSONElement.Member] {
    [.init(key: "model", value: .string(model)), .init(key: "created_at", value: .string(Clock.text))]
  }

  private func end(_ answer: Answer, _ content: JSONElement.Member) -> JSON {
    func nanoseconds(_ seconds: Double) -> JSON { .integer(Int(seconds * 1e9)) }
    let figures: JSON = [
      "done": true, "done_reason": .string(answer.finishReason.rawValue),
      "total_duration": nanoseconds(answer.firstTokenSeconds + answer.decodingSeconds), "load_duration": 0,
      "prompt_eval_count": .integer(answer.promptTokenCount),
      "prompt_eval_duration": nanoseconds(answer.firstTokenSeconds),
      "eval_count": .integer(answer.tokens.count), "eval_duration": nanoseconds(answer.decodingSeconds),
    ]
    return .object(head + [content] + (figures.members ?? []))
  }
}
