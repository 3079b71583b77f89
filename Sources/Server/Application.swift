internal import Chat
internal import Foundation
internal import Hummingbird
internal import HummingbirdCore
internal import HummingbirdTLS
internal import Logging
internal import NIOCore
internal import NIOPosix
internal import ServiceLifecycle
internal import UnixSignals

/// The server: models, routes and what guards them, from start to the last answer.
public struct HearthServer: Sendable {
  /// What a server says once it listens.
  public struct Listening: Sendable {
    /// The port, also where any was asked for.
    public let port: Int
    /// `http://127.0.0.1:4327`.
    public let address: String
    /// Whether requests need a key.
    public let needsKey: Bool
  }

  /// How long the end waits for who reads the log.
  static let flushSeconds = 2.0
  /// What clients are told.
  static let version = "0.1.0"

  private let settings: ServerSettings
  private let storage: Storage
  private let lock: HomeLock
  private let signingKeys: SigningKeys?
  private let logsJSON: Bool
  private let isQuiet: Bool

  /// A server that has not started.
  ///
  /// - Parameters:
  ///   - logsJSON: One JSON object a line on stderr; else lines for people.
  ///   - isQuiet: Whether only what goes wrong is logged.
  /// - Throws: `ServerError` when what the settings ask for is not safe, or the storage cannot be opened.
  public init(_ settings: ServerSettings, logsJSON: Bool = false, isQuiet: Bool = false) throws(ServerError) {
    self.settings = settings
    lock = try HomeLock(settings.store.home, .together)
    storage = try Storage(settings.store)
    try storage.unlock(settings.storageKey)
    try HearthServer.requireSafety(settings, storage)
    signingKeys = try settings.openID.map { settings throws(ServerError) in try SigningKeys(settings) }
    self.logsJSON = logsJSON
    self.isQuiet = isQuiet
    JSONLog.reportDropped(isJSON: logsJSON)
  }

  /// Loads models, listens, and answers until the process is told to end (SIGTERM, SIGINT), then lets answers under way finish.
  ///
  /// - Parameters:
  ///   - models: Names or paths, in the order of their loading; bases before their adapters save memory.
  ///   - onListening: Called once requests are taken.
  public func run(_ models: [String], onListening: @escaping @Sendable (Listening) -> Void = { _ in }) async throws {
    let logger = logger("hearth", isQuiet ? .warning : .info)
    var engine = settings.engine
    engine.onOpening = { [onOpening = engine.onOpening] path in
      logger.info("loading", metadata: ["model.path": "\(path)"])
      onOpening(path)
    }
    let room = EngineRoom(engine)
    for name in models {
      let location = try settings.store.locate(name)
      try await room.load(
        location, precision: settings.precision, threads: settings.threads, isChecked: settings.checksMemory)
    }
    if settings.auditsContents {
      logger.info(
        "the audit log keeps what is asked and answered",
        metadata: ["encrypted": .stringConvertible(settings.storageKey != nil)])
    }
    let state = ServerState(
      settings, storage: storage, room: room, logger: logger, started: Clock.seconds, signingKeys: signingKeys)
    state.jobs.current = TrainingJobs(state)
    // They know each other; parted, both are let go of.
    defer { state.jobs.current = nil }
    defer { LineQueue.standardError.flush(seconds: HearthServer.flushSeconds) }
    let application = try application(state, onListening)
    // Ended from the last to the first: nothing new is taken on, then answers under way finish, then it is all written down.
    var configuration = ServiceGroupConfiguration(
      services: [
        .init(service: Bookkeeping(state: state)), .init(service: application), .init(service: Reception(state: state)),
      ], gracefulShutdownSignals: [.sigterm, .sigint], logger: inner("hearth.lifecycle"))
    configuration.maximumGracefulShutdownDuration = .seconds(settings.drainSeconds)
    do { try await ServiceGroup(configuration: configuration).run() } catch let error as IOError {
      throw described(error)
    }
  }

  /// What keeps a server from listening, as whoever started it can mend it.
  private func described(_ error: IOError) -> any Error {
    let place = "--host \(settings.host) --port \(settings.port)"
    switch error.errnoCode {
    case EADDRINUSE: return ServerError("\(place): something listens there already: end it, or give another --port")
    case EACCES: return ServerError("\(place): this user may not listen there: give a --port of 1024 or more")
    case EADDRNOTAVAIL: return ServerError("\(place): this machine does not have that address")
    default: return error
    }
  }

  /// Says on stderr why the server ended, behind what it has logged, without waiting long for somebody to read it.
  ///
  /// - Parameter asJSON: Whether as one more line of a log of JSON objects.
  public static func sayLast(_ text: String, asJSON: Bool) {
    LineQueue.standardError.put(
      asJSON ? JSONLog.line(.critical, text, "hearth", [:], isJSON: true) : "hearth: \(text)\n")
    LineQueue.standardError.flush(seconds: flushSeconds)
  }

  /// nil when nothing is encrypted.
  private func certificates(_ logger: Logger) throws(ServerError) -> Certificates? {
    switch settings.encryption {
    case .none: nil
    case .selfSigned: try Certificates.selfSigned(settings, logger)
    case .files(let certificate, let key): try Certificates(certificate: certificate, key: key, logger)
    }
  }

  /// A logger for libraries: what they say is of interest when it is a warning.
  private func inner(_ label: String) -> Logger { logger(label, isQuiet ? .critical : .warning) }

