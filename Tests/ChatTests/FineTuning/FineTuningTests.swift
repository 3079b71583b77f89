import Engine
import Foundation
import TestSupport
import Testing
import Tokenizers

@testable import Chat

@Suite struct FineTuningTests {
  private func losses(_ output: String) throws -> [Double] {
    struct Line: Decodable {
      let event: String
      let loss: Double
    }
    return try String(contentsOfFile: output + "/metrics.jsonl", encoding: .utf8).split(separator: "\n")
      .map { try JSONDecoder().decode(Line.self, from: Data($0.utf8)) }.filter { $0.event == "step" }.map(\.loss)
  }

  @Test func learnsAndCanBeOpened() throws {
    let place = try TinyRun()
    var recipe = place.recipe
    recipe.epochs = 6
    let output = try place.output("a")
    let done = try place.train(output, recipe)
    let losses = try losses(output)
    #expect(losses.count == 36)
    let (first, last) = (try #require(losses.first), try #require(losses.last))
    #expect(last < first - 0.5, "\(first) to \(last)")
    #expect(try #require(done.bestLoss).isFinite)
    let tuned = try ChatModel.open(path: output, pool: WorkerPool(threadCount: 1))
    #expect(tuned.adapter != nil)
  }

  /// Four examples in one pass, or two and two: the same loss over the same tokens.
  @Test func accumulationChangesNothing() throws {
    let place = try TinyRun()
    var recipe = place.recipe
    recipe.dropout = 0
    var whole: [FineTuningRecipe.TrainingPrecision: [Double]] = [:]
    for precision in [FineTuningRecipe.TrainingPrecision.f32, .bf16] {
      recipe.precision = precision
      let (a, b) = (try place.output("\(precision) a"), try place.output("\(precision) b"))
      (recipe.batchSize, recipe.gradientAccumulation) = (4, 1)
      try place.train(a, recipe)
      (recipe.batchSize, recipe.gradientAccumulation) = (2, 2)
      try place.train(b, recipe)
      let (expected, found) = (try losses(a), try losses(b))
      whole[precision] = expected
      // In bf16 a gradient that several examples share is rounded once, so the split decides what is rounded; no farther apart than
      // bf16 is from f32 anyway.
      let rounding = precision == .f32 ? 1e-4 : zip(expected, whole[.f32] ?? []).map { abs($0 - $1) }.max() ?? 0
      for (x, y) in zip(expected, found) { #expect(abs(x - y) < rounding) }
    }
  }

  @Test func stopsEarlyAndKeepsTheBest() throws {
    let place = try TinyRun()
    var recipe = place.recipe
    // Steps this large make everything worse.
    (recipe.learningRate, recipe.schedule, recipe.warmupRatio, recipe.epochs) = (0.5, .constant, 0, 20)
    (recipe.evaluateEvery, recipe.patience, recipe.keep) = (1, 3, 2)
    let output = try place.output("a")
    let done = try place.train(output, recipe)
    #expect(done.stoppedEarly && done.steps < 120)
    let best = try #require(done.bestStep)
    #expect(best == done.steps - 3)
    let steps = try FileManager.default.contentsOfDirectory(atPath: output + "/checkpoints").sorted()
    #expect(Set(steps) == ["step-\(best)", "step-\(done.steps - 1)", "step-\(done.steps)"])
    #expect(try FileManager.default.destinationOfSymbolicLink(atPath: output + "/best") == "checkpoints/step-\(best)")
    // Resuming a run that lost its patience ends it again.
    #expect(try place.train(output, recipe, resume: true).steps == done.steps)
  }

  @Test func namesTheExamplesOfALossThatIsNotFinite() throws {
    let place = try TinyRun()
    let path = place.modelPath + "/model.safetensors"
    var bytes = try Data(contentsOf: URL(filePath: path))
    // The last four numbers of the file: the norm before the head.
    for index in bytes.count - 16..<bytes.count { bytes[index] = 0xFF }
    try bytes.write(to: URL(filePath: path))
    let tensor = "model.norm.weight"
    PullAddressTests.expectFailure("step 0", "held-out loss is", tensor, "not finite") {
      try place.train(place.output("a"))
    }
    var recipe = place.recipe
    recipe.validationFraction = 0
    PullAddressTests.expectFailure("step 1", "loss is", tensor, "not finite", "data.jsonl:") {
      try place.train(place.output("b"), recipe)
    }
    let checkpoints = try place.output("b") + "/checkpoints"
    #expect(try FileManager.default.contentsOfDirectory(atPath: checkpoints).isEmpty)
  }

  /// Only one conversation has a letter whose row of the token table is damaged.
  @Test func namesTheOneExampleThatFails() throws {
    let place = try TinyRun()
    // This model's head is not its token table.
    for name in ["config.json", "model.safetensors"] {
      try FileManager.default.removeItem(atPath: place.modelPath + "/" + name)
      try FileManager.default.copyItem(
        atPath: Fixtures.path("models/llama3/" + name), toPath: place.modelPath + "/" + name)
    }
    let path = place.modelPath + "/model.safetensors"
    var bytes = try Data(contentsOf: URL(filePath: path))
    let length = bytes.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
    let header = try #require(
      try JSONSerialization.jsonObject(with: bytes[8..<8 + length]) as? [String: [String: Any]])
    let offsets = try #require(header["model.embed_tokens.weight"]?["data_offsets"] as? [Int])
    let letter = Int(try #require(place.model().tokenizer.encode("z", special: false).first))
    let row = 8 + length + offsets[0] + letter * 32 * 4
    for index in row..<row + 4 { bytes[index] = 0xFF }
    try bytes.write(to: URL(filePath: path))

    var lines = try String(contentsOfFile: place.dataPath, encoding: .utf8).split(separator: "\n").map(String.init)
    lines[10] = lines[10].replacing("what", with: "zhat")
    try Data((lines.joined(separator: "\n") + "\n").utf8).write(to: URL(filePath: place.dataPath))
    var recipe = place.recipe
    (recipe.validationFraction, recipe.batchSize, recipe.order) = (0, 4, .given)
    let output = try place.output("a")
    PullAddressTests.expectFailure("step 3", "examples:", "fail by themselves: \(place.dataPath):11") {
      try place.train(output, recipe)
    }
    // Two steps were good.
    let metrics = try String(contentsOfFile: output + "/metrics.jsonl", encoding: .utf8)
    #expect(metrics.split(separator: "\n").count == 2)
  }

  @Test func reportsWhatIsCut() throws {
    let place = try TinyRun()
    var recipe = place.recipe
    recipe.maxLength = 40
    let data = try PreparedData(recipe, for: place.model())
    #expect(data.trainingStatistics.truncatedCount > 0)
    #expect(data.trainingStatistics.lostSupervisedCount > 0)
    recipe.maxLength = 4
    PullAddressTests.expectFailure("data.jsonl", "--max-length 4") { _ = try PreparedData(recipe, for: place.model()) }
  }

  @Test func measuresInTheServingKernelsWhenAsked() throws {
    let place = try TinyRun()
    var recipe = place.recipe
    recipe.precision = .serving
    #expect(try #require(place.train(place.output("a"), recipe).bestLoss).isFinite)
  }

  @Test func trainsInBF16AndSaysSo() throws {
    let place = try TinyRun()
    var losses: [FineTuningRecipe.TrainingPrecision: Double] = [:]
    for precision in [FineTuningRecipe.TrainingPrecision.bf16, .f32] {
      var recipe = place.recipe
      recipe.precision = precision
      let output = try place.output(precision.rawValue)
      losses[precision] = try #require(place.train(output, recipe).bestLoss)
      #expect(try FineTuningRecipe(yaml: output + "/recipe.yaml").precision == precision)
    }
    let (half, whole) = (try #require(losses[.bf16]), try #require(losses[.f32]))
    #expect(half != whole && abs(half - whole) < 1e-2 * whole)
  }

  /// What decides a run is written down as a number, also where it follows from the data.
  @Test func theRecipeOfARunIsResolved() throws {
    let place = try TinyRun()
    var recipe = place.recipe
    (recipe.evaluateEvery, recipe.learningRate, recipe.weightDecay) = (nil, 2e-5, 0.1)
    let output = try place.output("a")
    try place.train(output, recipe, steps: 1)
    let path = output + "/recipe.yaml"
    let resolved = try FineTuningRecipe(yaml: path)
    #expect(resolved.evaluateEvery == 3, "twice in an epoch of six steps")
    (recipe.evaluateEvery, recipe.precision) = (3, resolved.precision)
    #expect(resolved == recipe, "also a seventh, which has more digits than most")
    // Lists stand whole in the report's table.
    recipe.data = ["a: b.jsonl", "c.jsonl"]
    let entries = try recipe.entries()
    #expect(entries.first { $0.name == "data" }?.value == "'a: b.jsonl', c.jsonl")
    #expect(entries.first { $0.name == "validation" }?.value == "[]" && entries.first?.name == "model")
    // Numbers that YAML 1.1 takes for numbers.
    let lines = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
    for line in ["learning_rate: 2.0e-05", "weight_decay: 0.1", "alpha: 16.0", "dropout: 0.1", "beta: 0.1"] {
      #expect(lines.contains { $0 == line }, "\(line)")
    }
  }
}
