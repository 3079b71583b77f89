internal import Chat
internal import Synchronization

/// Keeps the figures of one request: for metrics, for its key's daily limit, and for the log.
final class Account: Sendable {
  private struct State {
    var lastPiece: [Int: ContinuousClock.Instant] = [:]
    var pieceCount = 0
    var cached = 0
    var tokens = 0
  }

  private let server: ServerState
  private let model: String
  private let principal: Principal
  private let promptTokenCount: Int
  private let started: ContinuousClock.Instant
  private let state = Mutex(State())

  init(_ model: ServedModel, promptTokenCount: Int, _ server: ServerState, _ context: ServerContext) {
    self.server = server
    self.model = model.name
    principal = context.principal ?? .nobody
    self.promptTokenCount = promptTokenCount
    started = context.started
  }

  /// Takes note of a piece.
  func note(_ piece: AnswerPiece, prompt: Int) {
    let now = ContinuousClock.now
    let place = prompt << 16 | piece.choice
    let last = state.withLock { state in
      defer { state.lastPiece[place] = now }
      state.pieceCount += 1
      if let answer = piece.answer {
        state.tokens += answer.tokens.count
        state.cached += piece.choice == 0 ? answer.cachedTokenCount : 0
        state.pieceCount -= 1
      }
      return state.lastPiece[place]
    }
    if let last {
      server.metrics.observe(.tokenSeconds, (now - last).seconds, ["model": model])
    } else {
      server.metrics.observe(.firstTokenSeconds, (now - started).seconds, ["model": model])
    }
  }

  /// The request is over, however it ended.
  func close() {
    // Of answers that were given up, the pieces that were sent count.
    let (tokens, cached) = state.withLock { (max($0.tokens, $0.pieceCount), $0.cached) }
    let labels: KeyValuePairs = ["model": model, "key": principal.label]
    server.metrics.add(.promptTokens, Double(promptTokenCount), labels)
    server.metrics.add(.completionTokens, Double(tokens), labels)
    if cached > 0 { server.metrics.add(.cachedTokens, Double(cached), ["model": model]) }
    server.access.charge(principal, model: model, promptTokens: promptTokenCount, completionTokens: tokens)
  }
}
