import Engine
import Foundation
import Testing

@testable import Chat

/// What was learned is put on no other weights than those it was learned on.
@Suite struct BaseWeightsTests {
  /// Changes the last number of a folder's weights.
  private func change(_ model: String, _ file: String = "model.safetensors") throws {
    let url = URL(filePath: model + "/" + file)
    var data = try Data(contentsOf: url)
    data[data.count - 2] ^= 0x01
    try data.write(to: url)
  }

  @Test(arguments: [FineTuningRecipe.Method.lora, .full]) func refusesABaseWhoseWeightsWereReplaced(
    method: FineTuningRecipe.Method
  ) throws {
    let place = try TinyRun()
    let output = try place.output("a")
    var recipe = place.recipe
    recipe.method = method
    try place.train(output, recipe, steps: 2)
    _ = try ChatModel.open(path: output)
    let run = ModelStore.Location(path: output, name: "tuned")
    _ = try ExportSource(run, pool: WorkerPool(threadCount: 1))

    try change(place.modelPath)
    let words = [output, "tiny", place.modelPath, "other weights", "put back"]
    func expectRefusal(_ body: () throws -> Void) {
      let error = #expect(throws: RunError.self) { try body() }
      for word in words { #expect(error?.description.contains(word) == true, "\(error?.description ?? "")") }
    }
    expectRefusal { _ = try ChatModel.open(path: output) }
    expectRefusal { _ = try ExportSource(run, pool: WorkerPool(threadCount: 1)) }
    expectRefusal { try place.train(output, recipe, resume: true) }

    try change(place.modelPath)
    try place.train(output, recipe, resume: true)
  }

  @Test func refusesAnAdapterOfAnotherBase() throws {
    let place = try TinyRun()
    try place.train(try place.output("a"), steps: 2)
    let adapter = try place.output("a") + "/latest"
    var recipe = place.recipe
    recipe.adapter = adapter
    try place.train(try place.output("b"), recipe, steps: 1)
    try change(place.modelPath)
    PullAddressTests.expectFailure(adapter, "other weights") { try place.train(try place.output("c"), recipe) }
    // Nothing was begun.
    #expect(!FileManager.default.fileExists(atPath: try place.output("c") + "/recipe.yaml"))
  }

  @Test func refusesOtherSettings() throws {
    let place = try TinyRun()
    let output = try place.output("a")
    try place.train(output, steps: 2)
    let config = URL(filePath: place.modelPath + "/config.json")
    var settings = try #require(try JSONSerialization.jsonObject(with: Data(contentsOf: config)) as? [String: Any])
    settings["rms_norm_eps"] = 0.25
    settings["transformers_version"] = "9"
    try JSONSerialization.data(withJSONObject: settings).write(to: config)
    PullAddressTests.expectFailure(output, "other weights") { _ = try ChatModel.open(path: output) }
  }

  @Test func acceptsARecordWithoutWeights() throws {
    let place = try TinyRun()
    let output = try place.output("a")
    try place.train(output, steps: 2)
    let file = URL(filePath: output + "/" + TunedModel.recordName)
    var record = try #require(try JSONSerialization.jsonObject(with: Data(contentsOf: file)) as? [String: Any])
    #expect(record.removeValue(forKey: "weights") != nil)
    try JSONSerialization.data(withJSONObject: record).write(to: file)
    try change(place.modelPath)
    _ = try ChatModel.open(path: output)
  }

  @Test func samplesEveryPartOfALargeTensor() {
    #expect(WeightsSample.ranges(of: 0) == [0..<0])
    #expect(WeightsSample.ranges(of: 8192) == [0..<8192])
    for count in [8193, 100_000, 1 << 30] {
      let ranges = WeightsSample.ranges(of: count)
      #expect(ranges.count == 8 && ranges.first?.lowerBound == 0 && ranges.last?.upperBound == count)
      #expect(ranges.allSatisfy { $0.count == 1024 && $0.upperBound <= count })
      #expect(zip(ranges, ranges.dropFirst()).allSatisfy { $0.upperBound <= $1.lowerBound })
    }
  }
}
