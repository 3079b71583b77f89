import Engine
import Foundation
import Testing
import Tokenizers

@testable import Chat

/// What guards against forgetting: the probe and replay.
@Suite struct ForgettingTests {
  @Test func theProbeIsAsItIsSaidToBe() {
    #expect(GeneralProbe.questions.count == 60 && GeneralProbe.passages.count == 8)
    #expect(GeneralProbe.questions.allSatisfy { $0.choices.count == 4 && Set($0.choices).count == 4 })
    #expect(Set(GeneralProbe.questions.map(\.stem)).count == 60)
    #expect(Set(GeneralProbe.passages.map(\.domain)).count == 8)
    #expect(GeneralProbe.passages.allSatisfy { (400...900).contains($0.text.utf8.count) })
  }

  /// Against sums of log-probabilities taken one text at a time.
  @Test func figuresAreThoseOfTheModel() throws {
    let place = try TinyRun()
    let model = try place.model()
    let texts = ["a small boat, and a long way home.", "what is 12? it is ab."]
    let questions: [GeneralProbe.Question] = [
      .init("what is", "one", "seven", "ab", "a boat"), .init("it is", "ab", "zz9", "one more", "q"),
      // Capitals are not in this tokenizer.
      .init("what is", "ONE", "two", "six", "ten"),
    ]
    let probe = GeneralProbe(
      passages: texts.enumerated().map { .init(domain: "\($0)", text: $1) }, questions: questions)
    let score = probe.measure(model)
    #expect(score.questions == 2)

    func logProbability(_ beginning: String, _ text: String) throws -> (sum: Double, bytes: Int) {
      let (start, rest) = (
        model.tokenizer.encode(beginning, special: false), model.tokenizer.encode(text, special: false)
      )
      let scored = try Scorer(model).score(start + rest)
      let first = max(1, start.count)
      return (scored.logprobs[first...].reduce(0) { $0 + ($1 ?? 0) }, text.utf8.count - (start.isEmpty ? 1 : 0))
    }
    let whole = try texts.map { try logProbability("", $0) }
    let expected = -whole.reduce(0) { $0 + $1.sum } / log(2) / Double(whole.reduce(0) { $0 + $1.bytes })
    // The scorer computes in the serving kernels, which for this model's f32 weights differ in rounding only.
    #expect(abs(score.bits_per_byte - expected) < 1e-3)
    let right = try questions.prefix(2).count { question in
      let scores = try question.choices.map { try logProbability(question.stem, " " + $0).sum / Double($0.count) }
      return scores.dropFirst().allSatisfy { $0 < scores[0] }
    }
    #expect(score.accuracy == Double(right) / 2)
  }

  @Test func evaluationMeasuresItWhenAsked() throws {
    let place = try TinyRun()
    let model = try place.model()
    let plain = try Evaluator(files: [place.dataPath], generates: false).evaluate(model).evaluation
    #expect(plain.probe == nil)
    let probed = try Evaluator(files: [place.dataPath], generates: false, probes: true).evaluate(model)
    #expect(probed.evaluation.probe == GeneralProbe().measure(model) && probed.evaluation.loss == plain.loss)
    let comparison = EvaluationComparison(probed, against: probed)
    #expect(comparison.html(probed.detail, against: probed.detail).contains("General text"))
  }

  @Test func aDropBeyondTheBoundIsSaid() {
    func score(_ bits: Double, _ right: Int) -> GeneralProbe.Score {
      .init(bits_per_byte: bits, accuracy: Double(right) / 60, questions: 60, domains: [:])
    }
    #expect(GeneralProbe.warnings(base: score(1, 50), tuned: score(1.04, 45)).isEmpty)
    #expect(GeneralProbe.warnings(base: score(1, 50), tuned: score(0.5, 60)).isEmpty)
    let text = GeneralProbe.warnings(base: score(1, 50), tuned: score(1.2, 50))
    #expect(text.count == 1 && text[0].contains("from 1.000 to 1.200, by 20 %"))
    let questions = GeneralProbe.warnings(base: score(1, 50), tuned: score(1, 44))
    #expect(questions == ["50 of 60 general questions were right, now 44 (bound: 10 points)"])
  }

  @Test(arguments: [FineTuningRecipe.Method.lora, .full]) func aRunIsMeasuredAtItsEnd(_ method: FineTuningRecipe.Method)
    throws
  {
    let place = try TinyRun()
    var recipe = place.recipe
    (recipe.probe, recipe.method, recipe.precision) = (true, method, .f32)
    let output = try place.output("a")
    let run = try FineTuning(recipe, base: place.model(), basePath: place.modelPath, output: output)
    var probes: [FineTuningEvent.Probe] = []
    _ = try run.run { if case .probe(let probe) = $0 { probes.append(probe) } }
    let probe = try #require(probes.first)
    #expect(probes.count == 1 && probe.tuned != probe.base)
    #expect(probe.base == GeneralProbe().measure(try place.model()))
    // What is measured is what the folder holds.
    #expect(probe.tuned == GeneralProbe().measure(try ChatModel.open(path: output, pool: WorkerPool(threadCount: 1))))
    let page = try String(contentsOfFile: output + "/report.html", encoding: .utf8)
    #expect(page.contains("General text") && page.contains("General questions"))

    // Stopped and resumed, and resumed when there is nothing left to do.
    let expected = try TinyRun.remains(output)
    #expect(expected["probe.json"] != nil)
    let other = try place.output("b")
    try place.train(other, recipe, steps: 3)
    #expect(!FileManager.default.fileExists(atPath: other + "/probe.json"))
    for _ in 0..<2 {
      try place.train(other, recipe, resume: true)
      #expect(try TinyRun.remains(other) == expected)
    }
  }

