public import Engine
internal import Foundation
internal import Tokenizers

/// A fine-tuning run: from a recipe to a folder with the best and the latest checkpoint.
///
/// Given recipe, data and base, everything written is the same to the bit, whether the run went through at once or was killed
/// and resumed any number of times, under any number of threads.
public final class FineTuning {
  /// Every decision of the run.
  public let recipe: FineTuningRecipe
  let folder: RunFolder
  private let lock: FileLock
  let base: ChatModel
  let basePath: String
  /// Fingerprint of the base's weights.
  let baseWeights: String
  private let logFolder: String?
  let data: TrainingData
  let plan: TrainingPlan
  private let checkpoints: CheckpointSchedule
  let trainer: Trainer
  let schedule: LearningRateSchedule
  var progress = RunFolder.Progress()
  /// What the model gave both answers of each pair before the run; nil unless preferences are learned.
  private(set) var references: PreferenceReferences?
  /// Who else works on this run; this process is the first of them.
  let group: (any TrainingGroup)?
  private let resumes: Bool
  /// Whether a process has worked in the folder before.
  private let isLater: Bool
  /// Asked before each step; true ends the run with a checkpoint.
  public var isInterrupted: () -> Bool = { false }

  /// Prepares a run.
  ///
  /// - Parameters:
  ///   - recipe: Complete; when resuming, that of the run folder.
  ///   - base: The model to train on, with the adapter to continue from, if any.
  ///   - basePath: Where it lies.
  ///   - output: The run folder.
  ///   - resume: Whether to go on with the run in `output`; a run that has no checkpoint yet begins anew.
  ///   - logFolder: For TensorBoard; when nil, where the run has had it so far, which is its own folder to begin with.
  ///   - group: Whose first member this process is; the others run a `FineTuningMember`.
  /// - Throws: `RunError`, `DatasetError`, `AdapterError`, `CheckpointError`, and what the group throws.
  public init(
    _ recipe: FineTuningRecipe, base: ChatModel, basePath: String, output: String, resume: Bool = false,
    logFolder: String? = nil, group: (any TrainingGroup)? = nil
  ) throws {
    try recipe.validate()
    var recipe = recipe.pinningDate(for: base).namingPrecision(for: base)
    self.group = group
    _ = try group?.share(Array(recipe.yaml().utf8))
    let base = base.rendering(on: recipe.renderingDate)
    self.base = base
    self.basePath = basePath
    folder = RunFolder(output)
    baseWeights = try base.weightsFingerprint()
    if resume {
      try FineTuning.requireSameBase(base, basePath, of: output)
      if recipe.adapter != nil, recipe.targets.isEmpty {
        // Unsaid, they are those of the adapter that the run began with.
        recipe.targets = try folder.newest()?.progress.decisions?.targets ?? []
      }
    } else {
      try FineTuning.requireNoAdapter(basePath, name: base.name)
    }
    if !resume, let adapter = recipe.adapter {
      try FineTuning.requireAdapterFolder(adapter)
      let recorded = try PEFTAdapter.metadata(adapter)[BaseCheck.metadataKey]
      try BaseCheck.require(recorded, in: base, learned: adapter, trainedOn: nil, path: basePath)
      recipe.take(try PEFTAdapter.read(adapter, for: base.engine).settings)
    }
    data = try TrainingData(recipe, for: base)
    plan = data.plan(recipe)
    checkpoints = CheckpointSchedule(recipe, plan, isEvaluated: !data.validation.isEmpty)
    if !data.validation.isEmpty { recipe.evaluateEvery = checkpoints.evaluateEvery }
    self.recipe = recipe
    schedule = LearningRateSchedule(recipe, stepCount: plan.stepCount)
    try group?.requireSame(baseWeights + " " + data.hash)

    if !resume { try folder.create() }
    lock = try folder.lock()
    folder.removeDrafts()
    if logFolder != nil || !resume { try folder.remember(logFolder: logFolder) }
    self.logFolder = folder.logFolder
    isLater = resume
    let checkpoint = resume ? try folder.newest() : nil
    resumes = checkpoint != nil
    trainer = try FineTuning.makeTrainer(recipe, base.engine, checkpoint: checkpoint?.folder, group: group)
    if let checkpoint {
      guard checkpoint.progress.dataHash == data.hash else {
        throw RunError(
          "\(output): the data is not what this run was trained on so far: put the files back as they were, "
            + "or start a new run")
      }
      let changed = try checkpoint.progress.decisions.map { try recipe.keys(decidedOtherwiseThan: $0) } ?? []
      guard changed.isEmpty else {
        throw RunError(
          "\(output)/\(RunFolder.recipeName): \(changed.joined(separator: ", ")): is not what this run has been trained with so far: "
            + "put it back, or start a new run\(recipe.method == .lora ? " from this one's result: --adapter \(output)/latest" : "")"
        )
      }
      progress = checkpoint.progress
      try trainer.readState(from: checkpoint.folder + "/" + RunFolder.momentsName)
    } else {
      (progress.dataHash, progress.decisions) = (data.hash, recipe.decisions)
      try writeRecords()
    }
    try trainer.agree()
  }

