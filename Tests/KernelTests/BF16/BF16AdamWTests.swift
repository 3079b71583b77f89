import CKernels
import Testing

@Suite("AdamW with gradients and moments in bf16") struct BF16AdamWTests {
  private static let settings = hearth_adamw_settings(
    learning_rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.1, correction1: 0.1,
    correction2: 0.001,
    gradient_scale: 0.25)

  /// The definition of the second moment's rounding.
  private static func dithered(_ value: Float, _ index: Int, step: Int) -> Float {
    if value.isNaN || value < Float.leastNormalMagnitude { return value.isNaN ? .nan : 0 }
    let golden: UInt32 = 0x9E37_79B1, root: UInt32 = 0x6A09_E667
    let noise = (UInt32(truncatingIfNeeded: index) &* golden &+ UInt32(truncatingIfNeeded: step) &* root) >> 16
    return Float(bitPattern: (value.bitPattern &+ noise) & 0xFFFF_0000)
  }

  /// The step is that of f32 on the widened numbers, and its moments are rounded afterwards.
  @Test func aStepIsThatOfFloatsWithTheMomentsRounded() throws {
    let pool = try #require(hearth_pool_create(3))
    defer { hearth_pool_destroy(pool) }
    for (count, step) in [(1, 1), (16, 2), (37, 70_000), (33_001, 3)] {
      var noise = RowNoise(UInt64(count))
      let gradient = HalfMatrix(rounding: noise.array(count), 1, count)
      let moment = HalfMatrix(rounding: noise.array(count), 1, count)
      let second = HalfMatrix(rounding: noise.array(count).map { $0 * $0 }, 1, count)
      let start = noise.array(count)
      onEveryInstructionSet { isa in
        var settings = Self.settings
        var p = start, m = moment.floats, v = second.floats
        hearth_adamw(nil, &p, &m, &v, gradient.floats, count, &settings)
        for pool in [nil, pool] {
          var q = start, n = Array(moment.halves[0..<count]), w = Array(second.halves[0..<count])
          hearth_bf16_adamw(pool, &q, &n, &w, gradient.halves, count, step, &settings)
          #expect(q == p, "\(count) on \(isa.rawValue)")
          #expect(n.map(HalfMatrix.widened) == m.map(HalfMatrix.rounded), "\(count) on \(isa.rawValue)")
          let expected = v.enumerated().map { Self.dithered($0.element, $0.offset, step: step) }
          #expect(w.map(HalfMatrix.widened) == expected, "\(count) on \(isa.rawValue)")
        }
      }
    }
  }

  /// A gradient that stays what it is for thousands of steps: its second moment, which moves by less than two numbers in bf16 lie apart,
  /// arrives where that in f32 does. Rounded to nearest it would stop on the way.
  @Test func secondMomentsArriveWhereThoseInFloatsDo() {
    let count = 64, steps = 4000
    let gradients = (0..<count).map { Float($0 + 1) * 0.01 }
    let gradient = HalfMatrix(rounding: gradients, 1, count)
    var settings = Self.settings
    var (p, q) = ([Float](repeating: 0, count: count), [Float](repeating: 0, count: count))
    var (m, v) = (p, p)
    var (n, w) = ([UInt16](repeating: 0, count: count), [UInt16](repeating: 0, count: count))
    var distances: [Double] = []
    for step in 1...steps {
      hearth_adamw(nil, &p, &m, &v, gradient.floats, count, &settings)
      hearth_bf16_adamw(nil, &q, &n, &w, gradient.halves, count, step, &settings)
      if step > steps / 2 {
        distances += zip(w.map(HalfMatrix.widened), v).map { Double($0) / Double($1) - 1 }
      }
    }
    let mean = distances.reduce(0, +) / Double(distances.count)
    #expect(abs(mean) < 2e-3 && distances.allSatisfy { abs($0) < 0.05 }, "\(mean), \(distances.map(abs).max() ?? 0)")
  }

  @Test func momentsThatAreNoNumbersStaySo() {
    onEveryInstructionSet { isa in
      var settings = Self.settings
      var p: [Float] = [1, 1, 1, 1], m = [UInt16](repeating: 0, count: 4)
      // NaN, infinity, the largest number and a subnormal one.
      var v: [UInt16] = [0x7F81, 0x7F80, 0x7F7F, 0x0001]
      hearth_bf16_adamw(nil, &p, &m, &v, [0, 0, 0, 0], 4, 7, &settings)
      let w = v.map(HalfMatrix.widened)
      #expect(w[0].isNaN && w[1] == .infinity && w[2].isFinite && w[3] == 0, "\(w) on \(isa.rawValue)")
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
