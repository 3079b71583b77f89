import CKernels
import TestSupport
import Testing

@testable import Engine

/// Training whose gradients go back through the quantised base in integers.
@Suite struct Int8TrainingTests {
  private static let cases = [
    ContractCase(model: ContractCase.wide, form: .gguf("Q4_1")),
    ContractCase(model: ContractCase.wide, form: .gguf("Q6_K")),
    ContractCase(model: ContractCase.narrow[0], form: .gguf("Q8_0")),
    ContractCase(model: ContractCase.narrow[1], form: .gguf("Q4_0")),
  ]

  private static func gradient(
    _ test: ContractCase, _ precision: Precision, threads: Int = 2, dropout: Float = 0, isWeightDecomposed: Bool = false
  ) throws -> Found {
    let model = try test.load(.serving, threads: threads)
    let adapter = try model.randomAdapter(dropout: dropout, isWeightDecomposed: isWeightDecomposed, seed: 6)
    let trainer = Trainer(model, adapter: adapter, settings: .init(seed: 3, precision: precision))
    var batch = TrainingBatch()
    for (index, count) in [7, 1, 70, 33].enumerated() {
      batch.append(model.tokens(count, seed: UInt64(40 + index)), supervised: (0..<count).map { $0 % 3 != 1 })
    }
    let loss = trainer.accumulate(batch, scale: 1 / Float(batch.targets.count), pass: 2)
    let parameters = trainer.optimizer.parameters
    return (loss, parameters.map(\.gradientValues), parameters.map(\.name.gguf))
  }

  private typealias Found = (loss: Double, gradients: [[Float]], names: [String])

  /// Each gradient is off by no more than 6 % of its size and 0.4 % of all of them.
  private static func expectNear(_ found: Found, _ whole: Found) {
    let all = whole.gradients.joined().reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
    for (index, name) in found.names.enumerated() {
      var (error, size) = (0.0, 0.0)
      for (a, b) in zip(found.gradients[index], whole.gradients[index]) {
        error += Double(a - b) * Double(a - b)
        size += Double(b) * Double(b)
      }
      #expect(error.squareRoot() < 0.06 * size.squareRoot() + 4e-3 * all, "\(name)")
    }
  }

  @Test(arguments: cases, [false, true])
  func lossAndGradientsAreThoseOfFloatsButForRounding(_ test: ContractCase, _ isWeightDecomposed: Bool) throws {
    let integers = try Self.gradient(test, .int8, isWeightDecomposed: isWeightDecomposed)
    let whole = try Self.gradient(test, .reference, isWeightDecomposed: isWeightDecomposed)
    // The forward pass is that of bf16.
    let half = try Self.gradient(test, .bf16, isWeightDecomposed: isWeightDecomposed)
    #expect(integers.loss == half.loss && integers.gradients != half.gradients)
    Self.expectNear(integers, whole)
  }

  @Test(arguments: cases)
  func gradientsAreTheSameBitsUnderAnyThreadCount(_ test: ContractCase) throws {
    let one = try Self.gradient(test, .int8, threads: 1, dropout: 0.2)
    for threads in [2, 3] {
      let other = try Self.gradient(test, .int8, threads: threads, dropout: 0.2)
      #expect(one.loss == other.loss)
      #expect(zip(one.gradients, other.gradients).allSatisfy { areIdentical($0, $1) }, "\(threads) threads")
    }
  }

  @Test(arguments: [cases[0], cases[2]])
  func gradientsAreTheSameBitsOnEveryInstructionSet(_ test: ContractCase) throws {
    var expected: [[Float]] = []
    try onEveryInstructionSet { _ in
      let found = try Self.gradient(test, .int8).gradients
      if expected.isEmpty { expected = found }
      #expect(zip(found, expected).allSatisfy { areIdentical($0, $1) })
    }
  }

  /// From a pass of many rows on matrices are turned when they are needed, before it they are held turned: both are the same integers.
  @Test func largePassesGoBackThroughWhatSmallOnesHold() throws {
    func gradients(_ precision: Precision, inOne: Bool) throws -> [Float] {
      let model = try Self.cases[0].load(.serving)
      let adapter = try model.randomAdapter(seed: 6)
      let trainer = Trainer(model, adapter: adapter, settings: .init(precision: precision))
      var batches = [TrainingBatch(), TrainingBatch()]
      for index in 0..<8 {
        let tokens = model.tokens(70, seed: UInt64(60 + index))
        batches[inOne ? 0 : index / 4].append(tokens, supervised: tokens.indices.map { $0 % 3 != 1 })
      }
      func isHeld() -> Bool { model.linears.contains { unsafe $0.weight.turned != nil } }
      for batch in batches where batch.sequenceCount > 0 {
        _ = trainer.accumulate(batch, scale: 1, pass: 0)
        #expect(isHeld() == (precision == .int8 && !inOne))
      }
      if inOne {
        // A small one after a large one has the bits of one before it.
        var last = TrainingBatch()
        last.append(model.tokens(70, seed: 60), supervised: (0..<70).map { $0 % 3 != 1 })
        let whole = trainer.optimizer.parameters.flatMap(\.gradientValues)
        for parameter in trainer.optimizer.parameters { parameter.zeroGradient() }
        _ = trainer.accumulate(last, scale: 1, pass: 0)
        let found = trainer.optimizer.parameters.flatMap(\.gradientValues)
        for parameter in trainer.optimizer.parameters { parameter.zeroGradient() }
        let fresh = Trainer(model, adapter: adapter, settings: .init(precision: precision))
        _ = fresh.accumulate(last, scale: 1, pass: 0)
        #expect(isHeld() == (precision == .int8))
        #expect(areIdentical(found, fresh.optimizer.parameters.flatMap(\.gradientValues)))
        return whole
      }
      return trainer.optimizer.parameters.flatMap(\.gradientValues)
    }
    func distance(_ x: [Float], _ y: [Float]) -> Double {
      let squares = zip(x, y).reduce(into: (0.0, 0.0)) {
        $0.0 += Double(($1.0 - $1.1) * ($1.0 - $1.1)); $0.1 += Double($1.1 * $1.1)
      }
      return (squares.0 / squares.1).squareRoot()
    }
    let (large, small) = (try gradients(.int8, inOne: true), try gradients(.int8, inOne: false))
    // Sums over tokens are taken in other groups; in bf16 the gradients would be farther away.
    #expect(distance(large, small) < 1e-4)
    #expect(distance(try gradients(.bf16, inOne: true), small) > 1e-3)
  }

