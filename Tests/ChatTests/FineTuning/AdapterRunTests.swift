import Foundation
import TestSupport
import Testing

@testable import Chat
@testable import Engine

/// Runs of rsLoRA and DoRA, and runs that continue from what PEFT trained.
@Suite struct AdapterRunTests {
  @Test func decomposedAndStabilisedRunsResumeToTheSameBytes() throws {
    let place = try TinyRun()
    var recipe = place.recipe
    (recipe.rslora, recipe.dora) = (true, true)
    let whole = try place.output("whole")
    try place.train(whole, recipe)
    let expected = try TinyRun.remains(whole)
    for stop in [1, 4] {
      let output = try place.output("stop-\(stop)")
      try place.train(output, recipe, steps: stop)
      try place.train(output, recipe, resume: true)
      #expect(try TinyRun.remains(output) == expected)
    }
    let model = try place.model(whole)
    let adapter = try #require(model.adapter)
    #expect(adapter.settings.isRankStabilised && adapter.settings.isWeightDecomposed)
    #expect(adapter.settings.scale == 16 / Float(2).squareRoot())
    // Lengths were learned, not only kept.
    let fresh = try model.engine.makeAdapter(adapter.settings, seed: recipe.seed)
    let moved = zip(adapter.entries, fresh.entries).count { a, b in
      a.pair.magnitude?.lengths.values(model.engine.pool) != b.pair.magnitude?.lengths.values(model.engine.pool)
    }
    #expect(moved == adapter.mapCount)
    recipe.method = .full
    PullAddressTests.expectFailure("--rslora", "--method lora") { try recipe.validate() }
  }

  /// Adapters that PEFT wrote, DoRA and with ranks and alphas of single modules, are trained on and written as they were.
  @Test(arguments: ["llama-dora", "llama-rslora"]) func continuesFromPEFT(_ kind: String) throws {
    let place = try TinyRun()
    var recipe = place.recipe
    recipe.adapter = Fixtures.path("adapters/" + kind)
    recipe.precision = .f32
    let output = try place.output("a")
    let done = try place.train(output, recipe)
    #expect(try #require(done.bestLoss) < #require(done.baseLoss))
    let settings = try PEFTAdapter.settings(output + "/best")
    #expect(try settings == PEFTAdapter.settings(recipe.adapter ?? ""))
    #expect(try place.model(output).adapter?.mapCount == 14)
    // The run begins where the adapter ended: before the first step the loss is the adapter's.
    let model = try place.model()
    let data = try TrainingData(recipe, for: model)
    let adapter = try PEFTAdapter.read(recipe.adapter ?? "", for: model.engine)
    let loss = HeldOutLoss(data.validation.answers).measure(model.engine, adapter: adapter).perToken
    #expect(done.baseLoss == loss)
  }

  /// Trained on as a base, an adapter would be left out without a word. Where every weight was trained there is nothing to leave out.
  @Test func anAdapterIsNoBase() throws {
    let place = try TinyRun()
    let adapter = try place.output("adapter")
    try place.train(adapter)
    PullAddressTests.expectFailure("--adapter \(adapter)/best", "tiny") {
      try place.train(try place.output("b"), base: place.model(adapter), basePath: adapter)
    }
    #expect(!FileManager.default.fileExists(atPath: try place.output("b") + "/recipe.yaml"))
    var recipe = place.recipe
    (recipe.method, recipe.precision) = (.full, .f32)
    let full = try place.output("full")
    let best = try #require(place.train(full, recipe).bestLoss)
    recipe.method = .lora
    let done = try place.train(try place.output("c"), recipe, base: place.model(full), basePath: full)
    #expect(try abs(#require(done.baseLoss) - best) < 1e-4)
  }
}
