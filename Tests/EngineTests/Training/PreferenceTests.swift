import Foundation
import TestSupport
import Testing

@testable import Engine

/// Direct preference optimisation against PyTorch (Scripts/fixtures/preferences.py).
@Suite struct PreferenceTests {
  private struct Golden {
    let file: SafetensorsFile
    let model: LanguageModel
    let adapter: Adapter

    init(threads: Int = 2) throws {
      file = try SafetensorsFile(path: Fixtures.path("preferences/dpo.safetensors"))
      model = try LanguageModel(
        Checkpoint.open(Fixtures.path("models/llama")), precision: .reference, pool: WorkerPool(threadCount: threads))
      adapter = try PEFTAdapter.read(Fixtures.path("models/llama/adapter"), for: model)
    }

    func values(_ name: String) throws -> [Float] {
      try #require(try file.tensorIfPresent(name), "\(name) in the golden file").float32Values()
    }

    /// Σ log p of an answer under the model as it is.
    func reference(_ ids: [Int32], _ supervised: [Bool]) -> Double {
      var batch = TrainingBatch()
      batch.append(ids, supervised: supervised)
      return -model.losses(batch, adapter: adapter)[0]
    }

    /// The pairs, `width` to a batch.
    func batches(_ width: Int) throws -> [PreferenceBatch] {
      var batches: [PreferenceBatch] = []
      for pair in 0..<4 {
        let prompt = try GoldenModelTests.Golden.integers("prompt.\(pair)", file)[0]
        func answer(_ name: String) throws -> PreferenceBatch.Answer {
          let ids = try GoldenModelTests.Golden.integers("\(name).\(pair)", file)[0]
          let supervised = ids.indices.map { $0 >= prompt.count }
          return PreferenceBatch.Answer(ids: ids, supervised: supervised, reference: reference(ids, supervised))
        }
        if pair % width == 0 { batches.append(PreferenceBatch()) }
        batches[batches.count - 1].append(chosen: try answer("chosen"), rejected: try answer("rejected"))
      }
      return batches
    }
  }

  @Test(arguments: [1, 2, 4]) func stepsAreThoseOfPyTorch(_ width: Int) throws {
    let golden = try Golden()
    let batches = try golden.batches(width)
    let references = batches.flatMap(\.references)
    #expect(largestGap(references.map { Float($0) }, try golden.values("reference")) < 1e-4)
    let trainer = Trainer(golden.model, adapter: golden.adapter, settings: .init(maximumGradientNorm: 1))
    let steps = try golden.values("steps")
    for step in 0..<5 {
      let expected = Array(steps[step * 5..<(step + 1) * 5])
      let before = PreferenceFigures.sum(
        batches.map { golden.model.preferences($0, beta: 0.3, adapter: golden.adapter) })
      let result = try trainer.step(batches, beta: 0.3, learningRate: 1e-2)
      let figures = try #require(result.preferences)
      #expect(figures == before, "the same without gradients")
      let found = [result.loss, figures.chosen, figures.rejected, figures.accuracy, result.gradientNorm]
      #expect(largestGap(found.map { Float($0) }, expected) < 3e-4, "step \(step): \(found), \(expected)")
    }
    for parameter in golden.adapter.parameters {
      let expected = try golden.values("final.\(parameter.name.huggingFace)")
      let gaps = zip(parameter.values(golden.model.pool), expected).map { abs($0 - $1) }
      #expect(gaps.reduce(0, +) / Float(gaps.count) < 5e-5, "\(parameter.name.huggingFace)")
    }
  }

  @Test func theReferenceItselfIsIndifferent() throws {
    let golden = try Golden()
    let batch = try golden.batches(4)[0]
    let figures = golden.model.preferences(batch, beta: 0.3, adapter: golden.adapter)
    #expect(figures.pairCount == 4 && figures.wins == 0 && figures.margin == 0)
    #expect(abs(figures.loss - log(2)) < 1e-12)
  }

  @Test func threadsChangeNothing() throws {
    func run(_ threads: Int) throws -> [[Float]] {
      let golden = try Golden(threads: threads)
      let trainer = Trainer(golden.model, adapter: golden.adapter, settings: .init())
      let batches = try golden.batches(2)
      for _ in 0..<3 { _ = try trainer.step(batches, beta: 0.1, learningRate: 1e-2) }
      return golden.adapter.parameters.map { $0.values(golden.model.pool) }
    }
    let one = try run(1)
    #expect(try run(3) == one)
  }

  @Test func extremesStayFinite() {
    var figures = PreferenceFigures()
    #expect(figures.add(chosen: 1e4, rejected: -1e4) == 0)
    #expect(figures.add(chosen: -1e4, rejected: 1e4) == 1)
    #expect(figures.lossSum == 2e4 && figures.wins == 1)
  }
}

extension PreferenceFigures {
  fileprivate static func sum(_ parts: [PreferenceFigures]) -> PreferenceFigures {
    var sum = PreferenceFigures()
    for part in parts { sum.add(part) }
    return sum
  }
}
