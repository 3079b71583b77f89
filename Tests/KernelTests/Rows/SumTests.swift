import CKernels
import Testing

@Suite("Sums")
struct SumTests {
  @Test("Scaled addition, bias and its gradient follow their definitions bit for bit")
  func definitions() {
    let (rows, width) = (45, 401)
    var noise = RowNoise(12)
    let x = noise.array(rows * width), y = noise.array(rows * width), bias = noise.array(width)
    let scaled = everywhere("add scaled") { pool in
      var sum = y
      hearth_add_scaled(pool, &sum, x, 0.7, rows * width)
      return sum
    }
    #expect(scaled == zip(y, x).map { $0.addingProduct($1, 0.7) })
    let shifted = everywhere("add bias") { pool in
      var sum = y
      hearth_add_bias(pool, &sum, bias, rows, width)
      return sum
    }
    #expect(shifted == y.indices.map { y[$0] + bias[$0 % width] })
    let gradient = everywhere("bias gradient") { pool in
      var dbias = bias
      hearth_add_bias_backward(pool, &dbias, y, rows, width)
      return dbias
    }
    var expected = bias
    for i in y.indices { expected[i % width] += y[i] }
    #expect(gradient == expected)
  }

  @Test("A sum of squares is exact to double precision and the same for every number of workers")
  func squares() {
    var noise = RowNoise(13)
    for count in [0, 1, 100, 16_384, 100_003] {
      let x = noise.array(count)
      var sums: Set<Double> = []
      _ = everywhere("sum of squares") { pool in
        sums.insert(hearth_sum_of_squares(pool, x, count))
        return []
      }
      let truth = x.reduce(0.0) { $0 + Double($1) * Double($1) }
      #expect(sums.count == 1)
      #expect(abs((sums.first ?? .nan) - truth) <= 1e-13 * max(truth, 1))
    }
  }

  @Test("More than sixty-four tiles")
  func manyTiles() {
    withSteadyInstructionSet {
      let count = 65 * 16_384 + 7
      let x = [Float](repeating: 0.5, count: count)
      #expect(hearth_sum_of_squares(nil, x, count) == Double(count) / 4)
    }
  }

  @Test("The largest is found at its first place, and not where something is no number")
  func largest() {
    var noise = RowNoise(3)
    for count in [1, 15, 16, 31, 32, 33, 100, 1000] {
      var x = noise.array(count)
      let place = count * 2 / 3
      x[place] = 2
      x[count - 1] = 2
      func find(_ x: [Float]) -> (place: Int, largest: Float) {
        var largest: Float = -7
        let found = everywhere("largest") { _ in
          var value: Float = -7
          let place = hearth_largest(x, x.count, &value)
          return [Float(place), value]
        }
        largest = found[1]
        return (Int(found[0]), largest)
      }
      #expect(find(x) == (place, 2))
      for bad in [Float.nan, .infinity] {
        x[count / 2] = bad
        #expect(find(x) == (count, -7))
      }
      x = [Float](repeating: -.infinity, count: count)
      #expect(find(x).place == 0)
    }
  }
}
