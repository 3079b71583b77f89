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
    // What the run's recipe says of it is what it is, and the run goes on with that.
    let written = try FineTuningRecipe(yaml: output + "/recipe.yaml")
    #expect(written.targets == adapter.settings.targets && !written.targets.isEmpty)
    #expect(written.rank == adapter.settings.rank && written.rslora == adapter.settings.isRankStabilised)
    let stopped = try place.output("b")
    try place.train(stopped, recipe, steps: 3)
    try place.train(stopped, try FineTuningRecipe(yaml: stopped + "/recipe.yaml"), resume: true)
    #expect(try TinyRun.remains(stopped) == TinyRun.remains(output))
  }

  /// What is in it is: the error says where.
  @Test func aRunFolderIsNoAdapter() throws {
    let place = try TinyRun()
    var recipe = place.recipe
    let (adapter, full) = (try place.output("adapter"), try place.output("full"))
    try place.train(adapter)
    recipe.adapter = adapter
    PullAddressTests.expectFailure(adapter, "run folder", "--adapter \(adapter)/best") {
      try place.train(try place.output("b"), recipe)
    }
    try FineTuning.requireAdapterFolder(adapter + "/best")
    for name in ["best", "latest"] { try FileManager.default.removeItem(atPath: adapter + "/" + name) }
    PullAddressTests.expectFailure(adapter, "no", "checkpoint", "--resume") {
      try FineTuning.requireAdapterFolder(adapter)
    }
    (recipe.adapter, recipe.method, recipe.precision) = (nil, .full, .f32)
    try place.train(full, recipe, steps: 2)
    PullAddressTests.expectFailure(full, "--model \(full)") { try FineTuning.requireAdapterFolder(full) }
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