  @Test func replayMakesUpItsShare() throws {
    let place = try TinyRun()
    let replay = place.folder.appending(path: "replay.jsonl").path
    try TinyRun.writeData(count: 40, to: replay, salt: " again")
    var recipe = place.recipe
    (recipe.replay, recipe.replayFraction) = ([replay], 0.25)
    let data = try TrainingData(recipe, for: place.model())
    let plain = try TrainingData(place.recipe, for: place.model())
    #expect(plain.training.count == 24 && data.training.count == 32)
    #expect(data.trainingStatistics.replayCount == 8)
    #expect(Array(data.training.answers.prefix(24)) == plain.training.answers)
    #expect(Set(data.training.answers.suffix(8).map(\.line)).count == 8)
    #expect(data.training.answers.suffix(8).allSatisfy { $0.file == replay })
    #expect(data.hash != plain.hash)
    #expect(try TrainingData(recipe, for: place.model()).hash == data.hash)
    recipe.seed = 1
    #expect(try TrainingData(recipe, for: place.model()).training.answers.suffix(8) != data.training.answers.suffix(8))

    recipe.replayFraction = 0.9
    PullAddressTests.expectFailure("replay.jsonl", "--replay-fraction 0.9", "takes 216") {
      _ = try TrainingData(recipe, for: place.model())
    }
    recipe.replayFraction = 1
    PullAddressTests.expectFailure("--replay-fraction") { try recipe.validate() }
  }

  /// Wherever it ends: the share is that of what was trained on, to the example.
  @Test(arguments: [FineTuningRecipe.Order.shuffled, .given], [0.1, 0.2, 0.25, 0.5, 0.7])
  func replayHasItsShareAtEveryStep(_ order: FineTuningRecipe.Order, _ fraction: Double) {
    var recipe = FineTuningRecipe()
    (recipe.order, recipe.replayFraction, recipe.batchSize, recipe.epochs) = (order, fraction, 3, 2)
    recipe.replay = ["replay.jsonl"]
    for own in [1, 2, 10, 41] {
      let replay = TrainingPlan.replayCount(beside: own, recipe)
      let plan = TrainingPlan(exampleCount: own + replay, replayCount: replay, recipe: recipe)
      for epoch in 0..<2 {
        let indices = plan.order(inEpoch: epoch)
        #expect(indices.sorted() == Array(0..<own + replay))
        // One too many or too few where a share of the epoch is no whole number.
        for count in 1...indices.count {
          let replayed = indices.prefix(count).count { $0 >= own }
          #expect(abs(Double(replayed) - fraction * Double(count)) <= 1, "\(replayed) of \(count)")
        }
        #expect(plan.steps(inEpoch: epoch).flatMap { $0 }.flatMap { $0 } == indices)
      }
      for step in 0..<plan.stepsPerEpoch { #expect(plan.batches(at: step) == plan.steps(inEpoch: 0)[step]) }
      // Without replay, the order is what it always was.
      let plain = TrainingPlan(exampleCount: own, recipe: recipe)
      if order == .given { #expect(plain.order(inEpoch: 0) == Array(0..<own)) }
    }
  }

  /// Few steps need few examples of replay, and no more are asked for.
  @Test func replayOfAFewStepsIsTheirShare() throws {
    let place = try TinyRun()
    let replay = place.folder.appending(path: "replay.jsonl").path
    try TinyRun.writeData(count: 3, to: replay, salt: " again")
    var recipe = place.recipe
    (recipe.replay, recipe.replayFraction, recipe.maxSteps) = ([replay], 0.25, 3)
    let data = try TrainingData(recipe, for: place.model())
    #expect(data.training.count == 24 + 3 && data.trainingStatistics.replayCount == 3)
    let seen = data.plan(recipe).steps(inEpoch: 0).flatMap { $0 }.flatMap { $0 }
    #expect(seen.count == 12 && seen.count { $0 >= 24 } == 3 && Set(seen).count == 12)
    // As many as fit exactly, whatever the numbers.
    for steps in 1...12 {
      for own in [5, 24, 31] {
        (recipe.maxSteps, recipe.replayFraction) = (steps, 0.3)
        let count = TrainingPlan.replayCount(beside: own, recipe)
        let plan = TrainingPlan(exampleCount: own + count, replayCount: count, recipe: recipe)
        let seen = (0..<min(steps, plan.stepsPerEpoch)).flatMap { plan.batches(at: $0) }.flatMap { $0 }
        #expect(abs(Double(seen.count { $0 >= own }) - 0.3 * Double(seen.count)) <= 1)
      }
    }
    (recipe.maxSteps, recipe.replayFraction) = (4, 0.25)
    PullAddressTests.expectFailure("replay.jsonl", "3 examples", "0.25 of 4 steps takes 4") {
      _ = try TrainingData(recipe, for: place.model())
    }
  }

  @Test func aRunWithReplayResumesToTheSameBytes() throws {
    let place = try TinyRun()
    let replay = place.folder.appending(path: "replay.jsonl").path
    try TinyRun.writeData(count: 8, to: replay, salt: " again")
    var recipe = place.recipe
    (recipe.replay, recipe.replayFraction, recipe.maxSteps) = ([replay], 0.25, 5)
    let whole = try place.output("whole")
    #expect(try place.train(whole, recipe).steps == 5)
    for stop in [1, 3, 4] {
      let output = try place.output("stop-\(stop)")
      try place.train(output, recipe, steps: stop)
      try place.train(output, recipe, resume: true)
      #expect(try TinyRun.remains(output) == TinyRun.remains(whole))
    }
  }
}
