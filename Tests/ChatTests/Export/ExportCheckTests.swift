import Engine
import Foundation
import Testing

@testable import Chat

/// What exports keep of what was learned.
@Suite struct ExportCheckTests {
  private let pool = WorkerPool(threadCount: 1)

  /// A run on the tiny model that learned something, named.
  private func withRun(
    _ method: FineTuningRecipe.Method = .lora, epochs: Int = 16,
    _ use: (_ place: TinyRun, _ exporter: Exporter, _ folder: String) throws -> Void
  ) throws {
    let place = try TinyRun()
    var recipe = place.recipe
    (recipe.epochs, recipe.dropout, recipe.method, recipe.rank) = (epochs, 0, method, 8)
    let output = try place.output("run")
    try place.train(output, recipe)
    let folder = place.folder.appending(path: "out").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try use(place, Exporter(.init(path: output, name: "tuned"), pool: pool), folder)
  }

  private func type(_ name: String) throws -> StorageType { try #require(StorageType(name: name)) }

  @Test(arguments: [FineTuningRecipe.Method.lora, .full]) func anExactExportLosesNothing(
    _ method: FineTuningRecipe.Method
  ) throws {
    try withRun(method) { place, exporter, folder in
      for (format, name) in [(ExportFormat.gguf, "a.gguf"), (.safetensors, "a")] {
        let result = try exporter.export(format, to: folder + "/" + name, type: type("F32"), check: .init())
        let check = try #require(result.check)
        #expect(check.isPassed && abs(check.lost) < 1e-4 && check.written.mean_kl < 1e-6)
        #expect(check.written.top1_agreement == 1)
        #expect((check.merged == nil) == (method == .full))
        #expect(check.merged.map { abs($0.loss - check.tuned_loss) < 1e-4 } ?? true)
        #expect(try #require(check.learned) > 0.5)
        // The run's own figures, on the same examples.
        let held = try TrainingData(place.recipe, for: place.model()).validation
        #expect(check.examples == held.count && check.tokens == held.answers.reduce(0) { $0 + $1.supervisedCount })
        let loss = HeldOutLoss(held.answers).measure(
          try ChatModel.open(path: exporter.location.path, precision: .reference, pool: pool).engine,
          adapter: nil
        ).perToken
        if method == .full { #expect(abs(loss - check.tuned_loss) < 1e-5) }
        #expect(check.data == [place.dataPath])
      }
    }
  }

  @Test func whatLostTooMuchIsNotWritten() throws {
    try withRun { place, exporter, folder in
      let output = folder + "/small.gguf"
      var request = ExportCheck.Request()
      // The model's rows of 32 hold whole blocks of this type, of two bits or so for a weight.
      let coarse = try type("Q4_0")
      let measured = try exporter.export(
        .gguf, to: output, type: coarse,
        check: {
          request.allowsLoss = true; return request
        }())
      let check = try #require(measured.check)
      #expect(check.written.mean_kl > 1e-4 && check.lost > 0)
      try FileManager.default.removeItem(atPath: output)
      request.allowsLoss = false
      if check.isPassed {
        _ = try exporter.export(.gguf, to: output, type: coarse, check: request)
      } else {
        let error = #expect(throws: ExportError.self) {
          try exporter.export(.gguf, to: output, type: coarse, check: request)
        }
        for word in ["was not written", "--allow-loss", "--type", "nats"] {
          #expect(error?.description.contains(word) == true, "\(word)")
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty, "nothing is left behind")
      }
    }
  }

  /// What is written again in the base's own type falls back on the base: what was learned is smaller than its steps.
  @Test func theBasesOwnTypeErasesWhatWasLearned() throws {
    try withRun { place, exporter, folder in
      let base = folder + "/base.gguf"
      _ = try Exporter(.init(path: place.modelPath, name: "tiny"), pool: pool).export(
        .gguf, to: base, type: type("Q4_1"))
      var recipe = place.recipe
      (recipe.epochs, recipe.dropout, recipe.learningRate, recipe.model) = (2, 0, 5e-4, base)
      let model = try ChatModel.open(path: base, name: "tiny", pool: pool)
      let output = try place.output("on-q4")
      try place.train(output, recipe, base: model, basePath: base)
      var request = ExportCheck.Request()
      request.allowsLoss = true
      let exporter = Exporter(.init(path: output, name: "tuned"), pool: pool)
      func lost(_ name: String) throws -> Double {
        let check = try #require(
          try exporter.export(.gguf, to: folder + "/\(name).gguf", type: type(name), check: request).check)
        return check.lost / (try #require(check.learned))
      }
      #expect(try abs(lost("F16")) < 0.05)
      #expect(try lost("Q4_1") > 0.5)
      // Quantising goes the same way.
      let quantization = Quantization(exporter.location, precision: .reference, pool: pool)
      #expect(throws: ExportError.self) {
        try quantization.run(type("Q4_1"), to: folder + "/q.gguf", measures: false, check: .init())
      }
      let report = try quantization.run(type("F16"), to: folder + "/q.gguf", measures: false, check: .init())
      #expect(report.check?.isPassed == true)
    }
  }

