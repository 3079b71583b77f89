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
  /// Of each parameter, zero at first.
  private(set) var moments: [Moments]

  /// A parameter's moments.
  ///
  /// They are in bf16 where the gradient is, widened when they are read; the step itself is taken with those before rounding. The first
  /// one is rounded to nearest, ties to even. The second one changes by a thousandth a step, less than half of what lies between
  /// two numbers in bf16, so it is rounded with a dither that is another one for each element and step: on average nothing is lost.
  struct Moments: Equatable {
    /// m and v in f32, or nothing.
    var first: [Float] = []
    var second: [Float] = []
    /// m and v in bf16, or nothing.
    var halfFirst: [UInt16] = []
    var halfSecond: [UInt16] = []

    /// Numbers in each.
    var counts: [Int] { [first.count, second.count, halfFirst.count, halfSecond.count] }

    /// Whether they are in bf16.
    var areHalves: Bool { !halfFirst.isEmpty }

    init(of parameter: Parameter) {
      if parameter.halfGradient == nil {
        (first, second) = ([Float](repeating: 0, count: parameter.count), [Float](repeating: 0, count: parameter.count))
      } else {
        halfFirst = [UInt16](repeating: 0, count: parameter.count)
        halfSecond = [UInt16](repeating: 0, count: parameter.count)
      }
    }
  }

  init(_ parameters: [Parameter], settings: Settings) {
    self.settings = settings
    self.parameters = parameters
    moments = parameters.map(Moments.init)
  }

  /// Restores the moments of one parameter that an earlier run left.
  func restore(_ moments: Moments, of index: Int) {
    precondition(moments.counts == self.moments[index].counts, "moments of another parameter")
    self.moments[index] = moments
  }

  /// √Σg² over all parameters, in double precision.
  func gradientNorm(_ pool: WorkerPool) -> Double {
    var squares = 0.0
    for parameter in parameters {
      if let gradient = parameter.halfGradient {
        if let data = unsafe gradient.data {
          unsafe squares += hearth_bf16_sum_of_squares(pool.pointer, data, gradient.count)
        }
        continue
      }
      guard let gradient = unsafe parameter.gradient else { continue }
      unsafe squares += hearth_sum_of_squares(pool.pointer, gradient, parameter.count)
    }
    return squares.squareRoot()
  }

  /// Moves every parameter against its gradient times `gradientScale`, and zeroes the gradients.
  func step(learningRate: Double, gradientScale: Float, _ pool: WorkerPool) {
    stepCount += 1
    for (index, parameter) in parameters.enumerated() {
      guard let values = unsafe parameter.float32 else { continue }
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
      unsafe move(parameter, values, &moments[index], &c, pool)
      parameter.noteChange()
      parameter.zeroGradient()
    }
  }

  private func move(
    _ parameter: Parameter, _ values: UnsafeMutablePointer<Float>, _ moments: inout Moments,
    _ settings: inout hearth_adamw_settings, _ pool: WorkerPool
  ) {
    if let gradient = parameter.halfGradient {
      unsafe hearth_bf16_adamw(
        pool.pointer, values, &moments.halfFirst, &moments.halfSecond, gradient.materialized(), parameter.count,
        stepCount,
        &settings)
    } else if let gradient = unsafe parameter.gradient {
      unsafe hearth_adamw(
        pool.pointer, values, &moments.first, &moments.second, gradient, parameter.count, &settings)
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
