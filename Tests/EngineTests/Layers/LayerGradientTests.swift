import TestSupport
import Testing

@testable import Engine

/// The gradient of every operation a model is made of.
@Suite struct LayerGradientTests {
  @Test(arguments: [1, 7, 16, 35]) func rmsNorm(_ width: Int) {
    var check = GradientCheck()
    check.inputs = [.init(rows: 3, columns: width)]
    let weight = check.parameter(1, width, around: 1, bound: 0.5, seed: 1)
    check.parameters = [weight]
    // A large epsilon: with one column the output would otherwise be a sign.
    check.run { pass, x in [pass.norm(x[0], RMSNorm(weight: weight, epsilon: 0.1))] }
  }

  @Test(arguments: [2, 7, 16, 35], [true, false]) func layerNorm(_ width: Int, hasBias: Bool) {
    var check = GradientCheck()
    check.inputs = [.init(rows: 3, columns: width)]
    let weight = check.parameter(1, width, around: 1, bound: 0.5, seed: 1)
    let bias = hasBias ? check.parameter(1, width, seed: 2) : nil
    check.parameters = [weight] + (bias.map { [$0] } ?? [])
    check.run { pass, x in [pass.norm(x[0], LayerNorm(weight: weight, bias: bias, epsilon: 0.1))] }
  }

  @Test func normsWithFrozenGains() {
    var check = GradientCheck()
    check.inputs = [.init(rows: 2, columns: 9)]
    let (weight, bias) = (check.parameter(1, 9, around: 1, seed: 1), check.parameter(1, 9, seed: 2))
    weight.stopTraining()
    bias.stopTraining()
    check.run { pass, x in [pass.norm(x[0], RMSNorm(weight: weight, epsilon: 0.1))] }
    check.run { pass, x in [pass.norm(x[0], LayerNorm(weight: weight, bias: bias, epsilon: 0.1))] }
    #expect(weight.gradientValues.isEmpty && bias.gradientValues.isEmpty)
  }

  @Test(arguments: [RoPE.Pairing.neighbours, .halves], [2, 6, 10]) func rope(_ pairing: RoPE.Pairing, _ width: Int) {
    var check = GradientCheck()
    check.lengths = [2, 1, 4]
    check.inputs = [.init(rows: 7, columns: 3 * width)]
    let rope = RoPE(
      headWidth: width, pairing: pairing, frequencies: RoPE.frequencies(headWidth: width, base: 30))
    check.run { pass, x in [pass.rope(x[0], rope)] }
  }

  @Test(arguments: [(1, 1, 4), (4, 2, 6), (3, 3, 5), (6, 1, 7)])
  func causalAttention(_ heads: Int, _ keyValueHeads: Int, _ width: Int) {
    var check = GradientCheck()
    // One token, an empty sequence, a short one and one over a border between key blocks.
    check.lengths = [1, 0, 4, 34]
    check.inputs = [heads, keyValueHeads, keyValueHeads].map { .init(rows: 39, columns: $0 * width) }
    let shape = Attention(headCount: heads, keyValueHeadCount: keyValueHeads, headWidth: width)
    check.run { pass, x in [pass.attention(x[0], x[1], x[2], shape, layer: 0)] }
  }

  @Test func split() {
    var check = GradientCheck()
    check.inputs = [.init(rows: 3, columns: 12)]
    check.run { pass, x in pass.split(x[0], into: 3) }
  }

  @Test func activations() {
    var check = GradientCheck()
    check.inputs = [.init(rows: 5, columns: 13, bound: 4)]
    check.run { pass, x in [pass.geluTanh(x[0])] }
    check.run { pass, x in [pass.gelu(x[0])] }
    check.inputs = [.init(rows: 5, columns: 13, bound: 4), .init(rows: 5, columns: 13)]
    check.run { pass, x in [pass.swiGLU(x[0], x[1])] }
  }

