import CKernels
import Foundation
import Testing

@Suite("AdamW")
struct AdamWTests {
  @Test("Five steps are torch's: moments to the bit, parameters to 2 ulp")
  func steps() throws {
    for golden in try GoldenCase.load("adamw") {
      let (count, steps) = (golden.count("count"), golden.count("steps"))
      let (beta1, beta2) = (golden.number("beta1"), golden.number("beta2"))
      let result = everywhere("AdamW") { pool in
        var parameters = golden["start"], history: [Float] = []
        var first = [Float](repeating: 0, count: count), second = first
        for step in 1...steps {
          var settings = hearth_adamw_settings(
            learning_rate: golden.number("learningRate"), beta1: beta1, beta2: beta2,
            epsilon: golden.number("epsilon"), weight_decay: golden.number("weightDecay"),
            correction1: 1 - pow(beta1, Double(step)), correction2: 1 - pow(beta2, Double(step)),
            gradient_scale: 1)
          let gradient = Array(golden["gradients"][(step - 1) * count..<step * count])
          hearth_adamw(pool, &parameters, &first, &second, gradient, count, &settings)
          history += parameters
        }
        return history + first + second
      }
      #expect(Array(result[(steps * count)...]) == golden["first"] + golden["second"])
      var worst: Float = 0
      // torch's square root is MKL's, which is now and then an ulp off; the square root here is exact.
      for (x, y) in zip(result, golden["parameters"]) { worst = max(worst, abs(x - y) / y.ulp) }
      #expect(worst <= 2, "\(worst) ulp")
    }
  }

  @Test("The gradient's scale multiplies it, and workers share the work")
  func scale() {
    let count = 17_003
    var noise = RowNoise(10)
    let start = noise.array(count), gradient = noise.array(count)
    func step(_ pool: OpaquePointer?, _ gradient: [Float], scale: Float) -> [Float] {
      var p = start, m = gradient, v = gradient.map { $0 * $0 }
      var settings = hearth_adamw_settings(
        learning_rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.1,
        correction1: 0.1, correction2: 0.001, gradient_scale: scale)
      hearth_adamw(pool, &p, &m, &v, gradient, count, &settings)
      return p + m + v
    }
    _ = everywhere("AdamW") { step($0, gradient, scale: 0.25) }
    withSteadyInstructionSet {
      var p = start, m = [Float](repeating: 0, count: count), v = m
      var q = start, n = m, w = m
      var settings = hearth_adamw_settings(
        learning_rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.1,
        correction1: 0.1, correction2: 0.001, gradient_scale: 0.25)
      hearth_adamw(nil, &p, &m, &v, gradient, count, &settings)
      settings.gradient_scale = 1
      hearth_adamw(nil, &q, &n, &w, gradient.map { $0 * 0.25 }, count, &settings)
      #expect(p == q && m == n && v == w)
    }
  }
}
