import CKernels
import Testing

@Suite("AdamW with gradients and first moments in bf16") struct BF16AdamWTests {
  private static let settings = hearth_adamw_settings(
    learning_rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.1, correction1: 0.1,
    correction2: 0.001,
    gradient_scale: 0.25)

  /// The step is that of f32 on the widened numbers, and its first moment is rounded afterwards.
  @Test func aStepIsThatOfFloatsWithTheMomentRounded() throws {
    let pool = try #require(hearth_pool_create(3))
    defer { hearth_pool_destroy(pool) }
    for count in [1, 16, 37, 33_001] {
      var noise = RowNoise(UInt64(count))
      let gradient = HalfMatrix(rounding: noise.array(count), 1, count)
      let moment = HalfMatrix(rounding: noise.array(count), 1, count)
      let start = noise.array(count), second = noise.array(count).map { $0 * $0 }
      onEveryInstructionSet { isa in
        var settings = Self.settings
        var p = start, m = moment.floats, v = second
        hearth_adamw(nil, &p, &m, &v, gradient.floats, count, &settings)
        for pool in [nil, pool] {
          var q = start, n = Array(moment.halves[0..<count]), w = second
          hearth_bf16_adamw(pool, &q, &n, &w, gradient.halves, count, &settings)
          #expect(q == p && w == v, "\(count) on \(isa.rawValue)")
          #expect(n.map(HalfMatrix.widened) == m.map(HalfMatrix.rounded), "\(count) on \(isa.rawValue)")
        }
      }
    }
  }

  @Test func theSumOfSquaresIsThatOfTheFloats() throws {
    let pool = try #require(hearth_pool_create(2))
    defer { hearth_pool_destroy(pool) }
    // The last one has more tiles than are added up at once.
    for count in [0, 1, 15, 16_385, 100_003, 17_000_001] {
      var noise = RowNoise(UInt64(count + 1))
      let some = noise.array(min(count, 4099))
      let values = (0..<count).map { some[$0 % some.count] }
      let halves = values.map { UInt16(HalfMatrix.rounded($0).bitPattern >> 16) }
      let floats = halves.map(HalfMatrix.widened)
      for pool in [nil, pool] {
        #expect(hearth_bf16_sum_of_squares(pool, halves, count) == hearth_sum_of_squares(nil, floats, count))
      }
    }
  }

  @Test func numbersAreAddedInFloatsAndRoundedOnce() {
    var noise = RowNoise(3)
    let x = noise.array(100), start = HalfMatrix(rounding: noise.array(100), 1, 100)
    var y = Array(start.halves[0..<100]), widened = [Float](repeating: 0, count: 100)
    hearth_bf16_widen(&widened, y, 100)
    #expect(widened == start.floats)
    hearth_bf16_add(&y, x, 100)
    #expect(y.map(HalfMatrix.widened) == zip(start.floats, x).map { HalfMatrix.rounded($0 + $1) })
  }
}
