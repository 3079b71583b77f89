public import Engine
internal import Foundation
internal import Synchronization

/// Where models are run for many at once: an actor on a thread of its own, which takes calls on and lets go of them between
/// any two steps of the models.
///
/// Everything that is not computing happens elsewhere: prompts are rendered and tokenized by those who call, and a call
/// that cannot be taken on is refused without waiting for a step. An adapter whose base is loaded already shares it, and is
/// computed in one batch with it and with others.
public actor EngineRoom {
  /// How much is done at once.
  public struct Settings: Sendable {
    /// Answers that are computed together.
    public var laneCount = 16
    /// Answers that may wait beside them.
    public var queueLimit = 64
    /// Answers of one key, computed or waiting; nil is all but one in eight.
    public var keyLimit: Int?
    /// How long a step should take at most: how soon a newcomer is noticed and a place is free again.
    public var stepSeconds = 0.08
    /// The longest sequence; nil is the model's.
    public var contextLength: Int?
    /// Memory for keys and values of each loaded base; nil is what `PrefixCache` takes.
    public var cacheBytes: Int?
    /// What keys and values are kept in.
    public var cacheType = CacheType.f16

    /// Told on the thread that reads a model's files, before it does: with the path.
    public var onOpening: @Sendable (String) -> Void = { _ in }

    /// Settings that are right for most machines.
    public init() {}
  }

  /// What goes on, for whoever watches.
  public struct Status: Sendable {
    /// Answers that are computed.
    public internal(set) var running = 0
    /// Answers that wait.
    public internal(set) var waiting = 0
    /// Bytes of keys and values in use, cached prefixes included, and the most there may be.
    public internal(set) var cacheBytes = 0, cacheByteLimit = 0
    /// Passes of the models.
    public internal(set) var passCount = 0
    /// Prompt tokens read, and of these found in the cache.
    public internal(set) var promptTokenCount = 0, cachedTokenCount = 0
    /// Tokens written.
    public internal(set) var completionTokenCount = 0
  }

  public let settings: Settings
  private nonisolated let thread = EngineThread(name: "hearth-engine")
  public nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

  private nonisolated let admission: Mutex<Admission>
  private nonisolated let catalog = Mutex<[String: ServedModel]>([:])
  private nonisolated let shownStatus = Mutex(Status())
  private nonisolated let numbers = Mutex(0)

  /// Loaded bases.
  var stations: [Station] = []
  /// By the number of a served model: where it is and with which adapter.
  var seats: [Int: (station: Station, adapter: Adapter?)] = [:]
  private var calls: [Int: RunningCall] = [:]
  private var isWorking = false
  private var status = Status()
  private var isLoading = false
  private var loads: [CheckedContinuation<Void, Never>] = []

  /// An empty room.
  public init(_ settings: Settings = Settings()) {
    self.settings = settings
    let most = settings.laneCount + settings.queueLimit
    admission = Mutex(
      Admission(
        laneCount: settings.laneCount, queueLimit: settings.queueLimit,
        keyLimit: settings.keyLimit ?? max(1, most - most / 8)))
  }

  // MARK: Asking

  /// The models that can be asked, by name.
  public nonisolated var models: [ServedModel] { catalog.withLock { $0.values.sorted { $0.name < $1.name } } }
  /// The model of a name.
  public nonisolated func model(_ name: String) -> ServedModel? { catalog.withLock { $0[name] } }
  /// What goes on.
  public nonisolated var currentStatus: Status { shownStatus.withLock { $0 } }
  /// Answers that have not ended, waiting ones included.
  public nonisolated var answerCount: Int { admission.withLock { $0.count } }
  /// So many answers one key may have at a time: more in one request never find a place.
  public nonisolated var answerLimit: Int {
    admission.withLock { min($0.keyLimit, $0.laneCount + $0.queueLimit) }
  }

  /// Takes no more calls; those under way go on.
  public nonisolated func close() { admission.withLock { $0.close() } }

  /// Takes a call on. Its pieces come as they are decided; when the stream is dropped, the call ends within a step.
  ///
  /// - Throws: `EngineRoomError` when there is no place. What is wrong with the call itself ends the stream; `ServedModel.check`
  ///   finds it before.
  public nonisolated func answer(_ call: AnswerCall) throws(EngineRoomError) -> AsyncThrowingStream<
    AnswerPiece, any Error
  > {
    let count = max(1, call.count)
    try enter(count, key: call.key)
    let id = nextNumber()
    let (stream, continuation) = AsyncThrowingStream<AnswerPiece, any Error>.makeStream()
    let isGone = Flag()
    continuation.onTermination = { reason in
      guard case .cancelled = reason else { return }
      isGone.set()
      Task { await self.cancel(id) }
    }
    Task { await self.begin(id, call, count, continuation, isGone) }
    return stream
  }

  /// How likely each token of a text is.
  ///
  /// - Parameter listing: How many of the likeliest to list beside each.
  /// - Returns: One a token; nil for the first.
  /// - Throws: `EngineRoomError`, `GenerationError`, `CancellationError`.
  public nonisolated func scores(
    _ model: ServedModel, _ tokens: [Int32], listing: Int, key: String = ""
  ) async throws -> [SampledToken?] {
    try await read(model, [tokens], .scores(listing: listing), key: key) { $0.scores }[0]
  }

  /// The mean of each text's hidden states, `[width]`. The texts take one place together, and their turns one after the other.
  ///
  /// - Throws: As `scores`.
  public nonisolated func embeddings(
    _ model: ServedModel, _ texts: [[Int32]], key: String = ""
  ) async throws -> [[Float]] {
    try await read(model, texts, .mean, key: key) { $0.mean }
  }

  private nonisolated func read<Value: Sendable>(
    _ model: ServedModel, _ texts: [[Int32]], _ purpose: PromptReader.Purpose, key: String,
    _ result: @escaping @Sendable (PromptReader) -> Value
  ) async throws -> [Value] {
    try enter(1, key: key)
    defer { admission.withLock { $0.leave(1, key: key, seconds: nil) } }
    let isCancelled = Flag()
    return try await withTaskCancellationHandler {
      var values: [Value] = []
      for tokens in texts { values.append(try await run(model, tokens, purpose, isCancelled, result)) }
      return values
    } onCancel: {
      isCancelled.set()
    }
  }

  private nonisolated func enter(_ answers: Int, key: String) throws(EngineRoomError) {
    let refusal = admission.withLock { admission -> EngineRoomError? in
      do throws(EngineRoomError) { try admission.enter(answers, key: key) } catch { return error }
      return nil
    }
    if let refusal { throw refusal }
  }

  nonisolated func nextNumber() -> Int {
    numbers.withLock {
      $0 += 1
      return $0
    }
  }

  func publish(_ model: ServedModel) { catalog.withLock { $0[model.name] = model } }
  func withdraw(_ name: String) -> ServedModel? { catalog.withLock { $0.removeValue(forKey: name) } }
}

