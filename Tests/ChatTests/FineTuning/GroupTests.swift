import Engine
import Foundation
import TestSupport
import Testing

@testable import Chat

/// Runs that several members of a group work on together.
@Suite struct GroupTests {
  private func place() throws -> (place: TinyRun, recipe: FineTuningRecipe) {
    let place = try TinyRun()
    var recipe = place.recipe
    // Dropout draws by place in a batch, so it is another one when batches are shared.
    (recipe.dropout, recipe.epochs, recipe.learningRate) = (0, 2, 2e-2)
    recipe.precision = .f32
    return (place, recipe)
  }

  /// Trains in a group; the other members are told nothing but where their copy of the model lies.
  private func train(
    _ size: Int, _ recipe: FineTuningRecipe, _ output: String, model: String, resume: Bool = false, steps: Int = .max,
    elsewhere: String? = nil
  ) -> [(any Error)?] {
    ThreadGroup.run(size) { group in
      func open(_ path: String) throws -> ChatModel {
        try ChatModel.open(path: path, name: "tiny", pool: WorkerPool(threadCount: 1))
      }
      guard group.rank == 0 else {
        var recipe = try FineTuningMember.recipe(of: group)
        if let elsewhere { recipe.data = [elsewhere] }
        return try FineTuningMember(recipe, base: open(model), group: group).run()
      }
      let run = try FineTuning(
        recipe, base: open(model), basePath: model, output: output, resume: resume, group: group)
      var count = 0
      run.isInterrupted = { count >= steps }
      _ = try run.run { if case .step = $0 { count += 1 } }
    }
  }

  private struct Line: Decodable {
    let event: String
    let step: Int
    let loss: Double
    let gradient_norm: Double?
    let supervised_tokens: Int?
  }

  private func lines(_ output: String) throws -> [Line] {
    try String(contentsOfFile: output + "/metrics.jsonl", encoding: .utf8).split(separator: "\n")
      .map { try JSONDecoder().decode(Line.self, from: Data($0.utf8)) }
  }

  @Test(arguments: [FineTuningRecipe.Method.lora, .full], [2, 3, 5])
  func aGroupHasTheLossesOfOne(_ method: FineTuningRecipe.Method, size: Int) throws {
    var (place, recipe) = try place()
    recipe.method = method
    let alone = try place.output("alone")
    try place.train(alone, recipe)
    let together = try place.output("together")
    #expect(train(size, recipe, together, model: place.modelPath).allSatisfy { $0 == nil })
    let (expected, found) = (try lines(alone), try lines(together))
    #expect(expected.count == found.count)
    for (a, b) in zip(expected, found) {
      #expect(a.event == b.event && a.step == b.step && a.supervised_tokens == b.supervised_tokens)
      #expect(abs(a.loss - b.loss) < 2e-5 * a.loss)
      #expect(abs((a.gradient_norm ?? 0) - (b.gradient_norm ?? 0)) <= 1e-3 * (a.gradient_norm ?? 0))
    }
    // Before the first step, nothing has been added in another order.
    #expect(expected[0].loss == found[0].loss)
  }

  @Test(arguments: [FineTuningRecipe.Method.lora, .full])
  func aGroupInBF16HasTheLossesOfOneButForRounding(_ method: FineTuningRecipe.Method) throws {
    var (place, recipe) = try place()
    (recipe.method, recipe.precision) = (method, .bf16)
    let alone = try place.output("alone")
    try place.train(alone, recipe)
    let together = try place.output("together")
    #expect(train(2, recipe, together, model: place.modelPath).allSatisfy { $0 == nil })
    let (expected, found) = (try lines(alone), try lines(together))
    #expect(expected.count == found.count && expected[0].loss == found[0].loss)
    // A gradient that several examples share is rounded once, and what is added in another order on the way; steps are large here. No
    // farther apart than bf16 is from f32 anyway.
    recipe.precision = .f32
    let exact = try place.output("exact")
    try place.train(exact, recipe)
    let rounding = zip(expected, try lines(exact)).map { abs($0.loss - $1.loss) }.max() ?? 0
    #expect(
      zip(expected, found).allSatisfy { abs($0.loss - $1.loss) < rounding && abs($0.loss - $1.loss) < 1e-2 * $0.loss })
  }

  @Test func preferencesAreSharedToo() throws {
    var (place, recipe) = try place()
    try TinyRun.writePreferences(count: 28, to: place.dataPath)
    (recipe.objective, recipe.beta) = (.dpo, 0.5)
    let (alone, together) = (try place.output("alone"), try place.output("together"))
    try place.train(alone, recipe)
    #expect(train(2, recipe, together, model: place.modelPath).allSatisfy { $0 == nil })
    for (a, b) in zip(try lines(alone), try lines(together)) { #expect(abs(a.loss - b.loss) < 1e-4) }
  }

  @Test func aResumedGroupLeavesWhatAnUninterruptedOneLeaves() throws {
    let (place, recipe) = try place()
    let whole = try place.output("whole")
    #expect(train(2, recipe, whole, model: place.modelPath).allSatisfy { $0 == nil })
    let expected = try TinyRun.remains(whole)
    let output = try place.output("stopped")
    #expect(train(2, recipe, output, model: place.modelPath, steps: 5).allSatisfy { $0 == nil })
    #expect(train(2, recipe, output, model: place.modelPath, resume: true).allSatisfy { $0 == nil })
    #expect(try TinyRun.remains(output) == expected)
  }

  @Test func membersWithOtherDataAreRefused() throws {
    let (place, recipe) = try place()
    let other = place.folder.path + "/other.jsonl"
    try TinyRun.writeData(count: 28, to: other, salt: "x")
    let errors = train(3, recipe, try place.output("a"), model: place.modelPath, elsewhere: other)
    #expect(errors.allSatisfy { "\($0.map { "\($0)" } ?? "")".contains("other data, or another model") })
    #expect("\(errors[0].map { "\($0)" } ?? "")".contains("2 of 3 processes"))
  }

  @Test func theRunEndsWhenAMemberDoes() throws {
    let (place, recipe) = try place()
    let output = try place.output("a")
    let model = place.modelPath
    let errors = ThreadGroup.run(2) { group in
      func open() throws -> ChatModel {
        try ChatModel.open(path: model, name: "tiny", pool: WorkerPool(threadCount: 1))
      }
      guard group.rank == 0 else {
        let recipe = try FineTuningMember.recipe(of: group)
        try FineTuningMember(recipe, base: open(), group: group).run { if $0 == 4 { throw CancellationError() } }
        return
      }
      _ = try FineTuning(recipe, base: open(), basePath: model, output: output, group: group).run { _ in }
    }
    #expect(errors.allSatisfy { $0 != nil })
    // What was kept before is whole, and the run goes on from it.
    let done = try place.train(output, recipe, resume: true)
    #expect(done.steps == 12)
  }
}
