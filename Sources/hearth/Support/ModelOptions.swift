public import ArgumentParser
internal import Chat
public import Engine

/// The options of every command that runs a model.
struct ModelOptions: ParsableArguments {
  @Option(parsing: .unconditional, help: "Threads to compute with (default: as many as this process may use).")
  var threads: Int?

  @Option(
    name: .customLong("precision"),
    help: "serving: fast integer kernels; reference: f32 from dequantised weights (default: serving).")
  var chosenPrecision: Precision?

  /// What was chosen, or what is fastest.
  var precision: Precision { chosenPrecision ?? .serving }

  @Option(name: .customLong("kv-type"), help: "What keys and values are kept in: f16, or q8, half of that.")
  var cacheType = CacheType.f16

  @Option(parsing: .unconditional, help: "The longest sequence, in tokens (default: the model's).")
  var context: Int?

  @Flag(help: "Load a model even when it seems not to fit into memory.")
  var ignoreMemory = false

  @Flag(help: "Print nothing but the result.")
  var quiet = false

  @Flag(help: "Say more about what is being done.")
  var verbose = false

  func validate() throws {
    if let threads, threads < 1 || threads > 1024 {
      throw ValidationError("--threads \(threads): expected 1 to 1024")
    }
    if let context, context < 2 { throw ValidationError("--context \(context): expected at least 2") }
  }

  /// Loads a model by name or path.
  func open(_ model: String) throws -> ChatModel {
    try open(at: ModelStore().locate(model))
  }

  /// Loads a model from where it lies.
  func open(at location: ModelStore.Location) throws -> ChatModel {
    try ChatModel.open(
      path: location.path, name: location.name, precision: precision, pool: WorkerPool(threadCount: threads),
      room: Room(contextLength: context, isChecked: !ignoreMemory, cacheType: cacheType))
  }
}

extension Precision: ExpressibleByArgument {
  /// One of those a model can be loaded in.
  public init?(argument: String) {
    guard let precision = Precision(rawValue: argument), Precision.allCases.contains(precision) else { return nil }
    self = precision
  }
}
extension CacheType: ExpressibleByArgument {}

/// A failure to report as it is.
struct CommandError: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}
