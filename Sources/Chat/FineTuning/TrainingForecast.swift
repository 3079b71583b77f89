internal import Engine
internal import Foundation

/// How long a run will take and how much memory, from about two seconds of it.
///
/// What the run will do is tried (`TrainingTrial`): its own passes, the largest first of all, with a learning rate of zero, and what it
/// measures beside. Their times make up the run's, from a count of what it has of each. Their memory is the run's, unless the largest pass
/// could not be tried in that time.
public struct TrainingForecast: Encodable, Sendable, Equatable {
  /// Of the whole run: steps, held-out measurements, sample answers, checkpoints and the probe against forgetting.
  public let seconds: Double
  /// The most that will be held at once.
  public let memory_bytes: Int
  /// Input tokens a second through a step.
  public let tokens_per_second: Double
  /// Tokens of the largest pass that was tried, and of the largest of the run.
  public let probed_tokens: Int
  public let largest_tokens: Int

  /// Bytes a second of a checkpoint that is written, flushed and hashed: what is assumed, as nothing is written to find out.
  private static let checkpointRate = 400e6

  /// Tries.
  ///
  /// - Parameter duration: How long to go on trying; the last pass may go beyond it by as much again.
  init(
    _ recipe: FineTuningRecipe, _ data: TrainingData, _ base: ChatModel, duration: Double = 2
  ) throws {
    let recipe = recipe.namingPrecision(for: base)
    let plan = data.plan(recipe)
    let trainer = try FineTuning.makeTrainer(recipe, base.engine, checkpoint: nil)
    defer { trainer.finish() }
    // Epochs differ in their order only.
    let passes = plan.steps(inEpoch: 0).flatMap { $0 }
    let trial = try TrainingTrial(recipe, data, base, trainer, passes: passes, duration: duration)
    (probed_tokens, largest_tokens) = (trial.probedTokens, trial.largestTokens)
    memory_bytes = trial.memoryBytes

    let perEpoch = passes.reduce(0) { sum, pass in sum + data.tokenCount(pass) }
    let epochs = Double(plan.stepCount) / Double(max(1, min(plan.stepCount, plan.stepsPerEpoch)))
    let trained = trial.seconds(steps: plan.stepCount, tokens: epochs * Double(perEpoch))
    tokens_per_second = epochs * Double(perEpoch) / max(1e-9, trained)

    let schedule = CheckpointSchedule(recipe, plan, isEvaluated: !data.validation.isEmpty)
    let held = Double(data.validation.tokenCount)
    let evaluated = Double(schedule.evaluationCount) * (held / trial.heldOutRate + trial.sampleSeconds)
    let probed = recipe.probe ? 2 * Double(GeneralProbe().tokenCount(for: base.tokenizer)) / trial.probeRate : 0
    let referred = recipe.objective == .dpo ? (Double(data.training.tokenCount) + held) / trial.heldOutRate : 0
    let written = Double(schedule.saveCount) * Double(trainer.stateBytes) / TrainingForecast.checkpointRate
    seconds = trained + evaluated + probed + referred + written
  }
}

extension TrainingData {
  /// Tokens of a pass over some examples.
  func tokenCount(_ indices: [Int]) -> Int { indices.reduce(0) { $0 + training.tokenCount(at: $1) } }
}

extension TrainingData.Examples {
  /// Tokens of an example, of both its answers.
  func tokenCount(at index: Int) -> Int {
    answers[index].ids.count + (rejected.isEmpty ? 0 : rejected[index].ids.count)
  }

  var tokenCount: Int { answers.indices.reduce(0) { $0 + tokenCount(at: $1) } }
}

extension Trainer {
  /// What a checkpoint takes at most: what is trained, and both moments, which may be in bf16.
  fileprivate var stateBytes: Int { 12 * parameterCount }
}

extension PreparedData {
  /// How long training on it will take and how much memory. Afterwards the model is only good for being let go.
  ///
  /// - Throws: `TrainingError` when the loss is not finite from the first step on; as a run would.
  public func forecast(_ recipe: FineTuningRecipe, for model: ChatModel) throws -> TrainingForecast {
    try TrainingForecast(recipe, data, model)
  }
}