  /// Gradients of weights take memory from the first product that is added to them until the step.
  @Test func gradientsOfWeightsTakeMemoryOnlyWhileThereAreAny() throws {
    let model = try Self.cases[0].load(.serving)
    let trainer = Trainer(model, adapter: nil, settings: .init(precision: .int8))
    func held() -> Int { trainer.optimizer.parameters.reduce(0) { $0 + ($1.halfGradient?.bytes ?? 0) } }
    #expect(held() == 0)
    _ = trainer.accumulate(Self.batch(model), scale: 1, pass: 0)
    let matrices = model.servedMatrices
    let count = model.parameters.reduce(0) { $0 + (matrices.contains(ObjectIdentifier($1)) ? $1.count : 0) }
    #expect(held() == 2 * count && trainer.activationBytes > 0)
    _ = try trainer.step([Self.batch(model)], learningRate: 1e-3)
    #expect(held() == 0 && model.workspace.bytesInUse == 0)
  }

  // MARK: Full fine-tuning

  private static func batch(_ model: LanguageModel) -> TrainingBatch {
    var batch = TrainingBatch()
    for (index, count) in [7, 90, 70, 33].enumerated() {
      batch.append(model.tokens(count, seed: UInt64(40 + index)), supervised: (0..<count).map { $0 % 3 != 1 })
    }
    return batch
  }

  private static func weights(_ test: ContractCase, _ precision: Precision) throws -> Found {
    let model = try test.load(.serving)
    let trainer = Trainer(model, adapter: nil, settings: .init(precision: precision))
    let batch = batch(model)
    let loss = trainer.accumulate(batch, scale: 1 / Float(batch.targets.count), pass: 0)
    let parameters = trainer.optimizer.parameters
    return (loss, parameters.map(\.gradientValues), parameters.map(\.name.gguf))
  }

  @Test(arguments: cases)
  func gradientsOfWeightsAreThoseOfFloatsButForRounding(_ test: ContractCase) throws {
    let integers = try Self.weights(test, .int8), whole = try Self.weights(test, .reference)
    // The forward pass is that of bf16.
    let half = try Self.weights(test, .bf16)
    #expect(integers.loss == half.loss && integers.gradients != half.gradients)
    Self.expectNear(integers, whole)
  }

  /// Gradients of the second step, and the weights that they are taken at.
  private static func second(_ test: ContractCase, threads: Int) throws -> (gradients: [[Float]], weights: [[Float]]) {
    let model = try test.load(.serving, threads: threads)
    let trainer = Trainer(model, adapter: nil, settings: .init(precision: .int8))
    _ = try trainer.step([batch(model)], learningRate: 1e-2)
    _ = trainer.accumulate(batch(model), scale: 1, pass: 1)
    return (trainer.optimizer.parameters.map(\.gradientValues), model.parameters.map { $0.values(model.pool) })
  }

  @Test(arguments: cases)
  func gradientsGoBackThroughTheWeightsAsTheyAreNow(_ test: ContractCase) throws {
    let found = try Self.second(test, threads: 2)
    let model = try test.load(.serving)
    for (parameter, values) in zip(model.parameters, found.weights) { parameter.setValues(values) }
    let trainer = Trainer(model, adapter: nil, settings: .init(precision: .int8))
    _ = trainer.accumulate(Self.batch(model), scale: 1, pass: 1)
    let expected = trainer.optimizer.parameters.map(\.gradientValues)
    #expect(zip(found.gradients, expected).allSatisfy { areIdentical($0, $1) })
  }

  @Test(arguments: [cases[0], cases[2]])
  func gradientsOfWeightsAreTheSameBitsEverywhere(_ test: ContractCase) throws {
    let expected = try Self.second(test, threads: 1)
    try onEveryInstructionSet { _ in
      let found = try Self.second(test, threads: 3)
      #expect(zip(found.weights, expected.weights).allSatisfy { areIdentical($0, $1) })
      #expect(zip(found.gradients, expected.gradients).allSatisfy { areIdentical($0, $1) })
    }
  }

  @Test func aLossWithoutATapeIsTheLossThatIsDifferentiated() throws {
    let model = try Self.cases[0].load(.serving)
    let adapter = try model.randomAdapter(seed: 8)
    let trainer = Trainer(model, adapter: adapter, settings: .init(precision: .int8))
    var batch = TrainingBatch()
    batch.append(model.tokens(90, seed: 5), supervised: (0..<90).map { $0 % 3 != 1 })
    let sum = trainer.accumulate(batch, scale: 1, pass: 0)
    let losses = model.losses(batch, adapter: adapter, precision: .int8)
    #expect(abs(losses.reduce(0, +) - sum) < 1e-9 * sum)
  }
}
