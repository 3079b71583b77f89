import TestSupport
import Testing

@testable import Engine

/// The gradient of every parameter of every family, against central differences of the loss.
@Suite struct GradientContract {
  static let cases =
    ContractCase.full
    + ContractCase.quantised.filter { [.gguf("Q4_1"), .gguf("Q4_0"), .gguf("BF16")].contains($0.form) }

  /// A model, what is trained of it, and texts to train on.
  private struct Loss {
    let model: LanguageModel
    let adapter: Adapter?
    let batch: TrainingBatch
    let seed: UInt64 = 3
    let passIndex = 2

    init(_ model: LanguageModel, adapter: Adapter?) {
      self.model = model
      self.adapter = adapter
      // Sequences of one token, with gaps in what is supervised, and over a border between pages; two begin as others do.
      var texts = [7, 1, 35].enumerated().map { model.tokens($1, seed: UInt64(40 + $0)) }
      texts += [Array(texts[2].prefix(20)) + texts[0], texts[0]]
      var batch = TrainingBatch()
      for text in texts { batch.append(text, supervised: text.indices.map { $0 % 3 != 1 }) }
      self.batch = batch
    }

    /// Σ −log p over the supervised tokens, with the dropout of the pass that is differentiated.
    var value: Double {
      let part = batch.packed(isSharing: adapter?.hasDropout != true)[0]
      let pass = Pass(
        packed: part.rows, adapter: adapter, pool: model.pool, workspace: model.workspace,
        precision: .reference, dropout: DropoutSource(seed: seed, step: passIndex))
      let hidden = model.architecture.hiddenStates(part.rows.tokens, pass)
      let losses = pass.crossEntropy(
        pass.select(part.wanted, of: hidden), model.architecture.head, targets: part.targets, scale: 0)
      return losses.reduce(0) { $0 + Double($1) }
    }

    /// Starts training and leaves the gradient in the parameters.
    func differentiate() -> [Parameter] {
      let trainer = Trainer(model, adapter: adapter, settings: .init(seed: seed))
      let sum = trainer.accumulate(batch, scale: 1, pass: passIndex)
      #expect(sum == value, "the loss that is differentiated")
      return trainer.optimizer.parameters
    }

    /// The derivative in the direction of `change`.
    func derivative(_ parameter: Parameter, along change: [Float], step: Double) -> Double {
      let start = parameter.values(model.pool)
      defer { parameter.setValues(start) }
      return CentralDifferences.derivative(step: step) { h in
        parameter.setValues(zip(start, change).map { Float(Double($0) + h * Double($1)) })
        return value
      }
    }
  }

  /// Compares each parameter's gradient along two random directions, and at its largest and some other elements.
  private func check(_ loss: Loss) {
    var random = SplitMix64(seed: 99)
    var zeroes: [String] = []
    for parameter in loss.differentiate() {
      let gradient = parameter.gradientValues.map(Double.init)
      let norm = gradient.reduce(0) { $0 + $1 * $1 }.squareRoot()
      if norm < 1e-3 { zeroes.append(parameter.name.gguf) }
      for _ in 0..<2 {
        // Every element moves by one, so the derivative is about as large as the gradient's norm.
        let direction = (0..<parameter.count).map { _ in Bool.random(using: &random) ? Float(1) : -1 }
        let step = 0.01 / Double(parameter.columns).squareRoot()
        let expected = loss.derivative(parameter, along: direction, step: step)
        let found = zip(gradient, direction).reduce(0) { $0 + $1.0 * Double($1.1) }
        #expect(abs(found - expected) < 3e-3 * norm + 3e-2, "\(parameter.name.gguf): \(found), \(expected)")
      }
      let largest = gradient.indices.max { abs(gradient[$0]) < abs(gradient[$1]) } ?? 0
      for index in [largest, Int.random(in: 0..<parameter.count, using: &random)] {
        var direction = [Float](repeating: 0, count: parameter.count)
        direction[index] = 1
        let expected = loss.derivative(parameter, along: direction, step: 0.02)
        #expect(
          abs(gradient[index] - expected) < 5e-3 * abs(expected) + 2e-3,
          "\(parameter.name.gguf)[\(index)]: \(gradient[index]), \(expected)")
      }
    }
    #expect(zeroes.isEmpty, "gradients of nothing: nothing was compared")
  }

  @Test(arguments: cases) func everyParameterHasTheGradientOfTheLoss(_ test: ContractCase) throws {
    check(Loss(try test.load(.reference), adapter: nil))
  }

  @Test(arguments: cases, [false, true])
  func adaptersHaveTheGradientOfTheLoss(_ test: ContractCase, isRankStabilised: Bool) throws {
    // The base is as it serves: packed, if its format has a packed form.
    let model = try test.load(.serving)
    let adapter = try model.randomAdapter(dropout: 0.3, isRankStabilised: isRankStabilised, seed: 6)
    check(Loss(model, adapter: adapter))
  }

  @Test(arguments: cases)
  func decomposedWeightsHaveTheGradientOfTheLossWithNormsHeld(_ test: ContractCase) throws {
    let model = try test.load(.serving)
    let adapter = try model.randomAdapter(dropout: 0.3, isWeightDecomposed: true, seed: 7)
    for (_, pair) in adapter.entries {
      let magnitude = try #require(pair.magnitude)
      _ = magnitude.norms(pair, model.workspace, model.pool)
      magnitude.isHeld = true
    }
    check(Loss(model, adapter: adapter))
  }
}
