internal import Engine
internal import Foundation

/// How long a run will take and how much memory, from about two seconds of it.
///
/// Steps with a learning rate of zero are taken on more and more of the run's own examples. The last one gives the speed; the growth of
/// the activations from the first to the last one gives what the largest pass of the run will hold.
public struct TrainingForecast: Encodable, Sendable, Equatable {
  /// Of the whole run: steps and held-out measurements. Writing checkpoints and sample answers is not in it.
  public let seconds: Double
  /// The most that will be held at once.
  public let memory_bytes: Int
  /// Input tokens a second through a step.
  public let tokens_per_second: Double
  /// Tokens of the largest pass that was tried, and of the largest of the run.
  public let probed_tokens: Int
  public let largest_tokens: Int

  /// Tries.
  ///
  /// - Parameter duration: How long to go on trying; the last try may go beyond it.
  init(
    _ recipe: FineTuningRecipe, _ data: TrainingData, _ base: ChatModel, duration: Double = 2
  ) throws {
    let plan = TrainingPlan(exampleCount: data.training.count, recipe: recipe)
    let recipe = recipe.namingPrecision(for: base)
    let trainer = try FineTuning.makeTrainer(recipe, base.engine, checkpoint: nil)
    defer { trainer.finish() }
    let passes = TrainingForecast.passes(plan, data)
    let largest = passes.map(\.tokens).max() ?? 0

    var tries: [(tokens: Int, seconds: Double, bytes: Int)] = []
    let end = ContinuousClock.now + .seconds(duration)
    var wanted = 64
    repeat {
      let indices = TrainingForecast.examples(
        data, in: passes.max { $0.tokens < $1.tokens }?.indices ?? [], tokens: wanted)
      let began = ContinuousClock.now
      let result = try TrainingForecast.step(trainer, data, indices, recipe)
      tries.append((result.tokens, (ContinuousClock.now - began).seconds, base.engine.workspacePeakBytes))
      // A pass that is twice as large takes twice as long; none that would end far behind time is begun.
      wanted = 2 * result.tokens
      if result.tokens >= largest { break }
    } while ContinuousClock.now + .seconds(2 * (tries.last?.seconds ?? 0)) < end + .seconds(duration)

    // The first one also warms up what is made once.
    let last = tries[tries.count - 1]
    if tries.count == 1 {
      let began = ContinuousClock.now
      let indices = TrainingForecast.examples(data, in: passes.first?.indices ?? [], tokens: last.tokens)
      let again = try TrainingForecast.step(trainer, data, indices, recipe)
      tries.append((again.tokens, (ContinuousClock.now - began).seconds, base.engine.workspacePeakBytes))
    }
    let speed = Double(tries[tries.count - 1].tokens) / max(1e-9, tries[tries.count - 1].seconds)
    let (small, large) = (tries[0], tries.max { $0.tokens < $1.tokens } ?? tries[0])
    let slope =
      large.tokens > small.tokens
      ? Double(large.bytes - small.bytes) / Double(large.tokens - small.tokens)
      : Double(large.bytes) / Double(max(1, large.tokens))
    tokens_per_second = speed
    (probed_tokens, largest_tokens) = (large.tokens, largest)
    memory_bytes = PeakMemory.bytes + Int(max(0, slope) * Double(max(0, largest - large.tokens)))

    let perEpoch = passes.reduce(0) { $0 + $1.tokens }
    let trained = Double(perEpoch) * Double(plan.stepCount) / Double(max(1, plan.stepsPerEpoch))
    let held = data.validation
    let heldTokens = (held.answers + held.rejected).reduce(0) { $0 + $1.ids.count }
    let every = recipe.evaluateEvery ?? max(1, (plan.stepsPerEpoch + 1) / 2)
    let evaluations = held.isEmpty ? 0 : 1 + (plan.stepCount + every - 1) / every
    // A pass without gradients is about two fifths of one with them.
    seconds = (trained + 0.4 * Double(heldTokens * evaluations)) / speed
  }

  /// The passes of the first epoch.
  private static func passes(_ plan: TrainingPlan, _ data: TrainingData) -> [(indices: [Int], tokens: Int)] {
    (0..<plan.stepsPerEpoch).flatMap { step in
      plan.batches(at: step).map { indices in (indices, indices.reduce(0) { $0 + tokens(data, $1) }) }
    }
  }

  private static func tokens(_ data: TrainingData, _ index: Int) -> Int {
    data.training.answers[index].ids.count
      + (data.training.rejected.isEmpty ? 0 : data.training.rejected[index].ids.count)
  }

  /// The first of some examples, over and over if need be, until there are so many tokens.
  private static func examples(_ data: TrainingData, in indices: [Int], tokens wanted: Int) -> [Int] {
    var (chosen, sum, place): ([Int], Int, Int) = ([], 0, 0)
    while sum < wanted, place < indices.count || chosen.isEmpty {
      let index = indices.isEmpty ? 0 : indices[place % indices.count]
      chosen.append(index)
      sum += tokens(data, index)
      place += 1
    }
    return chosen
  }

  private static func step(
    _ trainer: Trainer, _ data: TrainingData, _ indices: [Int], _ recipe: FineTuningRecipe
  ) throws -> Trainer.StepResult {
    if recipe.objective == .dpo {
      let unknown = data.training.answers.map { _ in PreferenceReferences.Pair(chosen: 0, rejected: 0) }
      return try trainer.step([data.training.preferences(indices, unknown)], beta: recipe.beta, learningRate: 0)
    }
    return try trainer.step([data.training.batch(indices)], learningRate: 0)
  }
}

extension PreparedData {
  /// How long training on it will take and how much memory. Afterwards the model is only good for being let go.
  ///
  /// - Throws: `TrainingError` when the loss is not finite from the first step on; as a run would.
  public func forecast(_ recipe: FineTuningRecipe, for model: ChatModel) throws -> TrainingForecast {
    try TrainingForecast(recipe, data, model)
  }
}