  @Test func saysWhatToDoInstead() throws {
    let plain = Adapter.Settings(rank: 8, alpha: 16)
    let decomposed = Adapter.Settings(rank: 8, alpha: 16, isWeightDecomposed: true)
    func advice(_ name: String?, _ adapter: Adapter.Settings?) throws -> String {
      ExportAdvice.text("desk", try name.map(type), adapter: adapter)
    }
    let quantised = try advice("Q4_1", plain)
    for word in [
      "steps of Q4_1", "--type Q8_0", "hearth export desk --format gguf-adapter --output FILE.gguf", "--allow-loss",
    ] {
      #expect(quantised.contains(word), "\(word)")
    }
    #expect(try advice("Q8_0", plain).contains("--type F16") && advice("BF16", plain).contains("--type F32"))
    #expect(try !advice("F32", plain).contains("--type") && !advice(nil, plain).contains("--type"))
    // llama.cpp's adapter files do not hold DoRA, and full fine-tuning has no adapter.
    #expect(try advice("Q4_0", decomposed).contains("--format peft --output FOLDER"))
    #expect(try !advice("Q4_0", nil).contains("hearth export") && advice("Q4_0", nil).contains("--type Q8_0"))
  }

  @Test func theBoundIsATenthOfWhatWasLearned() {
    func check(base: Double?, tuned: Double, written: Double) -> ExportCheck {
      ExportCheck(
        data: [], examples: 1, tokens: 1, positions: 1, baseLoss: base, tunedLoss: tuned, merged: nil,
        written: .init(loss: written, mean_kl: 0, top1_agreement: 1))
    }
    #expect(check(base: 4, tuned: 1, written: 1.29).isPassed)
    #expect(!check(base: 4, tuned: 1, written: 1.31).isPassed)
    // Little was learned: what rounding costs is allowed all the same.
    #expect(
      check(base: 1.05, tuned: 1, written: 1.019).isPassed && !check(base: 1.05, tuned: 1, written: 1.03).isPassed)
    #expect(check(base: 1, tuned: 1.2, written: 1.21).isPassed)
    // Nothing was learned: there is nothing to lose.
    #expect(check(base: nil, tuned: 1, written: 9).isPassed)
  }

  @Test func figuresAreThoseOfTheDistributions() throws {
    try withRun(epochs: 2) { place, exporter, folder in
      let source = try ExportSource(exporter.location, pool: pool)
      let examiner = try ExportExaminer(source, data: [place.dataPath])
      #expect(examiner.exampleCount == 28)
      let tuned = try ChatModel.open(path: exporter.location.path, precision: .reference, pool: pool)
      let yardstick = examiner.yardstick(tuned.engine, tuned.adapter)
      #expect(yardstick.rows.count <= ExportExaminer.maximumPositions && yardstick.rows.count > 100)
      let same = examiner.compare(tuned.engine, tuned.adapter, with: yardstick)
      #expect(same == .init(loss: yardstick.loss, mean_kl: same.mean_kl, top1_agreement: 1) && same.mean_kl < 1e-9)
      let base = examiner.compare(tuned.engine, nil, with: yardstick)
      #expect(base.mean_kl > 0.01 && base.top1_agreement < 1)
      #expect(abs(base.loss - examiner.loss(tuned.engine, nil)) < 1e-12)
    }
  }

  @Test func saysWhenTheRunsDataHasGone() throws {
    try withRun(epochs: 1) { place, exporter, folder in
      try FileManager.default.moveItem(atPath: place.dataPath, toPath: place.dataPath + ".away")
      let error = #expect(throws: ExportError.self) {
        try exporter.export(.gguf, to: folder + "/a.gguf", check: .init())
      }
      #expect(error?.description.contains("--data") == true && error?.description.contains("--no-check") == true)
      var request = ExportCheck.Request()
      request.data = [place.dataPath + ".away"]
      #expect(try exporter.export(.gguf, to: folder + "/a.gguf", check: request).check?.examples == 28)
      #expect(try exporter.export(.gguf, to: folder + "/b.gguf").check == nil)
    }
  }
}
