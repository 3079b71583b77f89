import TestSupport
import Testing

@testable import Engine

/// Conversations that lie side by side in one pass do not see each other, in the loss or in what it teaches.
@Suite struct PackingContract {
  private static func batch(_ texts: [[Int32]]) -> TrainingBatch {
    var batch = TrainingBatch()
    for text in texts { batch.append(text, supervised: text.indices.map { $0 % 3 != 1 }) }
    return batch
  }

  @Test(arguments: ContractCase.all)
  func lossesAreThoseOfEachAlone(_ test: ContractCase) throws {
    let model = try test.load(.reference)
    let adapter = try model.randomAdapter(isWeightDecomposed: true, seed: 8)
    let texts = [7, 1, 35, 2, 19].map { model.tokens($0, seed: UInt64(60 + $0)) }
    let alone = texts.map { model.losses(Self.batch([$0]), adapter: adapter)[0] }
    #expect(model.losses(Self.batch(texts), adapter: adapter) == alone)
    #expect(model.losses(Self.batch(texts.reversed()), adapter: adapter) == alone.reversed())
    // Other neighbours, and neighbours of other lengths, change not a bit.
    let others = [40, 3].map { model.tokens($0, seed: UInt64($0)) }
    let found = model.losses(Self.batch([others[0], texts[2], others[1], texts[4]]), adapter: adapter)
    #expect([found[1], found[3]] == [alone[2], alone[4]])
  }

  @Test(arguments: ContractCase.full)
  func gradientsAreTheSumOfEachAlone(_ test: ContractCase) throws {
    let model = try test.load(.serving)
    let adapter = try model.randomAdapter(seed: 9)
    let trainer = Trainer(model, adapter: adapter, settings: .init())
    let texts = [7, 35, 19].map { model.tokens($0, seed: UInt64(60 + $0)) }
    func gradient(_ batches: [TrainingBatch]) -> [[Float]] {
      for parameter in adapter.parameters { parameter.zeroGradient() }
      for batch in batches { _ = trainer.accumulate(batch, scale: 1, pass: 0) }
      return adapter.parameters.map(\.gradientValues)
    }
    let (together, apart) = (gradient([Self.batch(texts)]), gradient(texts.map { Self.batch([$0]) }))
    for (parameter, (a, b)) in zip(adapter.parameters, zip(together, apart)) {
      let size = b.map(abs).max() ?? 0
      #expect(size > 0 && largestGap(a, b) < 1e-5 + 2e-5 * size, "\(parameter.name.gguf)")
    }
  }

  /// Sequences that begin alike share rows: their losses are those of each alone to the bit, what they teach is the same.
  @Test(arguments: ContractCase.full, [Precision.reference, .bf16])
  func sharedBeginningsChangeNothing(_ test: ContractCase, _ precision: Precision) throws {
    let model = try test.load(.serving)
    let adapter = try model.randomAdapter(seed: 9)
    let trunk = model.tokens(35, seed: 3)
    let texts = [trunk, Array(trunk.prefix(21)) + model.tokens(14, seed: 4), Array(trunk.prefix(8)), trunk]
    let batch = Self.batch(texts)
    let alone = texts.map { model.losses(Self.batch([$0]), adapter: adapter, precision: precision)[0] }
    #expect(model.losses(batch, adapter: adapter, precision: precision) == alone)

    let trainer = Trainer(model, adapter: adapter, settings: .init(precision: precision))
    func gradient(_ batches: [TrainingBatch]) -> (loss: Double, gradients: [[Float]]) {
      for parameter in adapter.parameters { parameter.zeroGradient() }
      let loss = batches.reduce(0.0) { $0 + trainer.accumulate($1, scale: 1, pass: 0) }
      return (loss, adapter.parameters.map(\.gradientValues))
    }
    let (shared, apart) = (gradient([batch]), gradient(texts.map { Self.batch([$0]) }))
    #expect(abs(shared.loss - apart.loss) < 1e-9 * apart.loss)
    let tolerance: Float = precision == .bf16 ? 2e-2 : 2e-5
    for (parameter, (a, b)) in zip(adapter.parameters, zip(shared.gradients, apart.gradients)) {
      let size = b.map(abs).max() ?? 0
      #expect(size > 0 && largestGap(a, b) < 1e-5 + tolerance * size, "\(parameter.name.gguf)")
    }
  }
}
