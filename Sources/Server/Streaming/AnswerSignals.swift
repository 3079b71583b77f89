internal import Chat
internal import Engine
internal import NIOCore

/// What happens while a request is answered.
enum AnswerSignal: Sendable {
  /// A piece of an answer to one of the request's prompts.
  case piece(prompt: Int, AnswerPiece)
  /// Nothing has happened for a while.
  case quiet
}

/// The pieces of all answers of a request, as they come, until all are there, the client goes, or time is up.
struct AnswerSignals: AsyncSequence, Sendable {
  typealias Element = AnswerSignal
  private let stream: AsyncThrowingStream<AnswerSignal, any Error>

  /// The longest that nothing is said; proxies take longer silence for death.
  static let quietSeconds = 15

  /// Asks for answers.
  ///
  /// - Throws: `EngineRoomError` when there is no place for all of them.
  init(_ calls: [AnswerCall], _ state: ServerState, _ context: ServerContext) async throws {
    let presence = await context.presence
    let streams = try calls.map { try state.room.answer($0) }
    let account = calls.first.map {
      Account($0.model, promptTokenCount: calls.reduce(0) { $0 + $1.prompt.count }, state, context)
    }
    let (stream, continuation) = AsyncThrowingStream<AnswerSignal, any Error>.makeStream()
    // On the connection's own clock: a `Task.sleep` that is cancelled is kept until its time has come, and ten minutes of requests
    // are many.
    let clock = context.channel.eventLoop
    let deadline = clock.scheduleTask(in: .seconds(Int64(state.settings.limits.answerSeconds))) {
      continuation.finish(
        throwing: APIError(.unavailable, "the answer took longer than this server allows", code: "timeout"))
    }
    let quiet = TimeAmount.seconds(Int64(AnswerSignals.quietSeconds))
    let ticks = clock.scheduleRepeatedTask(initialDelay: quiet, delay: quiet) { _ in continuation.yield(.quiet) }
    let work = Task {
      do {
        try await withThrowingTaskGroup { group in
          for (prompt, stream) in streams.enumerated() {
            group.addTask {
              for try await piece in stream {
                account?.note(piece, prompt: prompt)
                continuation.yield(.piece(prompt: prompt, piece))
              }
            }
          }
          try await group.waitForAll()
        }
        // Streams that are cancelled end as whole ones do.
        try Task.checkCancellation()
        continuation.finish()
      } catch {
        continuation.finish(throwing: error)
      }
      deadline.cancel()
      ticks.cancel()
      account?.close()
    }
    let number = presence?.onGone {
      state.metrics.add(.clientsGone)
      work.cancel()
    }
    continuation.onTermination = { _ in
      if let number { presence?.forget(number) }
      work.cancel()
    }
    self.stream = stream
  }

  func makeAsyncIterator() -> AsyncThrowingStream<AnswerSignal, any Error>.AsyncIterator { stream.makeAsyncIterator() }
}