  @Test func sums() {
    var check = GradientCheck()
    check.inputs = [.init(rows: 3, columns: 11), .init(rows: 3, columns: 11)]
    check.run { pass, x in [pass.add(x[0], x[1])] }
    check.run { pass, x in [pass.add(x[0], x[0]), x[1]] }
    check.run { pass, x in [pass.add(pass.add(x[0], x[1]), x[0])] }
  }

  @Test func embeddings() {
    var check = GradientCheck()
    let (table, positions) = (check.parameter(6, 5, seed: 1), check.parameter(4, 5, seed: 2))
    check.parameters = [table, positions]
    check.lengths = [4, 2]
    check.run { pass, _ in [pass.add(pass.embed([2, 0, 2, 5, 2, 5], table), pass.embed(pass.positions, positions))] }
  }

  @Test func selectedRows() {
    var check = GradientCheck()
    check.inputs = [.init(rows: 4, columns: 7)]
    check.run { pass, x in [pass.select([3, 0, 3, 1], of: x[0])] }
  }

  @Test func linearMaps() {
    var check = GradientCheck()
    check.inputs = [.init(rows: 5, columns: 9)]
    let weights = [check.parameter(7, 9, seed: 1), check.parameter(3, 9, seed: 2)]
    let bias = check.parameter(1, 7, seed: 3)
    check.parameters = weights + [bias]
    let linears = [Linear(weight: weights[0], bias: bias), Linear(weight: weights[1])]
    check.run { pass, x in pass.apply(linears, x[0]) }
    // An output that nothing uses gives nothing.
    check.parameters = [weights[1]]
    check.run { pass, x in [pass.apply(linears, x[0])[1]] }
    // What does not train gets no gradient, and lets its input's through.
    weights.forEach { $0.stopTraining() }
    bias.stopTraining()
    check.parameters = []
    check.run { pass, x in pass.apply(linears, x[0]) }
  }

  @Test(arguments: [Float(0), 0.4], [false, true])
  func lowRankPairs(_ dropout: Float, isRankStabilised: Bool) {
    for trainsBase in [false, true] {
      var check = GradientCheck()
      check.inputs = [.init(rows: 6, columns: 9)]
      let settings = Adapter.Settings(rank: 3, alpha: 2, dropout: dropout, isRankStabilised: isRankStabilised)
      #expect(settings.scale == (isRankStabilised ? 2 / Float(3).squareRoot() : 2 / Float(3)))
      let adapter = Adapter(settings: settings)
      let linears = [7, 4].enumerated().map { index, outputs in
        let weight = check.parameter(outputs, 9, seed: UInt64(20 + index))
        if trainsBase { check.parameters.append(weight) } else { weight.stopTraining() }
        let linear = Linear(weight: weight)
        let pair = LowRankPair(
          down: check.parameter(3, 9, seed: UInt64(30 + index)),
          up: check.parameter(outputs, 3, seed: UInt64(40 + index)), settings: settings)
        adapter.add(pair, to: linear)
        check.parameters += [pair.down, pair.up]
        return linear
      }
      check.adapter = adapter
      check.dropoutSeed = 5
      check.run { pass, x in pass.apply(linears, x[0]) }
    }
  }