  /// - Throws: `RunError` when the run was begun on another base, or on one with another tokenizer or template.
  private static func requireSameBase(_ base: ChatModel, _ path: String, of output: String) throws {
    // A run that was killed before it wrote its record has nothing that could differ.
    guard let record = try TunedModel(ifRunFolder: output) else { return }
    let path = URL(filePath: path).standardizedFileURL.path
    guard record.base == path else {
      throw RunError(
        "\(output): was begun on \(record.base), but \(base.name) is now \(path): put the base back, or start a new run"
      )
    }
    try record.requireBase(base)
  }

  /// - Throws: `RunError` when what lies at `path` is an adapter beside its base: a run would begin without it, on the base as it was.
  public static func requireNoAdapter(_ path: String, name: String) throws {
    guard let record = try TunedModel(ifRunFolder: path), record.isAdapter else { return }
    throw RunError(
      "\(name): is an adapter on \(record.baseName), which training would leave out: continue from it with --model \(record.baseName) "
        + "--adapter \(record.checkpointPath ?? path + "/best"), or merge it with hearth export and train that")
  }

  /// - Throws: `RunError` when `path` is where a run lies, and not where its adapter does.
  public static func requireAdapterFolder(_ path: String) throws {
    guard let record = try TunedModel(ifRunFolder: path) else { return }
    guard record.isAdapter else {
      throw RunError(
        "\(path): is a run that trained every weight, so it has no adapter: continue from it with --model \(path), without --adapter"
      )
    }
    guard let checkpoint = record.checkpointPath else {
      throw RunError("\(path): the run has not written a checkpoint yet: continue it with --output \(path) --resume")
    }
    throw RunError(
      "\(path): is a run folder, expected a folder with an adapter, such as its best checkpoint: --adapter \(checkpoint)"
    )
  }

  static func makeTrainer(
    _ recipe: FineTuningRecipe, _ engine: LanguageModel, checkpoint: String?, group: (any TrainingGroup)? = nil
  ) throws -> Trainer {
    let settings = Trainer.Settings(
      weightDecay: recipe.weightDecay, maximumGradientNorm: recipe.maxGradientNorm, seed: recipe.seed,
      precision: recipe.trainedPrecision)
    guard recipe.method == .lora else {
      if let checkpoint { try engine.readParameters(from: checkpoint) }
      return Trainer(engine, adapter: nil, settings: settings, group: group)
    }
    let adapter: Adapter
    if let path = checkpoint ?? recipe.adapter {
      adapter = try PEFTAdapter.read(path, for: engine)
    } else {
      adapter = try engine.makeAdapter(
        Adapter.Settings(
          rank: recipe.rank, alpha: recipe.alpha, dropout: recipe.dropout, targets: recipe.targets,
          isRankStabilised: recipe.rslora, isWeightDecomposed: recipe.dora),
        seed: recipe.seed)
    }
    return Trainer(engine, adapter: adapter, settings: settings, group: group)
  }

