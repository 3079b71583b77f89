import CKernels
import Foundation
import Testing

@Suite("Functions")
struct FunctionTests {
  /// The distance in units of the last place of the true value, at least of the smallest float.
  private func error(_ got: Float, _ truth: Double) -> Double {
    if truth.isNaN { return got.isNaN ? 0 : .infinity }
    let nearest = Float(truth)
    if nearest.isInfinite || got.isInfinite { return nearest == got ? 0 : .infinity }
    let unit = Double(max(Float(truth.magnitude).ulp, .leastNonzeroMagnitude))
    return abs(Double(got) - truth) / unit
  }

  @Test("exp, tanh and erf are within 2 ulp over all floats, on every instruction set")
  func accuracy() {
    onEveryInstructionSet { _ in
      var worst = (exp: 0.0, tanh: 0.0, erf: 0.0)
      for pattern in stride(from: UInt32(0), through: UInt32.max - 100_003, by: 100_003) {
        let x = Float(bitPattern: pattern)
        worst.exp = max(worst.exp, error(hearth_exp(x), exp(Double(x))))
        worst.tanh = max(worst.tanh, error(hearth_tanh(x), tanh(Double(x))))
        worst.erf = max(worst.erf, error(hearth_erf(x), erf(Double(x))))
      }
      #expect(worst.exp <= 1.5 && worst.tanh <= 2 && worst.erf <= 2, "\(worst)")
    }
  }

  @Test("Ends of the range")
  func ends() {
    onEveryInstructionSet { _ in
      #expect(hearth_exp(.infinity) == .infinity && hearth_exp(-.infinity) == 0)
      #expect(hearth_exp(88.72) < .infinity && hearth_exp(88.73) == .infinity)
      #expect(hearth_exp(-103.9) == .leastNonzeroMagnitude && hearth_exp(-104) == 0)
      #expect(hearth_exp(0) == 1 && hearth_exp(.nan).isNaN && hearth_tanh(.nan).isNaN)
      #expect(hearth_tanh(.infinity) == 1 && hearth_tanh(-.infinity) == -1)
      #expect(hearth_erf(.infinity) == 1 && hearth_erf(-9) == -1)
    }
  }
}
