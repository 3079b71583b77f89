internal import CKernels

/// Adam with decoupled weight decay.
///
///     p ← p − λ·w·p      m ← β₁m + (1−β₁)g      v ← β₂v + (1−β₂)g²
///     p ← p − λ · m̂ / (√v̂ + ε)                  m̂ = m/(1−β₁ᵗ),  v̂ = v/(1−β₂ᵗ)
///
/// Loshchilov and Hutter, "Decoupled Weight Decay Regularization" (arXiv:1711.05101), algorithm 2.
@safe
final class AdamW {
  struct Settings: Sendable, Equatable {
    var beta1: Float = 0.9
    var beta2: Float = 0.999
    var epsilon: Float = 1e-8
    /// Applied to matrices; gains and biases (vectors) are not decayed.
    var weightDecay: Float = 0
    /// Whether vectors are decayed too, as PyTorch does when it is handed all parameters in one group.
    var decaysVectors = false
  }

  let settings: Settings
  let parameters: [Parameter]
  /// Steps taken.
  var stepCount = 0
  /// m and v of each parameter, zero at first.
  private(set) var first: [[Float]]
  private(set) var second: [[Float]]

  init(_ parameters: [Parameter], settings: Settings) {
    self.settings = settings
    self.parameters = parameters
    first = parameters.map { [Float](repeating: 0, count: $0.count) }
    second = first
  }

  /// Restores what an earlier run left.
  func restore(stepCount: Int, first: [[Float]], second: [[Float]]) {
    precondition(
      first.map(\.count) == parameters.map(\.count) && second.map(\.count) == first.map(\.count),
      "moments of other parameters")
    self.stepCount = stepCount
    self.first = first
    self.second = second
  }

  /// √Σg² over all parameters, in double precision.
  func gradientNorm(_ pool: WorkerPool) -> Double {
    var squares = 0.0
    for parameter in parameters {
      guard let gradient = unsafe parameter.gradient else { continue }
      unsafe squares += hearth_sum_of_squares(pool.pointer, gradient, parameter.count)
    }
    return squares.squareRoot()
  }

  /// Moves every parameter against its gradient times `gradientScale`, and zeroes the gradients.
  func step(learningRate: Double, gradientScale: Float, _ pool: WorkerPool) {
    stepCount += 1
    for (index, parameter) in parameters.enumerated() {
      guard let gradient = unsafe parameter.gradient, let values = unsafe parameter.float32 else { continue }
      let decays = parameter.rows > 1 || settings.decaysVectors
      var c = hearth_adamw_settings()
      c.learning_rate = .init(learningRate)
      c.beta1 = .init(settings.beta1)
      c.beta2 = .init(settings.beta2)
      c.epsilon = .init(settings.epsilon)
      c.weight_decay = .init(decays ? settings.weightDecay : 0)
      c.correction1 = 1 - power(Double(settings.beta1), stepCount)
      c.correction2 = 1 - power(Double(settings.beta2), stepCount)
      c.gradient_scale = gradientScale
      unsafe hearth_adamw(
        pool.pointer, values, &first[index], &second[index], gradient, parameter.count, &c)
      parameter.noteChange()
      parameter.zeroGradient()
    }
  }

  private func power(_ base: Double, _ exponent: Int) -> Double {
    // Repeated squaring would round otherwise than PyTorch's pow only in the last bit; both are fine.
    var (result, base, exponent) = (1.0, base, exponent)
    while exponent > 0 {
      if exponent & 1 == 1 { result *= base }
      base *= base
      exponent >>= 1
    }
    return result
  }
}