  /// The model as it is now.
  var tuned: ChatModel { base.with(adapter: trainer.adapter) }

  /// Runs to the end, or until interrupted.
  ///
  /// - Returns: How it ended.
  /// - Throws: `TrainingError` when the loss is not finite, with the examples of the step; `FileError` when something cannot be written. The
  ///   last checkpoint stays as it is.
  public func run(_ report: (FineTuningEvent) throws -> Void) throws -> FineTuningEvent.Done {
    let started = ContinuousClock.now
    let metrics = try MetricsLog(
      path: folder.file(RunFolder.metricsName), keepingThrough: isLater ? (resumes ? progress.step : -1) : nil)
    let board = try TensorBoardWriter(
      folder: logFolder ?? folder.path, resumingAt: isLater ? (resumes ? progress.step + 1 : 0) : nil)
    try board.settings(tensorBoardSettings, metrics: ["train/loss", "eval/loss"])
    try report(
      .prepared(
        data.trainingStatistics, validation: data.validationStatistics,
        trainableParameters: trainer.parameterCount, stepCount: plan.stepCount))
    if resumes {
      try folder.settle(progress, keep: recipe.keep, isScheduled: isScheduled)
      try report(.resumed(step: progress.step))
    }
    try measureStart()

    var (tokens, training, stoppedEarly, wasInterrupted) = (0, 0.0, false, false)
    if !resumes, !data.validation.isEmpty {
      try report(.evaluation(try evaluate(metrics, board)))
    }
    while progress.step < plan.stepCount {
      if isInterrupted() || hasLostPatience {
        stoppedEarly = hasLostPatience
        wasInterrupted = !stoppedEarly
        break
      }
      let began = ContinuousClock.now
      let event = try step(metrics, board, began: began)
      let seconds = (ContinuousClock.now - began).seconds
      training += seconds
      tokens += Int((event.tokensPerSecond * seconds).rounded())
      try report(.step(event))

      if checkpoints.evaluates(after: progress.step) { try report(.evaluation(try evaluate(metrics, board))) }
      if isScheduled(progress.step) {
        try metrics.flush()
        try board.flush()
        try save()
      }
    }
    try group?.announce(.end)
    if try folder.newest()?.progress.step != progress.step {
      try metrics.flush()
      try board.flush()
      try save()
    }
    let probe = progress.step == plan.stepCount || stoppedEarly ? try measureForgetting() : nil
    if let probe { try report(.probe(probe)) }
    let done = FineTuningEvent.Done(
      steps: progress.step, bestStep: progress.bestStep, bestLoss: progress.bestLoss, baseLoss: progress.baseLoss,
      output: folder.path,
      seconds: (ContinuousClock.now - started).seconds,
      tokensPerSecond: training > 0 ? Double(tokens) / training : 0, peakMemoryBytes: PeakMemory.bytes,
      stoppedEarly: stoppedEarly, wasInterrupted: wasInterrupted)
    try metrics.flush()
    try board.end(isSuccess: true)
    try RunReport(folder: folder, recipe: recipe, baseName: base.name).write(
      done, baseLoss: progress.baseLoss, probe: probe)
    try report(.done(done))
    return done
  }

  /// What is measured from later on: the model as it is before the first step.
  private func measureStart() throws {
    if recipe.objective == .dpo {
      let path = folder.file(PreferenceReferences.fileName)
      if !resumes {
        try PreferenceReferences(data, base.engine, trainer.adapter, recipe.trainedPrecision).write(to: path)
      }
      references = try PreferenceReferences(path, for: data)
    }
    _ = try group?.share(references?.json() ?? [])
    if recipe.probe, !resumes {
      progress.baseProbe = GeneralProbe().measure(base.with(adapter: nil), precision: recipe.trainedPrecision)
    }
    base.engine.trimWorkspace()
  }

  /// Whether a run that nobody interrupts has a checkpoint after this step.
  func isScheduled(_ step: Int) -> Bool { checkpoints.saves(after: step) }

  private var hasLostPatience: Bool {
    recipe.patience.map { progress.evaluationsWithoutImprovement >= $0 } ?? false
  }
}
