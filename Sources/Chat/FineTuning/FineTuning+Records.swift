internal import Engine
internal import Foundation

// What a run leaves in its folder.
extension FineTuning {
  /// The recipe and the record that makes the folder a model.
  func writeRecords() throws {
    try AtomicFile.write(try recipe.yaml(), to: folder.file(RunFolder.recipeName))
    let record = TunedModel(
      base: URL(filePath: basePath).standardizedFileURL.path, baseName: base.name,
      method: recipe.method.rawValue, fingerprint: base.fingerprint, weights: baseWeights)
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    try AtomicFile.write(Array(try encoder.encode(record)), to: folder.file(TunedModel.recordName))
  }

  func save() throws {
    let (trainer, base, baseWeights) = (trainer, base, baseWeights)
    try folder.save(progress, keep: recipe.keep, isScheduled: isScheduled) { draft in
      if let adapter = trainer.adapter {
        try PEFTAdapter.write(
          adapter, of: base.engine, to: draft, baseName: base.name, metadata: [BaseCheck.metadataKey: baseWeights])
      } else {
        try base.engine.writeParameters(to: draft)
      }
      try trainer.writeState(to: draft + "/" + RunFolder.momentsName)
    }
  }

  var tensorBoardSettings: [(name: String, value: TensorBoardEvent.SettingValue)] {
    [
      ("model", .text(base.name)), ("method", .text(recipe.method.rawValue)),
      ("objective", .text(recipe.objective.rawValue)), ("beta", .number(recipe.beta)),
      ("learning_rate", .number(recipe.learningRate)), ("schedule", .text(recipe.schedule.rawValue)),
      ("rank", .number(Double(recipe.rank))), ("alpha", .number(Double(recipe.alpha))),
      ("rslora", .text("\(recipe.rslora)")), ("dora", .text("\(recipe.dora)")),
      ("dropout", .number(Double(recipe.dropout))), ("batch_size", .number(Double(recipe.batchSize))),
      ("gradient_accumulation", .number(Double(recipe.gradientAccumulation))),
      ("epochs", .number(Double(recipe.epochs))), ("weight_decay", .number(Double(recipe.weightDecay))),
      ("seed", .number(Double(recipe.seed))),
    ]
  }

  /// Measures what the run's model, its best checkpoint, forgot; nil unless the base was measured.
  func measureForgetting() throws -> FineTuningEvent.Probe? {
    guard let baseScore = progress.baseProbe,
      let checkpoint = try TunedModel(ifRunFolder: folder.path)?.checkpointPath
    else { return nil }
    // The steps' activations would stand beside all that is read and measured now.
    base.engine.trimWorkspace()
    let model: ChatModel
    if recipe.method == .lora {
      model = base.with(adapter: try PEFTAdapter.read(checkpoint, for: base.engine))
    } else {
      try base.engine.readParameters(from: checkpoint)
      model = base.with(adapter: nil)
    }
    let probe = FineTuningEvent.Probe(
      base: baseScore, tuned: GeneralProbe().measure(model, precision: recipe.trainedPrecision))
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
    try AtomicFile.write(Array(try encoder.encode(probe)), to: folder.file(RunFolder.probeName))
    return probe
  }
}
