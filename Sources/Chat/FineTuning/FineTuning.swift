internal import Engine
internal import Foundation
internal import Tokenizers

/// A fine-tuning run: from a recipe to a folder with the best and the latest checkpoint.
///
/// Given recipe, data and base, everything written is the same to the bit, whether the run went through at once or was killed
/// and resumed any number of times, under any number of threads.
public final class FineTuning {
  /// Every decision of the run.
  public let recipe: FineTuningRecipe
  private let folder: RunFolder
  private let lock: FileLock
  private let base: ChatModel
  private let basePath: String
  /// Fingerprint of the base's weights.
  private let baseWeights: String
  private let logFolder: String?
  private let data: TrainingData
  private let plan: TrainingPlan
  private let trainer: Trainer
  private let schedule: LearningRateSchedule
  private var progress = RunFolder.Progress()
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
  ///   - logFolder: For TensorBoard; the run folder when nil.
  /// - Throws: `RunError`, `DatasetError`, `AdapterError`, `CheckpointError`.
  public init(
    _ recipe: FineTuningRecipe, base: ChatModel, basePath: String, output: String, resume: Bool = false,
    logFolder: String? = nil
  ) throws {
    try recipe.validate()
    self.recipe = recipe
    self.base = base
    self.basePath = basePath
    self.logFolder = logFolder
    folder = RunFolder(output)
    baseWeights = try base.weightsFingerprint()
    if resume {
      try FineTuning.requireSameBase(base, basePath, of: output)
    } else if let adapter = recipe.adapter {
      let recorded = try PEFTAdapter.metadata(adapter)[BaseCheck.metadataKey]
      try BaseCheck.require(recorded, in: base, learned: adapter, trainedOn: nil, path: basePath)
    }
    data = try TrainingData(recipe, for: base)
    plan = TrainingPlan(exampleCount: data.training.count, recipe: recipe)
    schedule = LearningRateSchedule(
      shape: recipe.schedule, peak: recipe.learningRate,
      warmupSteps: Int((recipe.warmupRatio * Double(plan.stepCount)).rounded(.up)), totalSteps: plan.stepCount)

    if !resume { try folder.create() }
    lock = try folder.lock()
    if resume { folder.removeDrafts() }
    isLater = resume
    let checkpoint = resume ? try folder.newest() : nil
    resumes = checkpoint != nil
    trainer = try FineTuning.makeTrainer(recipe, base.engine, checkpoint: checkpoint?.folder)
    if let checkpoint {
      guard checkpoint.progress.dataHash == data.hash else {
        throw RunError(
          "\(output): the data is not what this run was trained on so far: put the files back as they were, "
            + "or start a new run")
      }
      progress = checkpoint.progress
      try trainer.readState(from: checkpoint.folder + "/" + RunFolder.momentsName)
    } else {
      progress.dataHash = data.hash
      try writeRecords()
    }
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

  private static func makeTrainer(
    _ recipe: FineTuningRecipe, _ engine: LanguageModel, checkpoint: String?
  ) throws -> Trainer {
    let settings = Trainer.Settings(
      weightDecay: recipe.weightDecay, maximumGradientNorm: recipe.maxGradientNorm, seed: recipe.seed)
    guard recipe.method == .lora else {
      if let checkpoint { try engine.readParameters(from: checkpoint) }
      return Trainer(engine, adapter: nil, settings: settings)
    }
    let adapter: Adapter
    if let path = checkpoint ?? recipe.adapter {
      adapter = try PEFTAdapter.read(path, for: engine)
    } else {
      adapter = try engine.makeAdapter(
        Adapter.Settings(
          rank: recipe.rank, alpha: recipe.alpha, dropout: recipe.dropout, targets: recipe.targets),
        seed: recipe.seed)
    }
    return Trainer(engine, adapter: adapter, settings: settings)
  }

  /// The recipe and the record that makes the folder a model.
  private func writeRecords() throws {
    try AtomicFile.write(try recipe.yaml(), to: folder.file(RunFolder.recipeName))
    let record = TunedModel(
      base: URL(filePath: basePath).standardizedFileURL.path, baseName: base.name,
      method: recipe.method.rawValue, fingerprint: base.fingerprint, weights: baseWeights)
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    try AtomicFile.write(Array(try encoder.encode(record)), to: folder.file(TunedModel.recordName))
  }

  /// The model as it is now.
  private var tuned: ChatModel { base.with(adapter: trainer.adapter) }

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

    var (tokens, training, stoppedEarly) = (0, 0.0, false)
    if !resumes, !data.validation.isEmpty {
      try report(.evaluation(try evaluate(metrics, board)))
    }
    while progress.step < plan.stepCount {
      if isInterrupted() || hasLostPatience {
        stoppedEarly = hasLostPatience
        break
      }
      let began = ContinuousClock.now
      let event = try step(metrics, board, began: began)
      let seconds = (ContinuousClock.now - began).seconds
      training += seconds
      tokens += Int((event.tokensPerSecond * seconds).rounded())
      try report(.step(event))

      if evaluates(after: progress.step) { try report(.evaluation(try evaluate(metrics, board))) }
      if isScheduled(progress.step) {
        try metrics.flush()
        try board.flush()
        try save()
      }
    }
    if try folder.newest()?.progress.step != progress.step {
      try metrics.flush()
      try board.flush()
      try save()
    }
    let done = FineTuningEvent.Done(
      steps: progress.step, bestStep: progress.bestStep, bestLoss: progress.bestLoss, output: folder.path,
      seconds: (ContinuousClock.now - started).seconds,
      tokensPerSecond: training > 0 ? Double(tokens) / training : 0, peakMemoryBytes: peakMemory(),
      stoppedEarly: stoppedEarly)
    try metrics.flush()
    try board.end(isSuccess: true)
    try RunReport(folder: folder, recipe: recipe, baseName: base.name).write(done, baseLoss: progress.baseLoss)
    try report(.done(done))
    return done
  }