  private func logger(_ label: String, _ level: Logger.Level) -> Logger {
    Logger(label: label) { JSONLog(logLevel: level, label: $0, isJSON: logsJSON) }
  }

  /// Routes and guards, bound to an address.
  private func application(
    _ state: ServerState, _ onListening: @escaping @Sendable (Listening) -> Void
  ) throws -> some ApplicationProtocol {
    let router = HearthServer.routes(state).router([
      RequestLog(state: state), OriginGuard(settings: settings), Gatekeeper(state: state),
    ])
    let (limits, settings) = (settings.limits, settings)
    let http = HTTP1Channel.Configuration(
      additionalChannelHandlers: [TargetNames(), LastRequests(), ConnectionWatch(), BrokenRequests()],
      idleTimeout: .seconds(Int64(limits.idleSeconds)),
      httpDecoderConfiguration: .init(
        maxHeaderFieldSize: limits.headerBytes, maxHeaderListSize: limits.headerListBytes,
        maxHeaderFieldCount: limits.headerCount))
    let needsKey = try !state.access.isOpen()
    let certificates = try certificates(state.logger)
    if let certificates { state.logger.info("encrypting", metadata: ["certificate": "\(certificates.description)"]) }
    let plain = HTTPServerBuilder.http1(configuration: http)
    return Application(
      router: router,
      server: try certificates.map { try .tls(plain, tlsConfiguration: $0.configuration) } ?? plain,
      configuration: .init(
        address: .hostname(settings.host, port: settings.port),
        availableConnectionsDelegate: .maximum(limits.connections, logger: state.logger)),
      onServerRunning: { [logsJSON] channel in
        let port = channel.localAddress?.port ?? settings.port
        let host = settings.host.contains(":") ? "[\(settings.host)]" : settings.host
        let scheme = settings.encryption == .none ? "http" : "https"
        let listening = Listening(port: port, address: "\(scheme)://\(host):\(port)", needsKey: needsKey)
        if logsJSON {
          let needsKey = Logger.MetadataValue.stringConvertible(needsKey)
          state.logger.info("listening", metadata: ["address": "\(listening.address)", "needs_key": needsKey])
        }
        onListening(listening)
      }, logger: inner("hearth.http"))
  }

  /// Every route there is.
  static func routes(_ state: ServerState) -> RouteTable {
    var table = RouteTable()
    table.addHealth(state)
    table.addModels(state)
    table.addChatCompletions(state)
    table.addStoredCompletions(state)
    table.addFeedback(state)
    table.addCompletions(state)
    table.addTokens(state)
    table.addEmbeddings(state)
    table.addResponses(state)
    table.addMessages(state)
    table.addOllamaAnswers(state)
    table.addOllamaModels(state)
    table.addLoading(state)
    table.addFiles(state)
    table.addFineTuning(state)
    return table
  }

  /// An address that others reach is served with keys and encryption, or not at all.
  private static func requireSafety(_ settings: ServerSettings, _ storage: Storage) throws(ServerError) {
    guard !settings.isLoopback, !settings.allowsExposure else { return }
    let hasKeys = try storage.hasKeys()
    guard hasKeys || settings.openID != nil else {
      throw ServerError(
        "--host \(settings.host): others can reach this address, and there is no key yet: make one with hearth key create "
          + "--name NAME --scope chat, or say --insecure to let everybody in")
    }
    guard settings.encryption != .none else {
      throw ServerError(
        "--host \(settings.host): others can reach this address, and keys and conversations would cross the network as plain "
          + "text: give --tls self-signed or --tls-certificate and --tls-key, or say --insecure where a proxy encrypts")
    }
  }
}

/// Writes down what was used and done.
private struct Bookkeeping: Service {
  let state: ServerState

  func run() async throws {
    await state.jobs.current?.resume()
    while !Task.isShuttingDownGracefully, !Task.isCancelled {
      try? await cancelWhenGracefulShutdown { try await Task.sleep(for: .seconds(1)) }
      flush()
      renewSigningKeys()
    }
    await state.jobs.current?.suspend()
    flush(isLast: true)
  }

  /// Beside everything else: an issuer that does not answer holds nothing up.
  private func renewSigningKeys() {
    guard let keys = state.access.signingKeys, keys.isDue else { return }
    Task {
      await keys.renew()
      if let failure = keys.failure {
        state.logger.warning("the issuer's keys cannot be renewed", metadata: ["error": "\(failure)"])
      }
    }
  }

  private func flush(isLast: Bool = false) {
    do { try state.access.flush(isLast: isLast) } catch {
      state.logger.error("usage and audit log cannot be written", metadata: ["error": "\(error)"])
    }
  }
}

/// Stands at the door until the last answer has ended: those who still come are told so, and when to try again.
private struct Reception: Service {
  let state: ServerState

  func run() async throws {
    try await gracefulShutdown()
    state.drain()
    state.logger.info("ending", metadata: ["answers": .stringConvertible(state.room.answerCount)])
    // A little less than all may take, so that the rest of the end has its time too.
    let deadline = ContinuousClock.now + .seconds(Double(state.settings.drainSeconds) * 0.9)
    while state.room.answerCount > 0, ContinuousClock.now < deadline { try await Task.sleep(for: .milliseconds(20)) }
  }
}
