internal import Engine
internal import Foundation

// One step, one evaluation, and how both are written down.
extension FineTuning {
  func step(
    _ metrics: borrowing MetricsLog, _ board: borrowing TensorBoardWriter, began: ContinuousClock.Instant
  ) throws -> FineTuningEvent.Step {
    let rate = schedule.rate(at: progress.step)
    let chosen = plan.batches(at: progress.step)
    try group?.announce(.step)
    let result: Trainer.StepResult
    do { result = try trainer.step(chosen, of: data, references, recipe, rate: rate) } catch {
      if case .groupFailed = error { throw RunError("\(error)") }
      throw RunError("\(error)\(damage.map { " The \($0)." } ?? "") \(blame(chosen.flatMap { $0 }))")
    }
    progress.step += 1
    let event = FineTuningEvent.Step(
      step: progress.step, stepCount: plan.stepCount, epoch: plan.epoch(after: progress.step), loss: result.loss,
      learningRate: rate, gradientNorm: result.gradientNorm, supervisedTokens: result.supervisedTokens,
      tokensPerSecond: Double(result.tokens) / (ContinuousClock.now - began).seconds, preferences: result.preferences)
    try metrics.append(
      event: "step", step: event.step,
      [
        ("epoch", .number(event.epoch)), ("loss", .number(event.loss)), ("learning_rate", .number(rate)),
        ("gradient_norm", .number(event.gradientNorm)),
        ("supervised_tokens", .integer(event.supervisedTokens)),
      ] + rewards(result.preferences))
    try board.scalar("train/loss", event.loss, step: event.step)
    try board.scalar("train/learning_rate", rate, step: event.step)
    try board.scalar("train/grad_norm", event.gradientNorm, step: event.step)
    try board.scalar("train/epoch", event.epoch, step: event.step)
    try board.scalar("train/tokens_per_second", event.tokensPerSecond, step: event.step)
    try show(result.preferences, "train", board, step: event.step)
    return event
  }

  /// What is wrong with the model itself, if something is.
  private var damage: String? {
    base.engine.tensorThatIsNotFinite.map { "model's tensor \($0) is not finite: its file is damaged" }
  }

  /// The examples of a step that failed: those that fail alone, or else all.
  private func blame(_ indices: [Int]) -> String {
    let failing = indices.filter { index in
      let loss = HeldOutLoss([data.training.answers[index]]).measure(base.engine, adapter: trainer.adapter).perToken
      return !loss.isFinite
    }
    func places(_ indices: [Int]) -> String {
      let places = indices.prefix(8).map { data.training.answers[$0] }.map { "\($0.file):\($0.line)" }
      return places.joined(separator: ", ") + (indices.count > 8 ? ", …" : "")
    }
    let isTelling = !failing.isEmpty && failing.count < indices.count
    return "The step's examples: \(places(indices))"
      + (isTelling ? "; those that fail by themselves: \(places(failing))" : "")
  }

  func evaluate(
    _ metrics: borrowing MetricsLog, _ board: borrowing TensorBoardWriter
  ) throws -> FineTuningEvent.Evaluation {
    let precision = recipe.heldOutPrecision
    let preferences = references.map {
      data.validation.figures(
        $0.validation, beta: recipe.beta, base.engine, trainer.adapter, precision: precision)
    }
    if preferences == nil { try group?.announce(.evaluate) }
    let loss =
      try preferences?.loss
      ?? HeldOutLoss(data.validation.answers).measure(
        base.engine, adapter: trainer.adapter, precision: precision, group)
    guard loss.isFinite else {
      throw RunError(
        "step \(progress.step): the held-out loss is \(loss.isNaN ? "nan" : "\(loss)"): "
          + (damage.map { "the \($0)" }
            ?? (progress.step == 0
              ? "nothing was trained yet: look at the model and its adapter, not at the recipe"
              : "use a smaller learning rate or a longer warm-up"))
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
    // Of a preference's loss there is none.
    let perplexity = preferences == nil ? exp(loss) : nil
    let samples = try SampleAnswers(data.validationExamples).answer(tuned)
    try metrics.append(
      event: "evaluation", step: progress.step,
      [("loss", .number(loss))] + (perplexity.map { [("perplexity", .number($0))] } ?? [])
        + [("best", .flag(isBest))] + rewards(preferences))
    try board.scalar("eval/loss", loss, step: progress.step)
    if let perplexity { try board.scalar("eval/perplexity", perplexity, step: progress.step) }
    try show(preferences, "eval", board, step: progress.step)
    for (index, sample) in samples.enumerated() {
      try board.text(
        "samples/\(index)", "**\(sample.question)**\n\n\(sample.answer)", step: progress.step)
    }
    return FineTuningEvent.Evaluation(
      step: progress.step, loss: loss, perplexity: perplexity, isBest: isBest, baseLoss: progress.baseLoss,
      samples: samples, preferences: preferences)
  }

  private func rewards(_ figures: PreferenceFigures?) -> [(name: String, value: MetricsLog.Value)] {
    guard let figures else { return [] }
    return [
      ("reward_accuracy", .number(figures.accuracy)), ("reward_margin", .number(figures.margin)),
      ("reward_chosen", .number(figures.chosen)), ("reward_rejected", .number(figures.rejected)),
    ]
  }

  /// Under the names that TRL uses.
  private func show(
    _ figures: PreferenceFigures?, _ part: String, _ board: borrowing TensorBoardWriter, step: Int
  ) throws {
    guard let figures else { return }
    try board.scalar("\(part)/rewards/accuracies", figures.accuracy, step: step)
    try board.scalar("\(part)/rewards/margins", figures.margin, step: step)
    try board.scalar("\(part)/rewards/chosen", figures.chosen, step: step)
    try board.scalar("\(part)/rewards/rejected", figures.rejected, step: step)
  }
}
