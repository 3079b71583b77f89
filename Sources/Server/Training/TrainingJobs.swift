internal import Chat
internal import Foundation
internal import Glibc
internal import Logging

/// Runs fine-tuning jobs, one at a time, each as a process of its own: `hearth finetune`.
///
/// So training yields to requests (it is given the lowest priority), cannot take the server with it, and is stopped as a
/// person would stop it: with a checkpoint, from which it goes on when the server comes back.
actor TrainingJobs {
  private let state: ServerState
  private var running: (job: JobRecord, process: Process)?
  private var cancelled: Set<String> = []
  /// Those who wait for the process that runs to end.
  private var endings: [CheckedContinuation<Void, Never>] = []

  init(_ state: ServerState) { self.state = state }

  /// So many of the latest tuned models are loaded again when a server starts.
  private static let returning = 64

  /// Goes on with what an earlier server has left: loads what was tuned on the models that are here, and trains on.
  func resume() async {
    startNext()
    do {
      let paths = Set(state.room.models.map(\.facts.path))
      let done = try state.storage.jobs(of: nil).filter { $0.status == .succeeded && paths.contains($0.modelPath) }
      for job in done.prefix(TrainingJobs.returning)
      where try state.room.model(job.tunedName) == nil && state.settings.store.manifest(of: job.tunedName) != nil {
        do { try await load(job) } catch {
          state.logger.warning("a tuned model is not loaded", metadata: ["job": "\(job.id)", "error": "\(error)"])
        }
      }
    } catch {
      state.logger.error("the jobs cannot be read", metadata: ["error": "\(error)"])
    }
  }

  /// Queues a job.
  func add(_ job: JobRecord) throws {
    try state.storage.add(job)
    startNext()
  }

  /// Ends a job; what it has learned so far stays in its run folder.
  func cancel(_ job: JobRecord) throws -> JobRecord {
    guard !job.isOver else { return job }
    let process = running?.job.id == job.id ? running?.process : nil
    var job = process == nil ? job : running?.job ?? job
    job.status = .cancelled
    job.finished = Clock.seconds
    // First of all it is written down, or else it goes on: one that was stopped and counts as running would begin again.
    try state.storage.update(job, event: "cancelled")
    cancelled.insert(job.id)
    process?.interrupt()
    return job
  }

  /// Stops for now; jobs stay as they are and go on later.
  func suspend() async {
    guard let process = running?.process else { return }
    process.interrupt()
    // Not `waitUntilExit`, which keeps a processor busy that the process needs to come to its end.
    await withCheckedContinuation { endings.append($0) }
  }

  /// Where a job's run lies.
  nonisolated func folder(_ id: String) -> String { state.settings.store.home.appending(path: "runs/\(id)").path }

  private func startNext() {
    guard running == nil, !state.isDraining else { return }
    do {
      let waiting = try state.storage.jobs(of: nil).filter { !$0.isOver }.sorted { $0.created < $1.created }
      // One that was running when a server ended comes first.
      guard var job = waiting.first(where: { $0.status == .running }) ?? waiting.first else { return }
      // A server that was killed leaves its run behind, which stops with a checkpoint at the next line that nobody reads.
      guard !FineTuning.isRunning(in: folder(job.id)) else { return startLater() }
      job.status = .running
      try state.storage.update(job)
      running = (job, try start(job))
    } catch let error as ServerError where error.fullDisk != nil {
      state.logger.error("fine-tuning waits for room", metadata: ["error": "\(error)"])
      startLater(seconds: TrainingJobs.fullDiskSeconds)
    } catch {
      state.logger.error("a fine-tuning job cannot be started", metadata: ["error": "\(error)"])
    }
  }

  /// How often jobs try to go on when there was no room to write down how they fare.
  private static let fullDiskSeconds = 30

  private func startLater(seconds: Int = 1) {
    Task {
      try? await Task.sleep(for: .seconds(seconds))
      startNext()
    }
  }

  private func start(_ job: JobRecord) throws -> Process {
    let files = UploadedFiles(state)
    let folder = folder(job.id)
    var arguments = ["finetune", "--output", folder, "--name", job.tunedName, "--json", "--end-with-reader"]
    if FileManager.default.fileExists(atPath: folder + "/recipe.yaml") {
      arguments.append("--resume")
    } else {
      // By its name if it has one: that is what its lineage tells.
      let isNamed = try state.settings.store.manifest(of: job.model)?.path == job.modelPath
      arguments += ["--model", isNamed ? job.model : job.modelPath]
      arguments += ["--data", files.path(job.trainingFile), "--seed", String(job.seed)]
      if let file = job.validationFile { arguments += ["--validation", files.path(file)] }
      if let epochs = job.epochs { arguments += ["--epochs", String(epochs)] }
      if let size = job.batchSize { arguments += ["--batch-size", String(size)] }
      if let factor = job.learningRateMultiplier {
        arguments += ["--learning-rate", String(FineTuningRecipe().learningRate * factor)]
      }
    }
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/nice")
    process.arguments =
      ["-n", "19", try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")] + arguments
    process.environment = ProcessInfo.processInfo.environment.merging(
      ["HEARTH_HOME": state.settings.store.home.path]) { $1 }
    let (output, errors) = (Pipe(), Pipe())
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = output
    process.standardError = errors
    let end = DispatchSemaphore(value: 0)
    process.terminationHandler = { _ in end.signal() }
    try process.run()
    let id = job.id
    let (saying, complaints) = (output.fileHandleForReading, errors.fileHandleForReading)
    let (lines, said) = AsyncStream<[UInt8]>.makeStream()
    let (ends, ended) = AsyncStream<(status: Int32, errors: String)>.makeStream()
    Thread {
      var rest: [UInt8] = []
      while let piece = TrainingJobs.read(saying) {
        rest += piece
        while let end = rest.firstIndex(of: 0x0A) {
          said.yield(Array(rest[..<end]))
          rest.removeSubrange(...end)
        }
      }
      said.finish()
    }.start()
    Thread {
      let text = String(decoding: (try? complaints.readToEnd()) ?? Data(), as: UTF8.self)
      end.wait()
      ended.yield((process.terminationStatus, text))
      ended.finish()
    }.start()
    Task {
      // What it says is heard in order, and to the end before its end is noticed.
      for await line in lines { hear(line, of: id) }
      for await (status, errors) in ends { await finish(id, status: status, errors: errors) }
    }
    return process
  }

  /// What there is to read, at least one byte; nil at the end. `FileHandle.read(upToCount:)` waits for all it was asked for: steps
  /// would be told minutes after they were taken.
  private static func read(_ handle: FileHandle) -> [UInt8]? {
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = Glibc.read(handle.fileDescriptor, &buffer, buffer.count)
      if count > 0 { return Array(buffer.prefix(count)) }
      guard count < 0, errno == EINTR else { return nil }
    }
  }

  /// Takes a line of the run's events.
  private func hear(_ line: [UInt8], of id: String) {
    guard let event = try? JSON(parsing: line), let kind = event["event"]?.text else { return }
    do {
      switch kind {
      case "step":
        let tokens = event["supervised_tokens"]?.numberText.flatMap { Int($0) } ?? 0
        if running?.job.id == id { running?.job.trainedTokens += tokens }
        try state.storage.add(
          event: "step \(event["step"]?.numberText ?? ""): loss \(event["loss"]?.numberText ?? "")", data: event, to: id
        )
      case "evaluation":
        try state.storage.add(event: "validation loss \(event["loss"]?.numberText ?? "")", data: event, to: id)
      default: break
      }
    } catch {
      state.logger.error("an event of a job is lost", metadata: ["error": "\(error)"])
    }
  }

  private func finish(_ id: String, status: Int32, errors: String) async {
    guard var job = running?.job, job.id == id else { return }
    running = nil
    defer {
      for ending in endings { ending.resume() }
      endings = []
    }
    let isCancelled = cancelled.remove(id) != nil
    // The server ends: the job is still running as far as its owner is concerned.
    if state.isDraining, !isCancelled { return }
    job.finished = Clock.seconds
    do {
      if isCancelled {
        job.status = .cancelled
        try state.storage.update(job)
      } else if status == 0 {
        try await load(job)
        if cancelled.remove(id) != nil {
          // While it was loaded, somebody cancelled it and was told that it is: so it is.
          await state.room.unload(job.tunedName)
          return startNext()
        }
        job.status = .succeeded
        try state.storage.update(job, event: "succeeded; the model is \(job.tunedName)")
      } else {
        job.status = .failed
        // Where things lie on this machine is nobody's business.
        job.error =
          errors.split(separator: "\n").last { $0.hasPrefix("hearth: ") }
          .map { String($0.dropFirst(8)).replacing(state.settings.store.home.path + "/", with: "") }
          ?? "status \(status)"
        try state.storage.update(job, event: job.error ?? "failed", level: "error")
      }
    } catch let error as ServerError where error.fullDisk != nil {
      // It counts as running, and is looked at again; its run folder knows how far it has come.
      state.logger.error("how a fine-tuning job ended cannot be kept", metadata: ["job": "\(id)", "error": "\(error)"])
      return startLater(seconds: TrainingJobs.fullDiskSeconds)
    } catch {
      job.status = .failed
      job.error = "\(error)"
      try? state.storage.update(job)
      state.logger.error("a fine-tuning job did not end well", metadata: ["job": "\(id)", "error": "\(error)"])
    }
    startNext()
  }

  /// The tuned model can be asked as soon as its job has succeeded.
  private func load(_ job: JobRecord) async throws {
    try await state.room.load(
      try state.settings.store.locate(job.tunedName), precision: state.settings.precision,
      threads: state.settings.threads,
      isChecked: state.settings.checksMemory)
  }
}

extension JSONElement {
  /// A number as it was written.
  var numberText: String? {
    if case .number(let text) = self { return text }
    return nil
  }
}
