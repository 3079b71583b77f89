/// After which steps a run measures the held-out examples and writes a checkpoint, when nobody interrupts it.
struct CheckpointSchedule: Sendable, Equatable {
  private let isEvaluated: Bool
  let evaluateEvery: Int
  private let saveEvery: Int?
  private let stepCount: Int

  /// - Parameter isEvaluated: Whether there are held-out examples.
  init(_ recipe: FineTuningRecipe, _ plan: TrainingPlan, isEvaluated: Bool) {
    self.isEvaluated = isEvaluated
    evaluateEvery = recipe.evaluateEvery ?? max(1, (plan.stepsPerEpoch + 1) / 2)
    saveEvery = recipe.saveEvery
    stepCount = plan.stepCount
  }

  func evaluates(after step: Int) -> Bool { isEvaluated && (step % evaluateEvery == 0 || step == stepCount) }

  func saves(after step: Int) -> Bool {
    evaluates(after: step) || step == stepCount || saveEvery.map { step % $0 == 0 } == true
  }

  /// How often a run measures, before its first step included.
  var evaluationCount: Int { isEvaluated ? 1 + multiples(evaluateEvery) + (stepCount % evaluateEvery == 0 ? 0 : 1) : 0 }

  /// How many checkpoints a run writes, those counted twice that are due for two reasons.
  var saveCount: Int { max(1, evaluationCount - 1) + (saveEvery.map(multiples) ?? 0) }

  private func multiples(_ every: Int) -> Int { stepCount / every }
}
