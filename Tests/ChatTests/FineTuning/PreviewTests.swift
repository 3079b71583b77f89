import Engine
import Foundation
import Testing

@testable import Chat

/// What is known of a run before it begins.
@Suite struct PreviewTests {
  @Test func provesThatTheStopTokenIsLearned() throws {
    let place = try TinyRun()
    let statistics = try PreparedData(place.recipe, for: place.model()).trainingStatistics
    #expect(statistics.answerCount == 24 && statistics.stoppedAnswerCount == 24)
    #expect(statistics.stopTokens == [2: 24])
    #expect(statistics.shapes == [.promptCompletion])

    // Cut off, some answers do not come to their stop token.
    var recipe = place.recipe
    recipe.maxLength = 40
    let cut = try PreparedData(recipe, for: place.model()).trainingStatistics
    #expect(cut.lostSupervisedCount > 0 && cut.stoppedAnswerCount > 0 && cut.stoppedAnswerCount < cut.answerCount)
  }

  @Test func countsDuplicatesAndLeaksWhereverTheDataIsHeldOutFrom() throws {
    let place = try TinyRun()
    let twice = place.folder.appending(path: "twice.jsonl").path
    let lines = try String(contentsOfFile: place.dataPath, encoding: .utf8)
    try Data((lines + lines.split(separator: "\n")[0] + "\n").utf8).write(to: URL(filePath: twice))
    var recipe = place.recipe
    recipe.data = [twice]
    #expect(try PreparedData(recipe, for: place.model()).trainingStatistics.duplicateGroupCount == 1)
    recipe.validation = [place.dataPath]
    let data = try PreparedData(recipe, for: place.model())
    #expect(data.trainingStatistics.duplicateGroupCount == 1)
    #expect(data.validationStatistics.leaks.count == 28)
  }

  @Test(arguments: [FineTuningRecipe.Objective.sft, .dpo]) func forecastsTimeAndMemory(
    _ objective: FineTuningRecipe.Objective
  ) throws {
    let place = try TinyRun()
    var recipe = place.recipe
    recipe.objective = objective
    if objective == .dpo { try TinyRun.writePreferences(count: 28, to: place.dataPath) }
    let data = try TrainingData(recipe, for: place.model())
    let forecast = try TrainingForecast(recipe, data, place.model(), duration: 0.2)
    #expect(forecast.tokens_per_second > 0 && forecast.seconds > 0 && forecast.memory_bytes > 1 << 20)
    #expect(forecast.probed_tokens > 0)
    // The largest pass of the first epoch.
    let plan = data.plan(recipe)
    let passes = (0..<plan.stepsPerEpoch).flatMap { plan.batches(at: $0) }.map { indices in
      indices.reduce(0) {
        $0 + data.training.answers[$1].ids.count + (objective == .dpo ? data.training.rejected[$1].ids.count : 0)
      }
    }
    #expect(forecast.largest_tokens == passes.max())
    #expect(forecast.probed_tokens == forecast.largest_tokens)
    // Measuring and writing come on top of the steps.
    let all = Double(passes.reduce(0, +))
    #expect(forecast.seconds > all / forecast.tokens_per_second)
  }

  /// However long a pass is, in bf16 no more rows are computed together than the forecast takes for granted.
  @Test(arguments: [FineTuningRecipe.Method.lora, .full], [FineTuningRecipe.TrainingPrecision.bf16, .int8])
  func largePassesHoldNoMoreThanTheForecastSays(
    _ method: FineTuningRecipe.Method, _ precision: FineTuningRecipe.TrainingPrecision
  ) throws {
    let place = try TinyRun(examples: 400)
    var recipe = place.recipe
    (recipe.method, recipe.precision, recipe.dropout) = (method, precision, 0)
    let data = try TrainingData(recipe, for: place.model())
    func peak(_ tokens: Int) throws -> Int {
      let model = try place.model()
      let trainer = try FineTuning.makeTrainer(recipe, model.engine, checkpoint: nil)
      var (indices, sum): ([Int], Int) = ([], 0)
      for next in data.training.answers.indices {
        sum += data.tokenCount([next])
        if sum > tokens { break }
        indices.append(next)
      }
      try #require(sum > tokens)
      _ = try trainer.step([data.training.batch(indices)], learningRate: 0)
      return model.engine.workspacePeakBytes
    }
    // Twice the limit, as examples that begin alike share rows: at least one part is full. Then four times as many.
    let (limited, long) = (try peak(2 * TrainingTrial.rowsAtOnce), try peak(8 * TrainingTrial.rowsAtOnce))
    // A workspace leaves half of what is in use idle at most, in buffers of other sizes.
    #expect(Double(long) < 1.5 * Double(limited), "\(limited), \(long)")
  }

  @Test func countsMeasurementsAndCheckpointsAsTheyCome() {
    for steps in [1, 5, 6, 12] {
      for every in [1, 2, 5, 20] {
        var recipe = FineTuningRecipe()
        (recipe.maxSteps, recipe.evaluateEvery) = (steps, every)
        let plan = TrainingPlan(exampleCount: 100, recipe: recipe)
        let schedule = CheckpointSchedule(recipe, plan, isEvaluated: true)
        #expect(schedule.evaluationCount == 1 + (1...steps).count { schedule.evaluates(after: $0) })
        #expect(schedule.saveCount == (1...steps).count { schedule.saves(after: $0) })
        let blind = CheckpointSchedule(recipe, plan, isEvaluated: false)
        #expect(blind.evaluationCount == 0 && blind.saveCount == 1 && blind.saves(after: steps))
      }
    }
  }
}
