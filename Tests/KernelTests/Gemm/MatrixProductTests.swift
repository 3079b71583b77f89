import CKernels
import Testing

/// Repeatable noise in -1 ..< 1.
private struct Noise {
  var state: UInt64
  mutating func next() -> Float {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Float(Int32(truncatingIfNeeded: state >> 32)) / 2_147_483_648
  }
  mutating func array(_ count: Int) -> [Float] { (0..<count).map { _ in next() } }
}

/// A product with its operands, rows further apart than they are wide.
private struct Example: CustomStringConvertible {
  let m: Int, n: Int, k: Int
  let transposeA: Bool, transposeB: Bool, accumulate: Bool
  let lda: Int, ldb: Int, ldc: Int
  let a: [Float], b: [Float], c: [Float]

  init(
    _ m: Int, _ n: Int, _ k: Int, transposeA: Bool = false, transposeB: Bool = false,
    accumulate: Bool = false, padding: Int = 0
  ) {
    (self.m, self.n, self.k) = (m, n, k)
    (self.transposeA, self.transposeB, self.accumulate) = (transposeA, transposeB, accumulate)
    lda = (transposeA ? m : k) + padding
    ldb = (transposeB ? k : n) + 2 * padding
    ldc = n + 3 * padding
    var noise = Noise(state: UInt64(m * 73 + n * 31 + k * 7 + 1))
    a = noise.array((transposeA ? k : m) * lda)
    b = noise.array((transposeB ? n : k) * ldb)
    c = noise.array(m * ldc)
  }

  var description: String {
    "[\(m), \(k)]\(transposeA ? "ᵀ" : "") · [\(k), \(n)]\(transposeB ? "ᵀ" : "")\(accumulate ? " +" : "")"
  }

  func product(_ pool: OpaquePointer?) -> [Float] {
    var result = c
    hearth_sgemm(
      pool, transposeA, transposeB, m, n, k, a, lda, b, ldb, &result, ldc, accumulate)
    return result
  }

  /// The definition: one chain of fused multiply-adds, k in order; what lies between rows is untouched.
  var expected: [Float] {
    var result = c
    for i in 0..<m {
      for j in 0..<n {
        var sum: Float = accumulate ? c[i * ldc + j] : 0
        for l in 0..<k {
          let x = a[transposeA ? l * lda + i : i * lda + l]
          let y = b[transposeB ? j * ldb + l : l * ldb + j]
          sum = sum.addingProduct(x, y)
        }
        result[i * ldc + j] = sum
      }
    }
    return result
  }
}

private func sameBits(_ x: [Float], _ y: [Float]) -> Bool {
  x.count == y.count && zip(x, y).allSatisfy { $0.bitPattern == $1.bitPattern }
}

private let booleans = [false, true]

@Suite("Matrix product")
struct MatrixProductTests {
  @Test("Every transpose and edge size follows the definition bit for bit")
  func definition() throws {
    let pool = try #require(hearth_pool_create(2))
    defer { hearth_pool_destroy(pool) }
    let sizes = [
      (1, 1, 1), (1, 17, 5), (2, 16, 8), (3, 8, 33), (5, 31, 4), (6, 16, 12), (7, 7, 7),
      (8, 24, 19), (13, 40, 3), (1, 100, 40), (40, 1, 40), (25, 9, 64), (12, 33, 1),
    ]
    onEveryInstructionSet { isa in
      for (m, n, k) in sizes {
        for transposeA in booleans {
          for transposeB in booleans {
            for accumulate in booleans {
              let example = Example(
                m, n, k, transposeA: transposeA, transposeB: transposeB, accumulate: accumulate,
                padding: (m + n) % 4)
              #expect(
                sameBits(example.product(pool), example.expected), "\(example) on \(isa.rawValue)")
            }
          }
        }
      }
    }
  }

  @Test("Sizes around the blocks give the scalar twin's bits with any number of threads")
  func blocks() throws {
    let pools = (1...3).compactMap { hearth_pool_create($0) }
    defer { pools.forEach(hearth_pool_destroy) }
    let examples = [
      Example(193, 50, 330, transposeB: true), Example(400, 70, 64, transposeA: true),
      Example(10, 1600, 650, transposeB: true, accumulate: true), Example(7, 130, 1000),
      Example(385, 1550, 20), Example(64, 8, 576, transposeB: true), Example(8, 576, 300),
      Example(1, 700, 641, transposeB: true, accumulate: true, padding: 3),
      Example(300, 24, 321), Example(300, 40, 9, transposeA: true, transposeB: true),
    ]
    var expected: [[Float]] = []
    onEveryInstructionSet { isa in
      if isa == HEARTH_ISA_SCALAR {
        expected = examples.map { $0.product(pools[1]) }
        return
      }
      for (example, result) in zip(examples, expected) {
        #expect(sameBits(example.product(nil), result), "\(example)")
        for pool in pools { #expect(sameBits(example.product(pool), result), "\(example)") }
      }
    }
  }

  @Test("A row's result does not depend on the rows beside it")
  func batch() {
    let whole = Example(33, 80, 350, transposeB: true)
    let result = whole.product(nil)
    for rows in [1, 2, 3, 5, 8, 19] {
      var part = [Float](repeating: 0, count: rows * whole.n)
      hearth_sgemm(
        nil, false, true, rows, whole.n, whole.k, whole.a, whole.lda, whole.b, whole.ldb, &part,
        whole.n, false)
      #expect(sameBits(part, Array(result[0..<rows * whole.n])))
    }
  }

  @Test("Empty extents: nothing to write, or zeros")
  func empty() {
    var c: [Float] = [1, 2, 3, 4, 5, 6]
    hearth_sgemm(nil, false, false, 0, 3, 2, [0], 2, [0], 3, &c, 3, false)
    hearth_sgemm(nil, false, false, 2, 0, 2, [0], 2, [0], 3, &c, 3, false)
    hearth_sgemm(nil, false, false, 2, 2, 0, [0], 0, [0], 3, &c, 3, true)
    #expect(c == [1, 2, 3, 4, 5, 6])
    hearth_sgemm(nil, false, false, 2, 2, 0, [0], 0, [0], 3, &c, 3, false)
    #expect(c == [0, 0, 3, 0, 0, 6])
  }

  @Test("Infinities and NaN stay where they belong")
  func special() {
    var a = [Float](repeating: 1, count: 7 * 20)
    a[3 * 20 + 4] = .infinity
    a[5 * 20 + 19] = .nan
    let b = [Float](repeating: 0.5, count: 20 * 30)
    var c = [Float](repeating: 0, count: 7 * 30)
    hearth_sgemm(nil, false, false, 7, 30, 20, a, 20, b, 30, &c, 30, false)
    for i in 0..<7 {
      for j in 0..<30 {
        let value = c[i * 30 + j]
        #expect(i == 3 ? value == .infinity : i == 5 ? value.isNaN : value == 10)
      }
    }
  }
}
