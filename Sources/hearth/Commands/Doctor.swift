internal import ArgumentParser
internal import Chat
internal import Engine
internal import Foundation

/// What this machine will do with which model.
struct Doctor: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Say what this machine can run, how fast to expect it, and what is missing.",
    discussion: """
      Looks at the processor, memory, disk and the store, measures for two seconds, and says of each stored model and of usual sizes
      whether they fit, before anything is downloaded. Of a MODEL that is named it also measures the speed.

      Examples:
        hearth doctor
        hearth doctor --context 32768
        hearth doctor smollm2
      """)

  @Argument(help: "A model's name or path.") var model: String?
  @Option(help: "The context that must fit, in tokens (default: 2048).") var context: Int?
  @Option(help: "Threads to compute with (default: as many as this process may use).") var threads: Int?
  @Flag(help: "Print JSON.") var json = false

  func validate() throws {
    if let threads, !(1...1024).contains(threads) {
      throw ValidationError("--threads \(threads): expected 1 to 1024")
    }
    if let context, context < 2 { throw ValidationError("--context \(context): expected at least 2") }
  }

  func run() throws {
    let pool = WorkerPool(threadCount: threads)
    let checkup = try Checkup(model: model, room: Room(contextLength: context), pool: pool)
    var measured: Benchmark.Result?
    if let model, let found = checkup.models.first, found.fits, found.problem == nil {
      let location = try ModelStore().locate(model)
      let opened = try ChatModel.open(path: location.path, name: location.name, pool: pool)
      var benchmark = Benchmark()
      let limit = opened.engine.contextLength
      (benchmark.promptTokens, benchmark.decodeTokens) = ([min(256, limit / 2)], min(64, limit / 2))
      (benchmark.sequences, benchmark.repetitions) = ([1], 3)
      measured = try benchmark.run(opened.engine)
    }
    if json { return try JSONOutput.write(DoctorReport(checkup: checkup, measured: measured)) }
    print(DoctorReport(checkup: checkup, measured: measured).text)
  }
}
