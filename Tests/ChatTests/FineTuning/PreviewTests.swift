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
    let plan = TrainingPlan(exampleCount: data.training.count, recipe: recipe)
    let passes = (0..<plan.stepsPerEpoch).flatMap { plan.batches(at: $0) }.map { indices in
      indices.reduce(0) {
        $0 + data.training.answers[$1].ids.count + (objective == .dpo ? data.training.rejected[$1].ids.count : 0)
      }
    }
    #expect(forecast.largest_tokens == passes.max())
    // Twice the epochs take about twice as long: it is the speed that is measured, not the run.
    let all = Double(passes.reduce(0, +))
    #expect(forecast.seconds > all / forecast.tokens_per_second)
    #expect(forecast.seconds < 3 * all / forecast.tokens_per_second)
  }
}
