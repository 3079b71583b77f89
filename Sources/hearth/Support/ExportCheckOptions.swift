internal import ArgumentParser
internal import Chat

/// How a merged model is compared with what it was made of, before it counts.
struct ExportCheckOptions: ParsableArguments {
  @Option(parsing: .upToNextOption, help: "JSONL files of held-out examples to check by.") var data: [String] = []
  @Flag(help: "Write a merged model even if it lost what was learned.") var allowLoss = false
  @Flag(inversion: .prefixedNo, help: "Measure what a merged model kept of what was learned.") var check = true

  func validate() throws {
    if !check, allowLoss || !data.isEmpty {
      throw ValidationError("--no-check: measures nothing: drop it, or \(allowLoss ? "--allow-loss" : "--data")")
    }
  }

  /// The flag that was given and asks for a check; nil when none was.
  var given: String? { allowLoss ? "--allow-loss" : data.isEmpty ? nil : "--data" }

  /// What is to be measured: of a run always, of another model when there is data for it.
  func request(_ location: ModelStore.Location, _ options: ModelOptions) throws -> ExportCheck.Request? {
    guard check, try !data.isEmpty || TunedModel(ifRunFolder: location.path) != nil else { return nil }
    for file in data { try Places.requireReadable(file, "--data") }
    var request = ExportCheck.Request()
    (request.data, request.allowsLoss) = (data, allowLoss)
    if let precision = options.chosenPrecision { request.precision = precision }
    return request
  }
}
