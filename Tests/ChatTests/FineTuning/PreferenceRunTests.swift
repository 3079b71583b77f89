import Engine
import Foundation
import Testing

@testable import Chat

/// Whole runs of direct preference optimisation.
@Suite struct PreferenceRunTests {
  private func place() throws -> (place: TinyRun, recipe: FineTuningRecipe) {
    let place = try TinyRun()
    try TinyRun.writePreferences(count: 28, to: place.dataPath)
    var recipe = place.recipe
    (recipe.objective, recipe.beta, recipe.learningRate, recipe.epochs) = (.dpo, 0.5, 2e-2, 3)
    return (place, recipe)
  }

  private struct Line: Decodable {
    let event: String
    let step: Int
    let loss: Double
    let perplexity: Double?
    let reward_accuracy: Double?
    let reward_margin: Double?
  }

  private func lines(_ output: String) throws -> [Line] {
    try String(contentsOfFile: output + "/metrics.jsonl", encoding: .utf8).split(separator: "\n")
      .map { try JSONDecoder().decode(Line.self, from: Data($0.utf8)) }
  }

  @Test func chosenAnswersGainOnRejectedOnes() throws {
    let (place, recipe) = try place()
    let output = try place.output("a")
    let done = try place.train(output, recipe)
    let lines = try lines(output)
    // The model is its own reference before the first step.
    let first = try #require(lines.first)
    #expect(first.event == "evaluation" && abs(first.loss - log(2)) < 1e-9 && first.perplexity == nil)
    #expect(first.reward_accuracy == 0 && first.reward_margin == 0)
    let last = try #require(lines.last { $0.event == "evaluation" })
    #expect(last.loss < 0.6)
    #expect(try #require(last.reward_accuracy) >= 0.75)
    #expect(done.bestLoss ?? 1 <= last.loss)
    #expect(try TinyRun.remains(output).keys.contains("events eval/rewards/margins"))
  }

  /// Dropout and an adapter to begin with: the reference must be that adapter, without dropout, before and after a resume.
  @Test func aResumedRunLeavesWhatAnUninterruptedOneLeaves() throws {
    var (place, recipe) = try place()
    let start = try place.output("start")
    try TinyRun.writeData(count: 28, to: place.dataPath + ".sft")
    var first = place.recipe
    first.data = [place.dataPath + ".sft"]
    try place.train(start, first)
    (recipe.adapter, recipe.epochs) = (start + "/best", 1)
    let whole = try place.output("whole")
    #expect(try place.train(whole, recipe).steps == 6)
    let expected = try TinyRun.remains(whole)
    for stop in [0, 1, 4] {
      let output = try place.output("stop-\(stop)")
      try place.train(output, recipe, steps: stop)
      // What it began with may go; the numbers are kept.
      if stop == 4 { try FileManager.default.removeItem(atPath: start) }
      #expect(try place.train(output, recipe, resume: true).steps == 6)
      #expect(try TinyRun.remains(output) == expected, "stopped after step \(stop)")
    }
    let damaged = whole + "/reference.json"
    try Data("{}".utf8).write(to: URL(filePath: damaged))
    PullAddressTests.expectFailure("reference.json", "new run") { try place.train(whole, recipe, resume: true) }
  }

  @Test func refusesDataOfTheOtherKind() throws {
    var (place, recipe) = try place()
    recipe.objective = .sft
    PullAddressTests.expectFailure("data.jsonl:1", "preference", "--objective dpo") {
      try place.train(place.output("a"), recipe)
    }
    try TinyRun.writeData(count: 28, to: place.dataPath)
    recipe.objective = .dpo
    PullAddressTests.expectFailure("data.jsonl:", "no \"rejected\"") { try place.train(place.output("b"), recipe) }
    recipe.method = .full
    PullAddressTests.expectFailure("--objective", "--method lora") { try place.train(place.output("c"), recipe) }
  }

  @Test func onlyTheLastAnswersCount() throws {
    let (place, recipe) = try place()
    let line = """
      {"prompt": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "bb"}, \
      {"role": "user", "content": "c"}], "chosen": "ddd", "rejected": "e", "system": "s"}
      """
    try Data((line + "\n" + line.replacing("\"a\"", with: "\"x\"") + "\n").utf8).write(
      to: URL(filePath: place.dataPath))
    let data = try TrainingData(recipe, for: place.model())
    // Each letter is a token, and the stop.
    #expect(data.training.answers.map(\.supervisedCount) == [4] && data.training.rejected.map(\.supervisedCount) == [2])
    #expect(data.trainingStatistics.shapes == [.preference])
  }
}
