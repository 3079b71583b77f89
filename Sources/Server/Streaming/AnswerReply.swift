internal import Chat
internal import Engine
internal import Hummingbird

/// How an API puts answers: in one document, or as they come.
///
/// A value that belongs to one response; what has been said so far is its state.
protocol AnswerReply: Sendable {
  /// Of the stream.
  var contentType: String { get }
  /// Whether answers may call tools.
  var callsTools: Bool { get }
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

/// Answers as far as they have come: `[prompts][answers]`, with the tokens whose probabilities were asked for.
struct CollectedAnswers: Sendable {
  private(set) var answers: [[FinishedAnswer]]

  init(prompts: Int, answers count: Int) {
    answers = [[FinishedAnswer]](
      repeating: [FinishedAnswer](repeating: (Answer(), []), count: count), count: prompts)
  }

  mutating func take(_ piece: AnswerPiece, prompt: Int) {
    answers[prompt][piece.choice].tokens += piece.tokens
    if let answer = piece.answer { answers[prompt][piece.choice].answer = answer }
  }
}

extension AnswerReply {
  var contentType: String { "text/event-stream" }
  var callsTools: Bool { false }
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
  /// - Parameter keep: Takes the whole document once all answers are there, before the client hears of the end.
  /// - Throws: `EngineRoomError` when there is no place for all of them, `APIError` when there never is; once a stream has begun, it says what goes wrong.
  static func answers(
    to calls: [AnswerCall], isStreaming: Bool, _ reply: some AnswerReply, _ state: ServerState,
    _ context: ServerContext, keep: (@Sendable (JSON) async throws -> Void)? = nil
  ) async throws -> Response {
    let count = calls.first.map { max(1, $0.count) } ?? 0
    let limit = state.room.answerLimit
    guard calls.count * count <= limit else {
      // Not that it is too much just now: clients would try again for ever.
      throw APIError.invalid(
        count > 1 ? "n" : "prompt",
        "the request wants \(calls.count * count) answers (prompts times n), and this server gives a key \(limit) at a time: ask for fewer"
      )
    }
    let signals = try await AnswerSignals(calls, state, context)
    var found = CollectedAnswers(prompts: calls.count, answers: count)
    let exchange = state.settings.auditsContents ? context.exchange : nil
    exchange?.take(prompts: calls.count, answers: count, callsTools: reply.callsTools)
    guard isStreaming else {
      for try await case .piece(let prompt, let piece) in signals { found.take(piece, prompt: prompt) }
      let whole = reply.whole(found.answers)
      try await keep?(whole)
      exchange?.append(found.answers)
      return .json(whole)
    }
    let none = found
    return Response(
      status: .ok,
      headers: [.contentType: reply.contentType, .cacheControl: "no-cache", .accelBuffering: "no"],
      body: .init { writer in
        var (reply, events, found) = (reply, EventWriter(writer), none)
        do {
          try await reply.begin(&events)
          for try await signal in signals {
            switch signal {
            case .piece(let prompt, let piece):
              if keep != nil { found.take(piece, prompt: prompt) }
              try await reply.append(piece, prompt: prompt, to: &events)
              exchange?.append(piece, prompt: prompt)
            case .quiet: try await reply.wait(&events)
            }
          }
          try await keep?(reply.whole(found.answers))
          try await reply.end(&events)
        } catch {
          state.note(error, context)
          try await reply.fail(APIError(error), requestID: context.requestID, to: &events)
          // Whoever notes the request is to know that it was given up.
          if error is CancellationError { throw error }
        }
        try await events.finish()
      })
  }
}
