import Engine
import Foundation
import Testing

@testable import Chat

/// A run that was stopped and resumed leaves what an uninterrupted one leaves.
@Suite struct ResumeTests {
  @Test func theFolderForTensorBoardIsRemembered() throws {
    let place = try TinyRun()
    let (output, elsewhere) = (try place.output("logged"), place.folder.appending(path: "boards/a").path)
    func events(_ folder: String) throws -> [String] {
      let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
      return names.filter { $0.contains("tfevents") }.sorted().map { folder + "/" + $0 }
    }
    try place.train(output, steps: 3, logFolder: elsewhere)
    try place.train(output, resume: true)
    #expect(try events(output).isEmpty && events(elsewhere).count == 2)
    let untouched = try place.output("untouched")
    try place.train(untouched)
    let tag = "train/loss"
    let (found, wanted) = try (
      TensorBoardFiles.scalars(events(elsewhere))[tag], TensorBoardFiles.scalars(events(untouched))[tag]
    )
    #expect(found?.count == 6 && found?.map(\.value) == wanted?.map(\.value))

    // A folder given later takes its place.
    let later = place.folder.appending(path: "boards/b").path
    try place.train(output, resume: true, logFolder: later)
    try place.train(output, resume: true)
    #expect(try events(elsewhere).count == 2 && events(later).count == 2)

    // What was remembered and can no longer be written to is named.
    try FileManager.default.removeItem(atPath: later)
    try Data().write(to: URL(filePath: later))
    #expect {
      try FineTuning.checkPlaces(place.recipe, output: output, resume: true, logFolder: nil)
    } throws: { "\($0)".contains(later) && "\($0)".contains("--logdir") }
  }

  /// Half a run by one recipe and half by another would be the result of neither.
  @Test func aChangedRecipeIsRefused() throws {
    let place = try TinyRun()
    let output = try place.output("a")
    try place.train(output, steps: 3)
    var recipe = place.recipe
    (recipe.learningRate, recipe.rank) = (1e-3, 4)
    #expect {
      try place.train(output, recipe, resume: true)
    } throws: { "\($0)".contains("rank, learning_rate: is not what") && "\($0)".contains("recipe.yaml") }
    // What changes no byte of what is learned may change: where the data lies, what is kept.
    recipe = place.recipe
    recipe.data = [place.folder.appending(path: "moved.jsonl").path]
    try FileManager.default.moveItem(atPath: place.dataPath, toPath: recipe.data[0])
    (recipe.keep, recipe.saveEvery) = (1, 1)
    #expect(try place.train(output, recipe, resume: true).steps == 6)
  }

  /// In bf16, full fine-tuning keeps first moments in bf16, in its checkpoints too.
  @Test(arguments: [FineTuningRecipe.Method.lora, .full], [FineTuningRecipe.TrainingPrecision.f32, .bf16])
  func stoppedAtEveryStep(_ method: FineTuningRecipe.Method, _ precision: FineTuningRecipe.TrainingPrecision) throws {
    let place = try TinyRun()
    var recipe = place.recipe
    recipe.method = method
    recipe.precision = precision
    let whole = try place.output("whole")
    #expect(try place.train(whole, recipe).steps == 6)
    let expected = try TinyRun.remains(whole)
    #expect(expected["latest"] == "→ checkpoints/step-6")
    #expect(expected["events eval/loss"]?.hasPrefix("0: ") == true)
    for stop in 1..<6 {
      let output = try place.output("stop-\(stop)")
      #expect(try place.train(output, recipe, steps: stop).steps == stop)
      #expect(try place.train(output, recipe, resume: true).steps == 6)
      #expect(try TinyRun.remains(output) == expected, "stopped after step \(stop)")
    }
    // After every single step, and once more when there is nothing left to do.
    let output = try place.output("often")
    try place.train(output, recipe, steps: 0)
    for _ in 0..<7 { try place.train(output, recipe, resume: true, steps: 1) }
    #expect(try TinyRun.remains(output) == expected)
  }

  /// What a kill leaves: no checkpoint yet, a log that is ahead, a half-written line, drafts, links that were not moved.
  @Test func mendsWhatAKillLeft() throws {
    let place = try TinyRun()
    let whole = try place.output("whole")
    try place.train(whole)
    let expected = try TinyRun.remains(whole)
    let manager = FileManager.default

    let early = try place.output("early")
    try place.train(early, steps: 1)
    try manager.removeItem(atPath: early + "/checkpoints/step-1")
    for link in ["best", "latest"] { try? manager.removeItem(atPath: early + "/" + link) }
    try place.train(early, resume: true)
    #expect(try TinyRun.remains(early) == expected)

    let late = try place.output("late")
    try place.train(late, steps: 5)
    try manager.removeItem(atPath: late + "/checkpoints/step-5")
    let log = late + "/metrics.jsonl"
    try (Data(contentsOf: URL(filePath: log)) + Data("{\"event\": \"st".utf8)).write(to: URL(filePath: log))
    try manager.createDirectory(atPath: late + "/checkpoints/.step-5.draft", withIntermediateDirectories: true)
    try manager.removeItem(atPath: late + "/latest")
    try Data("x".utf8).write(to: URL(filePath: late + "/.recipe.yaml.1.abc.partial"))
    try place.train(late, resume: true)
    #expect(try TinyRun.remains(late) == expected)

    // A damaged newest checkpoint falls back on the one before.
    let damaged = try place.output("damaged")
    try place.train(damaged)
    let file = damaged + "/checkpoints/step-6/adapter_model.safetensors"
    var bytes = try Data(contentsOf: URL(filePath: file))
    bytes[bytes.count - 1] ^= 1
    try bytes.write(to: URL(filePath: file))
    try place.train(damaged, resume: true)
    #expect(try TinyRun.remains(damaged) == expected)

    // All damaged: nothing is begun anew without a word.
    for step in try manager.contentsOfDirectory(atPath: damaged + "/checkpoints") {
      try Data("{}".utf8).write(to: URL(filePath: damaged + "/checkpoints/\(step)/manifest.json"))
    }
    PullAddressTests.expectFailure("step-6", "damaged", "new run") { try place.train(damaged, resume: true) }

    // Killed before the recipe was written: the folder is as good as new.
    let empty = try place.output("empty")
    try manager.createDirectory(atPath: empty + "/checkpoints", withIntermediateDirectories: true)
    try Data().write(to: URL(filePath: empty + "/.lock"))
    // Or while it was.
    try Data("model: ti".utf8).write(to: URL(filePath: empty + "/.recipe.yaml.1.abc.partial"))
    try place.train(empty)
    #expect(try TinyRun.remains(empty) == expected)
  }

  @Test func refusesWhatIsNotTheSameRun() throws {
    let place = try TinyRun()
    let output = try place.output("a")
    try place.train(output, steps: 2)
    let before = try TinyRun.remains(output)
    PullAddressTests.expectFailure(output, "holds a run already", "--resume") { try place.train(output) }

    let other = place.folder.appending(path: "other").path
    try TinyRun.writeModel(to: URL(filePath: other))
    PullAddressTests.expectFailure(output, place.modelPath, other) {
      try place.train(output, resume: true, basePath: other)
    }
    try FileManager.default.removeItem(atPath: place.modelPath)
    try TinyRun.writeModel(to: URL(filePath: place.modelPath), template: TinyRun.template + " ")
    PullAddressTests.expectFailure(output, "chat template", "trained with") { try place.train(output, resume: true) }
    try FileManager.default.removeItem(atPath: place.modelPath)
    try TinyRun.writeModel(to: URL(filePath: place.modelPath))

    try TinyRun.writeData(count: 28, to: place.dataPath, salt: "0")
    PullAddressTests.expectFailure(output, "data is not what this run was trained on") {
      try place.train(output, resume: true)
    }
    #expect(try TinyRun.remains(output) == before)
    try TinyRun.writeData(count: 28, to: place.dataPath)
    #expect(try place.train(output, resume: true).steps == 6)
    PullAddressTests.expectFailure("model.json", "not a record") {
      try Data("{}".utf8).write(to: URL(filePath: output + "/model.json"))
      try place.train(output, resume: true)
    }
  }
}
