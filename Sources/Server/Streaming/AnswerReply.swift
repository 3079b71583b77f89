internal import Chat
internal import Engine
internal import Hummingbird

/// How an API puts answers: in one document, or as they come.
///
/// A value that belongs to one response; what has been said so far is its state.
protocol AnswerReply: Sendable {
  /// Of the stream.
  var contentType: String { get }
  /// All answers at once, `[prompts][answers]`.
  func whole(_ answers: [[FinishedAnswer]]) -> JSON
  /// Before the first piece.
  mutating func begin(_ events: inout EventWriter) async throws
  /// A piece of one of the answers to a prompt.
  mutating func append(_ piece: AnswerPiece, prompt: Int, to events: inout EventWriter) async throws
  /// After the last one.
  mutating func end(_ events: inout EventWriter) async throws
  /// Nothing has come for a while, and proxies take longer silence for death.
  mutating func wait(_ events: inout EventWriter) async throws
  /// The stream ends early; what the client has are whole events.
  mutating func fail(_ error: APIError, requestID: String, to events: inout EventWriter) async throws
}

/// An answer with the tokens whose probabilities were asked for.
typealias FinishedAnswer = (answer: Answer, tokens: [SampledToken])

extension AnswerReply {
  var contentType: String { "text/event-stream" }
  mutating func begin(_ events: inout EventWriter) async throws {}
  mutating func end(_ events: inout EventWriter) async throws {}
  mutating func wait(_ events: inout EventWriter) async throws { try await events.sendComment() }
  mutating func fail(_ error: APIError, requestID: String, to events: inout EventWriter) async throws {
    try await events.send(Dialect.openAI.body(of: error, requestID: requestID))
  }
}

extension Response {
  /// Asks for answers, and hands them on as `reply` puts them.
  ///
  /// - Throws: `EngineRoomError` when there is no place for all of them; once a stream has begun, it says what goes wrong.
  static func answers(
    to calls: [AnswerCall], isStreaming: Bool, _ reply: some AnswerReply, _ state: ServerState,
    _ context: ServerContext
  ) async throws -> Response {
    let signals = try await AnswerSignals(calls, state, context)
    guard isStreaming else {
      return .json(
        reply.whole(try await signals.collect(prompts: calls.count, answers: calls.first.map { max(1, $0.count) } ?? 0))
      )
    }
    return Response(
      status: .ok,
      headers: [.contentType: reply.contentType, .cacheControl: "no-cache", .accelBuffering: "no"],
      body: .init { writer in
        var (reply, events) = (reply, EventWriter(writer))
        do {
          try await reply.begin(&events)
          for try await signal in signals {
            switch signal {
            case .piece(let prompt, let piece): try await reply.append(piece, prompt: prompt, to: &events)
            case .quiet: try await reply.wait(&events)
            }
          }
          try await reply.end(&events)
        } catch {
          state.note(error, context)
          try await reply.fail(APIError(error), requestID: context.requestID, to: &events)
        }
        try await events.finish()
      })
  }
}
