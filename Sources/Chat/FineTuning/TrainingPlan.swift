internal import Engine

/// Which examples each optimiser step trains on: a pure function of counts, recipe and seed.
///
/// So a run that resumes at step N needs nothing but N to go on exactly where it was.
struct TrainingPlan: Sendable, Equatable {
  let exampleCount: Int
  let batchSize: Int
  let gradientAccumulation: Int
  let order: FineTuningRecipe.Order
  let seed: UInt64
  /// Optimiser steps in all.
  let stepCount: Int

  init(exampleCount: Int, recipe: FineTuningRecipe) {
    self.exampleCount = exampleCount
    batchSize = recipe.batchSize
    gradientAccumulation = recipe.gradientAccumulation
    order = recipe.order
    seed = recipe.seed
    let perStep = recipe.batchSize * recipe.gradientAccumulation
    let perEpoch = (exampleCount + perStep - 1) / perStep
    stepCount = recipe.maxSteps ?? perEpoch * recipe.epochs
  }

  private var examplesPerStep: Int { batchSize * gradientAccumulation }

  /// Steps in an epoch; the last one of an epoch may hold fewer examples.
  var stepsPerEpoch: Int { (exampleCount + examplesPerStep - 1) / examplesPerStep }

  /// How many epochs have passed after `step` steps.
  func epoch(after step: Int) -> Double { Double(step) / Double(max(1, stepsPerEpoch)) }

  /// The examples of step `step`, counted from 0, in batches.
  func batches(at step: Int) -> [[Int]] {
    let (epoch, place) = step.quotientAndRemainder(dividingBy: stepsPerEpoch)
    let indices = order(inEpoch: epoch)
    let chosen = indices[place * examplesPerStep..<min((place + 1) * examplesPerStep, exampleCount)]
    return stride(from: chosen.startIndex, to: chosen.endIndex, by: batchSize).map {
      Array(chosen[$0..<min($0 + batchSize, chosen.endIndex)])
    }
  }

  /// The order of all examples in an epoch.
  func order(inEpoch epoch: Int) -> [Int] {
    var indices = Array(0..<exampleCount)
    if order == .shuffled {
      var random = SplitMix64(seed: seed &+ UInt64(epoch) &* 0xD1B5_4A32_D192_ED03)
      random.shuffle(&indices)
    }
    return indices
  }
}