  @Test func lossOverTheVocabulary() {
    // Logits go through in chunks of 128 rows.
    for (rows, trainsHead) in [(5, true), (5, false), (131, true)] {
      let (check, width, vocabulary, scale) = (GradientCheck(), 4, 9, Float(0.5))
      let weight = check.parameter(vocabulary, width, seed: 1)
      if !trainsHead { weight.stopTraining() }
      let head = Linear(weight: weight)
      var random = SplitMix64(seed: 2)
      let targets = (0..<rows).map { _ in Int32.random(in: 0..<Int32(vocabulary), using: &random) }
      let states = (0..<rows * width).map { _ in Float(2 * random.nextUnit() - 1) }

      func loss(_ states: [Float], _ tape: Tape?) -> (sum: Double, states: Tensor) {
        let pass = Pass(
          packed: PackedRows(lengths: [rows]), adapter: nil, pool: check.pool, workspace: check.workspace,
          precision: .reference, tape: tape)
        let hidden = Tensor(rows, width, in: check.workspace)
        for (index, value) in states.enumerated() { hidden.data[index] = value }
        hidden.requiresGradient = true
        let losses = pass.crossEntropy(hidden, head, targets: targets, scale: tape == nil ? 0 : scale)
        return (losses.reduce(0) { $0 + Double($1) } * Double(scale), hidden)
      }
      let tape = Tape()
      let (sum, hidden) = loss(states, tape)
      tape.backward()
      #expect(sum == loss(states, nil).sum)
      let found = hidden.gradient?.values ?? []
      #expect(found.count == states.count)
      for index in stride(from: 0, to: found.count, by: rows > 100 ? 7 : 1) {
        let expected = CentralDifferences.derivative(step: 0.02) { h in
          var moved = states
          moved[index] += Float(h)
          return loss(moved, nil).sum
        }
        #expect(abs(Double(found[index]) - expected) < 1e-3)
      }
      let gradient = weight.gradientValues
      #expect(gradient.count == (trainsHead ? weight.count : 0))
      let start = weight.values(check.pool)
      for index in gradient.indices {
        let expected = CentralDifferences.derivative(step: 0.02) { h in
          var moved = start
          moved[index] += Float(h)
          weight.setValues(moved)
          return loss(states, nil).sum
        }
        weight.setValues(start)
        #expect(abs(Double(gradient[index]) - expected) < 1e-3 + 1e-3 * abs(expected))
      }
    }
  }

  /// Of more rows than are computed together, and than the head's gradient is gathered for.
  @Test(arguments: [255, 256, 300, 512, 700])
  func lossOverTheVocabularyInHalvesAndIntegers(_ rows: Int) {
    let (check, width, vocabulary) = (GradientCheck(), 48, 70)
    let weight = check.parameter(vocabulary, width, seed: 1)
    let head = Linear(weight: weight)
    var random = SplitMix64(seed: 2)
    let targets = (0..<rows).map { _ in Int32.random(in: 0..<Int32(vocabulary), using: &random) }
    let states = (0..<rows * width).map { _ in Float(2 * random.nextUnit() - 1) }

    func found(_ precision: Precision) -> (losses: [Float], states: [Float], weight: [Float]) {
      weight.zeroGradient()
      let tape = Tape()
      let pass = Pass(
        packed: PackedRows(lengths: [rows]), adapter: nil, pool: check.pool, workspace: check.workspace,
        precision: precision, tape: tape)
      let hidden = Tensor(rows, width, in: check.workspace)
      for (index, value) in states.enumerated() { hidden.data[index] = value }
      hidden.requiresGradient = true
      let losses = pass.crossEntropy(hidden, head, targets: targets, scale: 1 / Float(rows))
      tape.backward()
      return (losses, hidden.gradient?.values ?? [], weight.gradientValues)
    }
    func distance(_ x: [Float], _ y: [Float]) -> Double {
      let difference = zip(x, y).reduce(0) { $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1) }
      return (difference / y.reduce(0) { $0 + Double($1) * Double($1) }).squareRoot()
    }
    let (whole, half, integers) = (found(.reference), found(.bf16), found(.int8))
    #expect(integers.losses == half.losses && integers.states == half.states && integers.weight != half.weight)
    for (rounded, bound) in [(half, 0.01), (integers, 0.02)] {
      #expect(distance(rounded.losses, whole.losses) < 0.01)
      #expect(distance(rounded.states, whole.states) < 0.01)
      #expect(distance(rounded.weight, whole.weight) < bound, "\(rows) rows")
    }
  }
}