// MARK: Running

extension EngineRoom {
  private func begin(
    _ id: Int, _ asked: AnswerCall, _ count: Int, _ continuation: RunningCall.Continuation, _ isGone: Flag
  ) {
    let call = RunningCall(asked, count: count, continuation)
    if isGone.isSet { return leave(call) }
    guard let (station, adapter) = seats[call.call.model.number] else {
      call.continuation.finish(throwing: EngineRoomError.modelGone(call.call.model.name))
      return leave(call)
    }
    do {
      try call.begin(station, adapter)
    } catch {
      call.continuation.finish(throwing: error)
      return leave(call)
    }
    calls[id] = call
    for (choice, request) in call.requests.enumerated() { station.places[request] = (id, choice) }
    work()
  }

  /// Lets go of a call whose caller has gone.
  private func cancel(_ id: Int) {
    guard let call = calls.removeValue(forKey: id) else { return }
    release(call)
    show()
  }

  private func leave(_ call: RunningCall) {
    let seconds = call.isAnswered ? (ContinuousClock.now - call.started).seconds : nil
    admission.withLock { $0.leave(call.count, key: call.call.key, seconds: seconds) }
  }

  private func run<Value: Sendable>(
    _ model: ServedModel, _ tokens: [Int32], _ purpose: PromptReader.Purpose, _ isCancelled: Flag,
    _ result: @Sendable (PromptReader) -> Value
  ) async throws -> Value {
    guard let (station, adapter) = seats[model.number] else { throw EngineRoomError.modelGone(model.name) }
    let reader = try PromptReader(station.model.engine, tokens, for: purpose, adapter: adapter)
    while !reader.isDone {
      if isCancelled.isSet { throw CancellationError() }
      let started = ContinuousClock.now
      let count = station.chunkLength
      try reader.advance(by: count)
      station.learn(count, seconds: (ContinuousClock.now - started).seconds, settings.stepSeconds)
      await Task.yield()
    }
    return result(reader)
  }

