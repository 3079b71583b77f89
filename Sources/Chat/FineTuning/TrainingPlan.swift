internal import Engine

/// Which examples each optimiser step trains on: a pure function of counts, recipe and seed.
///
/// So a run that resumes at step N needs nothing but N to go on exactly where it was.
struct TrainingPlan: Sendable, Equatable {
  /// Examples of the user's own and, behind them, of replay.
  let exampleCount: Int
  /// How many of them are of replay: the last ones.
  let replayCount: Int
  /// Share of replay in what is trained on.
  let replayFraction: Double
  let batchSize: Int
  let gradientAccumulation: Int
  let order: FineTuningRecipe.Order
  let seed: UInt64
  /// Optimiser steps in all.
  let stepCount: Int

  init(exampleCount: Int, replayCount: Int = 0, recipe: FineTuningRecipe) {
    self.exampleCount = exampleCount
    self.replayCount = replayCount
    replayFraction = recipe.replayFraction
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
    return batches(at: place, of: order(inEpoch: epoch))
  }

  /// The steps that are taken of an epoch, each in batches.
  func steps(inEpoch epoch: Int) -> [[[Int]]] {
    let indices = order(inEpoch: epoch)
    return (0..<max(0, min(stepsPerEpoch, stepCount - epoch * stepsPerEpoch))).map { batches(at: $0, of: indices) }
  }

  private func batches(at place: Int, of indices: [Int]) -> [[Int]] {
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
    return replayCount > 0 ? spread(indices) : indices
  }

  /// The same examples with those of replay spread out: of the first k they are `replayed(k)`, so wherever a run ends, or is ended,
  /// what it trained on has the share that was asked for.
  private func spread(_ indices: [Int]) -> [Int] {
    let first = exampleCount - replayCount
    var own = indices.filter { $0 < first }[...]
    var replay = indices.filter { $0 >= first }[...]
    return indices.indices.compactMap { place in
      let isReplay = TrainingPlan.replayed(place + 1, replayFraction) > TrainingPlan.replayed(place, replayFraction)
      // By rounding, either may have one more than its share in the end.
      return isReplay && !replay.isEmpty || own.isEmpty ? replay.popFirst() : own.popFirst()
    }
  }

  /// How many of the first `count` examples are of replay: the whole number next to their share.
  static func replayed(_ count: Int, _ fraction: Double) -> Int { Int((fraction * Double(count) + 0.5).rounded(.down)) }

  /// How many examples of replay a run needs beside `ownCount` others: their share of an epoch, or of what `maxSteps` come to.
  static func replayCount(beside ownCount: Int, _ recipe: FineTuningRecipe) -> Int {
    let ofEpoch = max(1, Int((Double(ownCount) * recipe.replayFraction / (1 - recipe.replayFraction)).rounded()))
    guard let steps = recipe.maxSteps else { return ofEpoch }
    let (trained, isTooMany) = steps.multipliedReportingOverflow(by: recipe.batchSize * recipe.gradientAccumulation)
    return isTooMany || trained >= ownCount + ofEpoch ? ofEpoch : replayed(trained, recipe.replayFraction)
  }
}
