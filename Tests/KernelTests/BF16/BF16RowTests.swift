import CKernels
import Testing

@Suite("Rows in bf16") struct BF16RowTests {
  @Test func roundingIsToNearestEvenWithSubnormalsAsZeros() {
    var noise = RowNoise(3)
    var values = noise.array(300)
    values += [
      0, -0.0, .infinity, -.infinity, .nan, 0x1p-126, 0x1p-127, -0x1p-140, 0x1.01p0, 0x1.03p0, .greatestFiniteMagnitude,
    ]
    onEveryInstructionSet { isa in
      let found = HalfMatrix(rounding: values, 1, values.count)
      for (value, half) in zip(values, found.floats) {
        let expected = HalfMatrix.rounded(value)
        #expect(half.bitPattern == expected.bitPattern || half.isNaN && expected.isNaN, "\(value) on \(isa.rawValue)")
      }
      #expect(found.halves[values.count] == 0, "an odd row ends in a zero")
    }
  }

  @Test func turnedRowsAreColumns() throws {
    let pool = try #require(hearth_pool_create(2))
    defer { hearth_pool_destroy(pool) }
    var noise = RowNoise(4)
    for (rows, columns) in [(1, 1), (16, 16), (17, 33), (70, 5), (31, 300)] {
      let x = HalfMatrix(rounding: noise.array(rows * columns), rows, columns)
      var y = HalfMatrix(columns, rows)
      hearth_bf16_transpose(pool, &y.halves, y.stride, x.halves, x.stride, rows, columns)
      for row in 0..<rows { for column in 0..<columns where y[column, row] != x[row, column] { Issue.record("wrong") } }
      if rows % 2 == 1 { #expect((0..<columns).allSatisfy { y.halves[$0 * y.stride + rows] == 0 }) }
    }
  }

  @Test func rowsAreUnfoldedAndTheSumsOfTheirPlacesFolded() throws {
    let pool = try #require(hearth_pool_create(2))
    defer { hearth_pool_destroy(pool) }
    var noise = RowNoise(8)
    let rowOfPlace: [Int32] = [0, 1, -1, 1, 2, 0, 1]
    let (offsets, places): ([Int32], [Int32]) = ([0, 2, 5, 6], [0, 5, 1, 3, 6, 4])
    for columns in [1, 2, 33, 96, 300] {
      let x = HalfMatrix(rounding: noise.array(3 * columns), 3, columns)
      onEveryInstructionSet { _ in
        var y = HalfMatrix(rounding: noise.array(7 * columns), 7, columns)
        hearth_bf16_unfold(pool, &y.halves, y.stride, x.halves, x.stride, rowOfPlace, 7, columns)
        for place in 0..<7 {
          let row = Int(rowOfPlace[place])
          for i in 0..<columns { #expect(y[place, i] == (row < 0 ? 0 : x[row, i])) }
          if columns % 2 == 1 { #expect(y.halves[place * y.stride + columns] == 0) }
        }
        var sums = HalfMatrix(3, columns)
        hearth_bf16_fold(pool, &sums.halves, sums.stride, y.halves, y.stride, offsets, places, 3, columns)
        for (row, count) in [2, 3, 1].enumerated() {
          for i in 0..<columns {
            let sum = (0..<count).reduce(Float(0)) { sum, _ in sum + x[row, i] }
            #expect(sums[row, i] == HalfMatrix.rounded(sum))
          }
          if columns % 2 == 1 { #expect(sums.halves[row * sums.stride + columns] == 0) }
        }
      }
    }
  }

  @Test func theNormIsThatInFloatsRounded() {
    var noise = RowNoise(5)
    let (rows, width) = (7, 83)
    let (x, weight) = (noise.array(rows * width), noise.array(width))
    onEveryInstructionSet { _ in
      var (floats, reciprocal) = ([Float](repeating: 0, count: rows * width), [Float](repeating: 0, count: rows))
      hearth_rms_norm(nil, &floats, &reciprocal, x, weight, rows, width, 1e-5)
      var (y, again) = (HalfMatrix(rows, width), reciprocal.map { _ in Float(0) })
      hearth_bf16_rms_norm(nil, &y.halves, y.stride, &again, x, weight, rows, width, 1e-5)
      #expect(y.floats == floats.map(HalfMatrix.rounded) && again == reciprocal)
    }
  }

  @Test func ropeIsThatInFloatsRounded() {
    var noise = RowNoise(6)
    let (rows, heads, width) = (5, 3, 22)
    let cosines = noise.array(40 * width / 2), sines = noise.array(40 * width / 2)
    let positions: [Int32] = [0, 3, 39, 1, 7]
    let x = HalfMatrix(rounding: noise.array(rows * heads * width), rows, heads * width)
    onEveryInstructionSet { _ in
      for pairing in [HEARTH_ROPE_NEIGHBOURS, HEARTH_ROPE_HALVES] {
        for inverse in [false, true] {
          var (floats, halves) = (x.floats, x)
          hearth_rope(nil, &floats, positions, cosines, sines, rows, heads, width, width, pairing, inverse)
          hearth_bf16_rope(
            nil, &halves.halves, halves.stride, positions, cosines, sines, rows, heads, width, pairing, inverse)
          #expect(halves.floats == floats.map(HalfMatrix.rounded))
        }
      }
    }
  }

  @Test func crossEntropyIsThatInFloatsWithTheGradientRounded() {
    var noise = RowNoise(7)
    let (rows, vocabulary, ld) = (6, 77, 96)
    let logits = noise.array(rows * vocabulary, scale: 9)
    let targets: [Int32] = [0, 76, -1, 40, 100, 3]
    onEveryInstructionSet { _ in
      for scale in [Float(0), 0.25] {
        var (floats, losses) = (logits, [Float](repeating: 0, count: rows))
        hearth_cross_entropy(nil, &losses, &floats, targets, rows, vocabulary, scale)
        var (padded, found) = ([Float](repeating: .nan, count: rows * ld), [Float](repeating: 0, count: rows))
        for row in 0..<rows { for i in 0..<vocabulary { padded[row * ld + i] = logits[row * vocabulary + i] } }
        hearth_bf16_cross_entropy(nil, &found, &padded, ld, targets, rows, vocabulary, scale)
        #expect(zip(found, losses).allSatisfy { $0.bitPattern == $1.bitPattern || $0.isNaN && $1.isNaN })
        guard scale != 0 else { continue }
        padded.withUnsafeBytes { bytes in
          let halves = bytes.bindMemory(to: UInt16.self)
          for row in 0..<rows {
            for i in 0..<vocabulary {
              let expected = HalfMatrix.rounded(floats[row * vocabulary + i])
              #expect(HalfMatrix.widened(halves[row * 2 * ld + i]).bitPattern == expected.bitPattern)
            }
            #expect(halves[row * 2 * ld + vocabulary] == 0)
          }
        }
      }
    }
  }
}
