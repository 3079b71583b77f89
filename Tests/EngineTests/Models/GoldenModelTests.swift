import Foundation
import TestSupport
import Testing

@testable import Engine

/// Tiny random models against `transformers` and PEFT (Scripts/fixtures/models.py).
@Suite struct GoldenModelTests {
  static let families = ["llama", "llama3", "gpt2"]

  /// A tiny model and what the reference computed with it.
  struct Golden {
    let model: LanguageModel
    let file: SafetensorsFile
    let ids: [[Int32]]
    let labels: [[Int32]]

    init(_ family: String, threads: Int = 2) throws {
      let folder = Fixtures.path("models/\(family)")
      model = try LanguageModel(
        Checkpoint.open(folder), precision: .reference, pool: WorkerPool(threadCount: threads))
      file = try SafetensorsFile(path: folder + "/golden.safetensors")
      ids = try Golden.integers("ids", file)
      labels = try Golden.integers("labels", file)
    }

    static func integers(_ name: String, _ file: SafetensorsFile) throws -> [[Int32]] {
      let width = try #require(file.entry(name)?.shape.last)
      let all = try #require(
        file.withBytes(of: name) { span in
          (0..<span.byteCount / 4).map { span.unsafeLoadUnaligned(fromByteOffset: $0 * 4, as: Int32.self) }
        })
      return stride(from: 0, to: all.count, by: width).map { Array(all[$0..<$0 + width]) }
    }

    func values(_ name: String) throws -> [Float] {
      try #require(try file.tensorIfPresent(name), "\(name) in the golden file").float32Values()
    }

    var batch: TrainingBatch {
      var batch = TrainingBatch()
      for (ids, labels) in zip(ids, labels) { batch.append(ids, supervised: labels.map { $0 >= 0 }) }
      return batch
    }

    /// A parameter's numbers in the order of the folder.
    func inFileOrder(_ parameter: Parameter, _ values: [Float]) -> [Float] {
      guard parameter.isTransposed else { return values }
      return (0..<parameter.columns).flatMap { column in
        (0..<parameter.rows).map { values[$0 * parameter.columns + column] }
      }
    }
  }

  func gap(_ a: [Float], _ b: [Float]) -> Float {
    a.count == b.count ? zip(a, b).map { abs($0 - $1) }.max() ?? 0 : .infinity
  }

  @Test(arguments: families) func logitsAreThoseOfTransformers(_ family: String) throws {
    let golden = try Golden(family)
    let expected = try golden.values("logits")
    let vocabulary = golden.model.vocabularyCount
    for (sequence, ids) in golden.ids.enumerated() {
      for position in ids.indices {
        let start = (sequence * ids.count + position) * vocabulary
        let row = Array(expected[start..<start + vocabulary])
        // One pass a token, and all tokens so far at once, must both give the row.
        let run = golden.model.sequence(adapter: nil)
        let logits = golden.model.step([(run, Array(ids[...position]), true)])
        #expect(gap(logits[0], row) < 2e-5, "\(family), sequence \(sequence), position \(position)")
      }
    }
  }

  @Test(arguments: families) func lossAndGradientsAreThoseOfTransformers(_ family: String) throws {
    let golden = try Golden(family)
    let trainer = Trainer(golden.model, adapter: nil, settings: .init())
    let batch = golden.batch
    let loss = trainer.accumulate(batch, scale: 1 / Float(batch.targets.count), pass: 0)
    #expect(abs(loss / Double(batch.targets.count) - Double(try golden.values("loss")[0])) < 1e-5)
    for parameter in golden.model.parameters {
      let expected = try golden.values("gradient.\(parameter.name.huggingFace)")
      let found = golden.inFileOrder(parameter, parameter.gradientValues)
      let size = expected.map(abs).max() ?? 0
      #expect(gap(found, expected) < 1e-5 + 1e-4 * size, "\(family) \(parameter.name.huggingFace)")
    }
  }

  @Test(arguments: families) func fiveStepsOfAdamWAreThoseOfPyTorch(_ family: String) throws {
    let golden = try Golden(family)
    let trainer = Trainer(
      golden.model, adapter: nil,
      settings: .init(weightDecay: 0.01, maximumGradientNorm: 1, decaysVectors: true))
    for expected in try golden.values("full.losses") {
      let result = try trainer.step([golden.batch], learningRate: 1e-3)
      #expect(abs(result.loss - Double(expected)) < 2e-5)
    }
    for parameter in golden.model.parameters {
      let expected = try golden.values("full.\(parameter.name.huggingFace)")
      let found = golden.inFileOrder(parameter, parameter.values(golden.model.pool))
      // Adam turns the sign of a gradient near zero into a whole step, so a few elements may differ by a part of one.
      var gaps = zip(found, expected).map { abs($0 - $1) }
      if parameter.name.gguf.hasSuffix("attn_qkv.bias") {
        // A key's bias moves all scores of a query alike, so its gradient is zero but for rounding, and Adam makes noise of that.
        gaps.removeSubrange(gaps.count / 3..<2 * gaps.count / 3)
      }
      #expect(gaps.reduce(0, +) / Float(gaps.count) < 1e-6, "\(family) \(parameter.name.huggingFace)")
      #expect((gaps.max() ?? 0) < 1e-3, "\(family) \(parameter.name.huggingFace)")
    }
  }

  @Test(arguments: families) func adaptersAreThoseOfPEFT(_ family: String) throws {
    let golden = try Golden(family)
    let adapter = try PEFTAdapter.read(Fixtures.path("models/\(family)/adapter"), for: golden.model)
    #expect(adapter.entries.count == golden.model.linears.count)
    let run = golden.model.sequence(adapter: adapter)
    let logits = golden.model.step([(run, golden.ids[0], true)])
    let vocabulary = golden.model.vocabularyCount
    let start = (golden.ids[0].count - 1) * vocabulary
    #expect(gap(logits[0], Array(try golden.values("lora.logits")[start..<start + vocabulary])) < 3e-5)

    let trainer = Trainer(golden.model, adapter: adapter, settings: .init(maximumGradientNorm: 1))
    for expected in try golden.values("lora.losses") {
      let result = try trainer.step([golden.batch], learningRate: 1e-2)
      #expect(abs(result.loss - Double(expected)) < 1e-4)
    }
    for parameter in adapter.parameters {
      let expected = try golden.values("lora.\(parameter.name.huggingFace)")
      let gaps = zip(parameter.values(golden.model.pool), expected).map { abs($0 - $1) }
      #expect(gaps.reduce(0, +) / Float(gaps.count) < 2e-5, "\(family) \(parameter.name.huggingFace)")
    }
  }

  @Test(arguments: families) func trainingGivesTheSameBitsUnderAnyThreadCount(_ family: String) throws {
    func run(_ threads: Int) throws -> [[Float]] {
      let golden = try Golden(family, threads: threads)
      let trainer = Trainer(golden.model, adapter: nil, settings: .init(weightDecay: 0.01))
      for _ in 0..<3 { _ = try trainer.step([golden.batch], learningRate: 1e-3) }
      return golden.model.parameters.map { $0.values(golden.model.pool) }
    }
    let one = try run(1)
    #expect(try run(2) == one)
    #expect(try run(3) == one)
  }
}