  /// Sees to it that somebody works as long as there is work.
  private func work() {
    guard !isWorking else { return }
    isWorking = true
    Task { await self.workOn() }
  }

  private func workOn() async {
    while true {
      let busy = stations.filter { !$0.decoder.isIdle }
      if busy.isEmpty { break }
      for station in busy { step(station) }
      show()
      // Newcomers, and those who leave, have their turn.
      await Task.yield()
    }
    isWorking = false
    removeUnused()
    show()
  }

  private func step(_ station: Station) {
    let started = ContinuousClock.now
    do {
      for event in try station.decoder.step() { deliver(event, station) }
    } catch {
      if let request = station.decoder.failedRequest, let place = station.places[request] { fail(place.call, error) }
    }
    station.learn(
      station.decoder.lastPromptTokenCount, seconds: (ContinuousClock.now - started).seconds, settings.stepSeconds)
    station.decoder.chunkLength = station.chunkLength
  }

  private func deliver(_ event: BatchDecoder.Event, _ station: Station) {
    guard let (id, choice) = station.places[event.request], let call = calls[id] else { return }
    status.completionTokenCount += 1
    let isOver = call.take(event, choice)
    guard isOver else { return }
    station.places[event.request] = nil
    if event.finishReason == nil { station.decoder.cancel(event.request) }
    guard call.isAnswered else { return }
    status.promptTokenCount += call.call.prompt.count
    status.cachedTokenCount += event.cachedTokenCount
    call.continuation.finish()
    calls[id] = nil
    leave(call)
  }

  private func fail(_ id: Int, _ error: GenerationError) {
    guard let call = calls.removeValue(forKey: id) else { return }
    call.continuation.finish(throwing: error)
    release(call)
  }

  /// Gives up what a call holds.
  private func release(_ call: RunningCall) {
    for request in call.requests {
      call.station?.places[request] = nil
      call.station?.decoder.cancel(request)
    }
    leave(call)
  }

  /// Waits until no other model is being loaded.
  func beginLoading() async {
    guard isLoading else { return isLoading = true }
    await withCheckedContinuation { loads.append($0) }
  }

  /// Lets the next load begin.
  func endLoading() {
    if loads.isEmpty { isLoading = false } else { loads.removeFirst().resume() }
  }

  func show() {
    status.running = stations.reduce(0) { $0 + $1.decoder.runningCount }
    status.waiting = stations.reduce(0) { $0 + $1.decoder.waitingCount }
    status.cacheBytes = stations.reduce(0) { $0 + $1.model.cache.usedBytes }
    status.cacheByteLimit = stations.reduce(0) { $0 + $1.model.cache.byteLimit }
    status.passCount = stations.reduce(0) { $0 + $1.decoder.passCount }
    shownStatus.withLock { $0 = status }
  }
}