  private func evaluates(after step: Int) -> Bool {
    let every = recipe.evaluateEvery ?? max(1, (plan.stepsPerEpoch + 1) / 2)
    return !data.validation.isEmpty && (step % every == 0 || step == plan.stepCount)
  }

  /// Whether a run that nobody interrupts has a checkpoint after this step.
  private func isScheduled(_ step: Int) -> Bool {
    evaluates(after: step) || step == plan.stepCount || recipe.saveEvery.map { step % $0 == 0 } == true
  }

  private var hasLostPatience: Bool {
    recipe.patience.map { progress.evaluationsWithoutImprovement >= $0 } ?? false
  }

  private func step(
    _ metrics: borrowing MetricsLog, _ board: borrowing TensorBoardWriter, began: ContinuousClock.Instant
  ) throws -> FineTuningEvent.Step {
    let rate = schedule.rate(at: progress.step)
    let chosen = plan.batches(at: progress.step)
    let result: Trainer.StepResult
    do {
      result = try trainer.step(chosen.map { TrainingBatch(data.training, $0) }, learningRate: rate)
    } catch {
      let places = chosen.flatMap { $0 }.prefix(8).map { "\(data.training[$0].file):\(data.training[$0].line)" }
      let cause =
        base.engine.tensorThatIsNotFinite.map { " The model's tensor \($0) is not finite: its file is damaged." } ?? ""
      throw RunError("\(error)\(cause) The step's examples: \(places.joined(separator: ", "))")
    }
    progress.step += 1
    let event = FineTuningEvent.Step(
      step: progress.step, stepCount: plan.stepCount, epoch: plan.epoch(after: progress.step), loss: result.loss,
      learningRate: rate, gradientNorm: result.gradientNorm, supervisedTokens: result.supervisedTokens,
      tokensPerSecond: Double(result.tokens) / (ContinuousClock.now - began).seconds)
    try metrics.append(
      event: "step", step: event.step,
      [
        ("epoch", .number(event.epoch)), ("loss", .number(event.loss)), ("learning_rate", .number(rate)),
        ("gradient_norm", .number(event.gradientNorm)),
        ("supervised_tokens", .integer(event.supervisedTokens)),
      ])
    try board.scalar("train/loss", event.loss, step: event.step)
    try board.scalar("train/learning_rate", rate, step: event.step)
    try board.scalar("train/grad_norm", event.gradientNorm, step: event.step)
    try board.scalar("train/epoch", event.epoch, step: event.step)
    try board.scalar("train/tokens_per_second", event.tokensPerSecond, step: event.step)
    return event
  }

  private func evaluate(
    _ metrics: borrowing MetricsLog, _ board: borrowing TensorBoardWriter
  ) throws -> FineTuningEvent.Evaluation {
    let losses = HeldOutLoss(data.validation).measure(
      base.engine, adapter: trainer.adapter, precision: recipe.precision == .serving ? .serving : .reference)
    let loss = losses.perToken
    guard loss.isFinite else {
      let cause = base.engine.tensorThatIsNotFinite.map {
        "the model's tensor \($0) is not finite: its file is damaged"
      }
      throw RunError(
        "step \(progress.step): the held-out loss is \(loss): \(cause ?? "use a smaller learning rate or a longer warm-up")"
      )
    }
    let isBest = progress.bestLoss.map { loss < $0 } ?? true
    if progress.step == 0 {
      progress.baseLoss = loss
    } else if isBest {
      progress.bestLoss = loss
      progress.bestStep = progress.step
      progress.evaluationsWithoutImprovement = 0
    } else {
      progress.evaluationsWithoutImprovement += 1
    }
    let samples = try SampleAnswers(data.validationExamples).answer(tuned)
    try metrics.append(
      event: "evaluation", step: progress.step,
      [("loss", .number(loss)), ("perplexity", .number(exp(loss))), ("best", .flag(isBest))])
    try board.scalar("eval/loss", loss, step: progress.step)
    try board.scalar("eval/perplexity", exp(loss), step: progress.step)
    for (index, sample) in samples.enumerated() {
      try board.text(
        "samples/\(index)", "**\(sample.question)**\n\n\(sample.answer)", step: progress.step)
    }
    return FineTuningEvent.Evaluation(
      step: progress.step, loss: loss, perplexity: exp(loss), isBest: isBest, samples: samples)
  }

  private func save() throws {
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

  private var tensorBoardSettings: [(name: String, value: TensorBoardEvent.SettingValue)] {
    [
      ("model", .text(base.name)), ("method", .text(recipe.method.rawValue)),
      ("learning_rate", .number(recipe.learningRate)), ("schedule", .text(recipe.schedule.rawValue)),
      ("rank", .number(Double(recipe.rank))), ("alpha", .number(Double(recipe.alpha))),
      ("dropout", .number(Double(recipe.dropout))), ("batch_size", .number(Double(recipe.batchSize))),
      ("gradient_accumulation", .number(Double(recipe.gradientAccumulation))),
      ("epochs", .number(Double(recipe.epochs))), ("weight_decay", .number(Double(recipe.weightDecay))),
      ("seed", .number(Double(recipe.seed))),
    ]
  }

  /// The most memory this process has held, in bytes.
  private func peakMemory() -> Int {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    return usage.ru_maxrss * 1024
  }
}
