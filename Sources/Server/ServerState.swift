internal import Chat
internal import Hummingbird
internal import Logging
internal import Synchronization

/// What all requests share.
final class ServerState: Sendable {
  let settings: ServerSettings
  let room: EngineRoom
  let storage: Storage
  let access: AccessControl
  let metrics = Metrics()
  let logger: Logger
  /// When the server began, seconds since 1970.
  let started: Int
  /// What trains; nothing until the server runs.
  let jobs = JobsHolder()
  /// What jobs have saved on their way, as models.
  let checkpoints = TunedCheckpoints()
  private let draining = Atomic(false)

  init(
    _ settings: ServerSettings, storage: Storage, room: EngineRoom, logger: Logger, started: Int,
    signingKeys: SigningKeys? = nil
  ) {
    self.settings = settings
    self.storage = storage
    self.room = room
    self.logger = logger
    self.started = started
    access = AccessControl(storage, settings, signingKeys: signingKeys)
  }

  /// Whether the server is ending, and takes nothing on any more.
  var isDraining: Bool { draining.load(ordering: .acquiring) }

  /// Takes nothing on from now on; what is under way goes on.
  func drain() {
    draining.store(true, ordering: .releasing)
    room.close()
  }

  /// Whether a request may be computed now.
  ///
  /// - Throws: `APIError` when its key has used its tokens of today.
  func admit(_ context: ServerContext) throws {
    guard let principal = context.principal else { return }
    try access.requireTokens(principal)
  }

  /// Logs what was not the client's fault, and its owner has to see to.
  func note(_ error: any Error, _ context: ServerContext) {
    let apiError = APIError(error)
    if apiError.kind == .internalError || apiError.kind == .diskFull {
      logger.error("request failed", metadata: ["request.id": "\(context.requestID)", "error": "\(error)"])
    }
  }
}

/// The jobs of a server, which know the server themselves.
final class JobsHolder: Sendable {
  private let jobs = Mutex<TrainingJobs?>(nil)

  /// nil before the server runs and after.
  var current: TrainingJobs? {
    get { jobs.withLock { $0 } }
    set { jobs.withLock { $0 = newValue } }
  }
}
