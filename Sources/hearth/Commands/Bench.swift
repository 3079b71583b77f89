internal import ArgumentParser
internal import Chat
internal import Engine
internal import Foundation

/// How fast a model is on this machine, beside what the machine allows.
struct Bench: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measure how fast a model reads prompts and answers, against what this machine could do.",
    discussion: """
      Examples:
        hearth bench smollm2
        hearth bench smollm2 --sequences 1 --context 0,1024,4096
        hearth bench smollm2 --prompt-tokens 128,512,2048 --threads 1 --json
      """)

  @Argument(help: "A model's name or path.") var model: String
  @Option(help: "Tokens of the prompt; several numbers separated by commas.") var promptTokens: Numbers = [512]
  @Option(help: "Tokens that each sequence is given.") var decodeTokens = 128
  @Option(help: "How many sequences are decoded together.") var sequences: Numbers = [1, 4, 16]
  @Option(help: "Positions at which decoding begins: how it slows down as a conversation grows.")
  var context: Numbers = [0]
  @Option(help: "Rounds; the median counts.") var `repeat` = 5
  @Option(help: "Threads to compute with (default: as many as this process may use).") var threads: Int?
  @Option(help: "serving: fast integer kernels; reference: f32 from dequantised weights.")
  var precision: Precision = .serving
  @Option(name: .customLong("kv-type"), help: "What keys and values are kept in: f16, or q8, half of that.")
  var cacheType = CacheType.f16
  @Flag(help: "Load a model even when it seems not to fit into memory.") var ignoreMemory = false
  @Flag(help: "Print JSON.") var json = false
  @Flag(help: "Print nothing but the result.") var quiet = false
  @Flag(help: "Say more about what is being done.") var verbose = false

  func validate() throws {
    try promptTokens.require("--prompt-tokens", 1...1 << 24)
    try sequences.require("--sequences", 1...1024)
    try context.require("--context", 0...1 << 24)
    if decodeTokens < 1 { throw ValidationError("--decode-tokens \(decodeTokens): expected at least 1") }
    if !(1...10_000).contains(`repeat`) { throw ValidationError("--repeat \(`repeat`): expected 1 to 10000") }
    if let threads, !(1...1024).contains(threads) {
      throw ValidationError("--threads \(threads): expected 1 to 1024")
    }
  }

  func run() throws {
    let started = ContinuousClock.now
    let location = try ModelStore().locate(model)
    let facts = try ModelFacts(location)
    let opened = try ChatModel.open(
      path: location.path, name: location.name, precision: precision, pool: WorkerPool(threadCount: threads),
      room: Room(isChecked: !ignoreMemory, cacheType: cacheType))
    let loadSeconds = (ContinuousClock.now - started).seconds
    try requireRoom(opened)
    var benchmark = Benchmark()
    benchmark.promptTokens = promptTokens.values
    benchmark.decodeTokens = decodeTokens
    benchmark.sequences = sequences.values
    benchmark.contexts = context.values
    benchmark.repetitions = `repeat`
    let showsProgress = !quiet && isatty(STDERR_FILENO) == 1
    let result = try benchmark.run(opened.engine) { share in
      guard showsProgress else { return }
      FileHandle.standardError.write(Data(String(format: "\r\u{1B}[Kmeasuring: %.0f %%", 100 * share).utf8))
    }
    if showsProgress { FileHandle.standardError.write(Data("\r\u{1B}[K".utf8)) }
    let report = BenchReport(
      model: opened, format: facts.format, promptTokens: promptTokens.values, loadSeconds: loadSeconds, result)
    if json { try JSONOutput.write(report) } else { print(report.table(decodeTokens: decodeTokens)) }
  }

  /// - Throws: `CommandError` with both numbers when the model's context cannot hold what is asked.
  private func requireRoom(_ opened: ChatModel) throws {
    let limit = opened.engine.contextLength
    if let longest = promptTokens.values.max(), longest >= limit {
      throw CommandError(
        "--prompt-tokens \(longest): \(opened.name) holds at most \(limit) tokens, of which one is the answer's")
    }
    let farthest = (context.values.max() ?? 0) + decodeTokens + 1
    if farthest > limit {
      throw CommandError(
        "--context \(context.values.max() ?? 0) with --decode-tokens \(decodeTokens) reaches \(farthest) tokens: "
          + "\(opened.name) was made for at most \(limit)")
    }
  }
}

/// Whole numbers separated by commas.
struct Numbers: ExpressibleByArgument, ExpressibleByArrayLiteral {
  var values: [Int]

  init(arrayLiteral elements: Int...) { values = elements }

  init?(argument: String) {
    let parts = argument.split(separator: ",", omittingEmptySubsequences: false)
    values = parts.compactMap { Int($0) }
    if values.count != parts.count { return nil }
  }

  var defaultValueDescription: String { values.map(String.init).joined(separator: ",") }

  func require(_ flag: String, _ range: ClosedRange<Int>) throws {
    if let bad = values.first(where: { !range.contains($0) }) {
      throw ValidationError("\(flag) \(bad): expected \(range.lowerBound) to \(range.upperBound)")
    }
  }
}
