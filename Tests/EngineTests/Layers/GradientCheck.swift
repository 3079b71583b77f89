import TestSupport
import Testing

@testable import Engine

/// Checks the gradients of one operation of `Pass` against central differences, element by element.
///
///     loss = Σ c[i] · y[i]      with random c, over all outputs
struct GradientCheck {
  /// An input of the operation, `[rows, columns]`.
  struct Input {
    let rows, columns: Int
    /// Values lie in ±bound.
    var bound: Float = 1.5
  }

  let pool = WorkerPool(threadCount: 2)
  let workspace = Workspace()
  var inputs: [Input] = []
  var parameters: [Parameter] = []
  /// How many rows each sequence has; one sequence of all rows if nil.
  var lengths: [Int]?
  var adapter: Adapter?
  var dropoutSeed: UInt64?
  /// Whether the inputs' gradients may hold something before; an operation in place cannot have that.
  var addsToInputGradients = true

  private func pass(_ tape: Tape?) -> Pass {
    Pass(
      packed: PackedRows(lengths: lengths ?? [inputs.first?.rows ?? 0]), adapter: adapter, pool: pool,
      workspace: workspace,
      precision: .reference, tape: tape, dropout: dropoutSeed.map { DropoutSource(seed: $0, step: 1) })
  }

  private func tensors(_ values: [[Float]]) -> [Tensor] {
    zip(inputs, values).map { input, values in
      let tensor = Tensor(input.rows, input.columns, in: workspace)
      for (index, value) in values.enumerated() { tensor.data[index] = value }
      return tensor
    }
  }

  /// A vector or matrix of random values that is trained.
  func parameter(_ rows: Int, _ columns: Int, around mean: Float = 0, bound: Float = 1, seed: UInt64) -> Parameter {
    let name = "parameter \(rows)×\(columns)"
    let parameter = Parameter(
      ParameterName(gguf: name, huggingFace: name), rows: rows, columns: columns, stored: nil)
    var random = SplitMix64(seed: seed)
    parameter.setValues((0..<rows * columns).map { _ in mean + Float(2 * random.nextUnit() - 1) * bound })
    parameter.startTraining(pool)
    return parameter
  }

  /// Runs the comparison.
  ///
  /// - Parameter operation: The outputs for a pass and its inputs.
  func run(
    seed: UInt64 = 1, sourceLocation: SourceLocation = #_sourceLocation,
    _ operation: (Pass, [Tensor]) -> [Tensor]
  ) {
    var random = SplitMix64(seed: seed)
    func uniform(_ bound: Float) -> Float { Float(2 * random.nextUnit() - 1) * bound }
    let values = inputs.map { input in (0..<input.rows * input.columns).map { _ in uniform(input.bound) } }

    for parameter in parameters { parameter.zeroGradient() }
    let tape = Tape()
    let leaves = tensors(values)
    for leaf in leaves { leaf.requiresGradient = true }
    let outputs = operation(pass(tape), leaves)
    let weights = outputs.map { output in (0..<output.count).map { _ in uniform(1) } }
    // What is there before must stay: gradients are added.
    let before: Float = 0.75
    if addsToInputGradients {
      for leaf in leaves where !outputs.contains(where: { $0 === leaf }) { leaf.gradientForAdding().fill(before) }
    }
    for (output, weights) in zip(outputs, weights) {
      let gradient = output.gradientForAdding()
      for (index, weight) in weights.enumerated() { gradient.data[index] += weight }
    }
    tape.backward()

    func loss(_ values: [[Float]]) -> Double {
      let outputs = operation(pass(nil), tensors(values))
      return zip(outputs, weights).reduce(0.0) { sum, pair in
        zip(pair.0.values, pair.1).reduce(sum) { $0 + Double($1.0) * Double($1.1) }
      }
    }
    for (place, leaf) in leaves.enumerated() {
      let found = leaf.gradient?.values ?? []
      let offset = addsToInputGradients && !outputs.contains(where: { $0 === leaf }) ? before : 0
      compare(found.map { $0 - offset }, "input \(place)", values[place].count, sourceLocation) { index, h in
        var moved = values
        moved[place][index] = Float(Double(moved[place][index]) + h)
        return loss(moved)
      }
    }
    for parameter in parameters {
      let start = parameter.values(pool)
      compare(parameter.gradientValues, parameter.name.gguf, parameter.count, sourceLocation) { index, h in
        var moved = start
        moved[index] = Float(Double(start[index]) + h)
        parameter.setValues(moved)
        defer { parameter.setValues(start) }
        return loss(values)
      }
    }
    checkThatParametersAdd(values, weights, operation, sourceLocation)
  }

  private func compare(
    _ gradient: [Float], _ name: String, _ count: Int, _ sourceLocation: SourceLocation,
    _ loss: (_ element: Int, _ h: Double) -> Double
  ) {
    guard gradient.count == count else {
      Issue.record("\(name) has no gradient", sourceLocation: sourceLocation)
      return
    }
    // All elements of small ones; of large ones some in every row and column.
    let expected = stride(from: 0, to: count, by: count < 100 ? 1 : count / 80 | 1).map { index in
      (index: index, value: CentralDifferences.derivative(step: 0.01) { loss(index, $0) })
    }
    let size = expected.map { abs($0.value) }.max() ?? 0
    for (index, value) in expected where abs(Double(gradient[index]) - value) > 1e-3 * size + 1e-3 {
      Issue.record(
        "\(name)[\(index)]: gradient \(gradient[index]), central difference \(value)",
        sourceLocation: sourceLocation)
    }
    #expect(size > 0.02, "\(name) changes nothing", sourceLocation: sourceLocation)
  }

  /// A second pass doubles the parameters' gradients, for inputs that need none just as well.
  private func checkThatParametersAdd(
    _ values: [[Float]], _ weights: [[Float]], _ operation: (Pass, [Tensor]) -> [Tensor],
    _ sourceLocation: SourceLocation
  ) {
    let once = parameters.map(\.gradientValues)
    guard !once.isEmpty else { return }
    let tape = Tape()
    let outputs = operation(pass(tape), tensors(values))
    for (output, weights) in zip(outputs, weights) {
      let gradient = output.gradientForAdding()
      for (index, weight) in weights.enumerated() { gradient.data[index] += weight }
    }
    tape.backward()
    for (parameter, once) in zip(parameters, once) {
      let size = once.map(abs).max() ?? 0
      #expect(
        largestGap(parameter.gradientValues, once.map { 2 * $0 }) <= 1e-5 * size + 1e-6,
        "\(parameter.name.gguf) adds", sourceLocation: sourceLocation)
    }
  }
}
