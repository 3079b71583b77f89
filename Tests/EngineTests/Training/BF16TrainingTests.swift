import CKernels
import TestSupport
import Testing

@testable import Engine

/// Training in bf16: near what f32 gives, and the same bits always.
@Suite struct BF16TrainingTests {
  private static func batch(_ model: LanguageModel, _ counts: [Int] = [7, 1, 70, 33]) -> TrainingBatch {
    var batch = TrainingBatch()
    for (index, count) in counts.enumerated() {
      batch.append(model.tokens(count, seed: UInt64(40 + index)), supervised: (0..<count).map { $0 % 3 != 1 })
    }
    // One that begins as another does.
    let text = model.tokens(50, seed: 42).prefix(40) + model.tokens(9, seed: 50)
    batch.append(Array(text), supervised: text.indices.map { $0 % 3 != 1 })
    return batch
  }

  /// What is trained of a model.
  enum Kind: CaseIterable { case adapter, dropout, decomposed, everything }

  private static func gradient(
    _ test: ContractCase, _ kind: Kind, _ precision: Precision, threads: Int = 2
  ) throws -> (loss: Double, gradients: [[Float]], names: [String]) {
    let model = try test.load(kind == .everything ? .reference : .serving, threads: threads)
    let adapter: Adapter? =
      switch kind {
      case .everything: nil
      case .adapter: try model.randomAdapter(seed: 6)
      case .dropout: try model.randomAdapter(dropout: 0.3, seed: 6)
      case .decomposed: try model.randomAdapter(isWeightDecomposed: true, seed: 6)
      }
    let trainer = Trainer(model, adapter: adapter, settings: .init(seed: 3, precision: precision))
    let batch = batch(model)
    let loss = trainer.accumulate(batch, scale: 1 / Float(batch.targets.count), pass: 2)
    let parameters = trainer.optimizer.parameters
    return (loss, parameters.map(\.gradientValues), parameters.map(\.name.gguf))
  }

  @Test(arguments: GradientContract.cases, Kind.allCases)
  func lossAndGradientsAreThoseOfFloatsButForRounding(_ test: ContractCase, _ kind: Kind) throws {
    let half = try Self.gradient(test, kind, .bf16)
    let whole = try Self.gradient(test, kind, .reference)
    #expect(abs(half.loss - whole.loss) < 2e-3 * whole.loss)
    // Some gradients are nothing but rounding: a key's bias moves all scores of a query alike.
    let all = whole.gradients.joined().reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
    for (index, name) in half.names.enumerated() {
      var (error, size) = (0.0, 0.0)
      for (a, b) in zip(half.gradients[index], whole.gradients[index]) {
        error += Double(a - b) * Double(a - b)
        size += Double(b) * Double(b)
      }
      #expect(error.squareRoot() < 0.03 * size.squareRoot() + 2e-3 * all, "\(name)")
    }
  }

  @Test(arguments: GradientContract.cases, Kind.allCases)
  func gradientsAreTheSameBitsUnderAnyThreadCount(_ test: ContractCase, _ kind: Kind) throws {
    let one = try Self.gradient(test, kind, .bf16, threads: 1)
    for threads in [2, 3] {
      let other = try Self.gradient(test, kind, .bf16, threads: threads)
      #expect(one.loss == other.loss)
      #expect(zip(one.gradients, other.gradients).allSatisfy { areIdentical($0, $1) }, "\(threads) threads")
    }
  }

  @Test(arguments: [ContractCase.models[0], ContractCase.narrow[1]])
  func gradientsAreTheSameBitsOnEveryInstructionSet(_ model: TinyModel) throws {
    let test = ContractCase(model: model, form: .folder)
    var expected: [[Float]] = []
    try onEveryInstructionSet { _ in
      let found = try Self.gradient(test, .adapter, .bf16).gradients
      if expected.isEmpty { expected = found }
      #expect(zip(found, expected).allSatisfy { areIdentical($0, $1) })
    }
  }

  @Test(arguments: ContractCase.all)
  func lossesAreThoseOfEachAlone(_ test: ContractCase) throws {
    let model = try test.load(.serving)
    let adapter = try model.randomAdapter(seed: 8)
    func losses(_ texts: [[Int32]]) -> [Double] {
      var batch = TrainingBatch()
      for text in texts { batch.append(text, supervised: text.indices.map { $0 % 3 != 1 }) }
      return model.losses(batch, adapter: adapter, precision: .bf16)
    }
    let texts = [7, 1, 75, 2, 19].map { model.tokens($0, seed: UInt64(60 + $0)) }
    let alone = texts.map { losses([$0])[0] }
    #expect(losses(texts) == alone)
    #expect(losses(texts.reversed()) == alone.reversed())
  }

  @Test func aLossWithoutATapeIsTheLossThatIsDifferentiated() throws {
    let model = try ContractCase(model: ContractCase.narrow[0], form: .gguf("Q4_1")).load(.serving)
    let adapter = try model.randomAdapter(seed: 8)
    let trainer = Trainer(model, adapter: adapter, settings: .init(precision: .bf16))
    let batch = Self.batch(model)
    let sum = trainer.accumulate(batch, scale: 1, pass: 0)
    let losses = model.losses(batch, adapter: adapter, precision: .bf16)
    #expect(abs(losses.reduce(0, +) - sum) < 1e-9 * sum)
  }

  /// Batches are computed in parts of whole sequences: what they teach is the same, and they take the memory of one part.
  @Test(arguments: [true, false]) func aLargeBatchIsComputedInParts(trainsAdapter: Bool) throws {
    let test = ContractCase(model: ContractCase.models[0], form: .folder)
    // Two do not fit in one part.
    let length = 600
    func run(_ seeds: Range<UInt64>) throws -> (loss: Double, gradients: [[Float]], bytes: Int) {
      let model = try test.load(trainsAdapter ? .serving : .reference)
      let adapter = trainsAdapter ? try model.randomAdapter(seed: 6) : nil
      let trainer = Trainer(model, adapter: adapter, settings: .init(seed: 3, precision: .bf16))
      var batch = TrainingBatch()
      for seed in seeds {
        batch.append(model.tokens(length, seed: seed), supervised: (0..<length).map { $0 % 3 != 1 })
      }
      let loss = trainer.accumulate(batch, scale: 1e-3, pass: 2)
      return (loss, trainer.optimizer.parameters.map(\.gradientValues), model.workspacePeakBytes)
    }
    let (ones, four) = (try (1..<5).map { try run($0..<$0 + 1) }, try run(1..<5))
    #expect(abs(four.loss - ones.reduce(0) { $0 + $1.loss }) < 1e-9 * four.loss)
    for (index, found) in four.gradients.enumerated() {
      let expected = found.indices.map { i in ones.reduce(0) { $0 + $1.gradients[index][i] } }
      let size = expected.map(abs).max() ?? 0
      #expect(largestGap(found, expected) < 2e-2 * size + 1e-6)
    }
    #expect(four.bytes < ones[0].bytes * 5 / 4)
  }
}
