import CKernels
import Testing

/// A quantised block as it lies in memory.
private func quantizedBlock(_ x: [Float]) -> (q: [Int8], scale: Float, sum: Float) {
  let bytes = quantizedActivations(x, tokens: 1, columns: 32)
  return bytes.withUnsafeBytes {
    (
      (0..<32).map { Int8(bitPattern: bytes[$0]) }, $0.load(fromByteOffset: 32, as: Float.self),
      $0.load(fromByteOffset: 36, as: Float.self)
    )
  }
}

@Suite("Quantised activations")
struct ActivationTests {
  @Test("Ties go to the even number")
  func ties() {
    onEveryInstructionSet { _ in
      var x = [Float](repeating: 0, count: 32)
      x[0] = 127
      for i in 1..<32 { x[i] = Float(i) - 16.5 }
      let block = quantizedBlock(x)
      #expect(block.scale == 1)
      #expect(block.q[0] == 127)
      for i in 1..<32 { #expect(Float(block.q[i]) == x[i].rounded(.toNearestOrEven)) }
      #expect(block.sum == block.q.reduce(0) { $0 + Float($1) })
    }
  }

  @Test("The largest becomes 127 whatever its size, and tiny blocks are zero")
  func range() {
    onEveryInstructionSet { _ in
      for exponent in stride(from: Float(-36), to: 38, by: 1) {
        var noise = AffineNoise(state: UInt64(exponent + 100))
        var x = (0..<32).map { _ in noise.next() }
        x[9] = -1.0625
        var size: Float = 1
        for _ in 0..<Int(abs(exponent)) { size *= exponent < 0 ? 0.1 : 10 }
        let block = quantizedBlock(x.map { $0 * size })
        #expect(block.q[9] == -127)
        #expect(abs(block.scale * 127 / (1.0625 * size) - 1) < 1e-4)
      }
      for tiny: Float in [0, .leastNonzeroMagnitude, 1e-38, 3e-37] {
        let block = quantizedBlock([Float](repeating: -tiny, count: 32))
        #expect(block.q.allSatisfy { $0 == 0 } && block.scale == 0 && block.sum == 0)
      }
    }
  }

  @Test("A NaN or an infinity reaches the outputs as NaN")
  func nonFinite() throws {
    let format = try #require(hearth_format_for(3))
    let example = try #require(AffineExample(format, rows: 5, columns: 64))
    onEveryInstructionSet { _ in
      for bad in [Float.nan, .infinity, -.infinity] {
        var x = randomActivations(tokens: 2, columns: 64)
        x[64 + 40] = bad
        let y = example.product(
          quantizedActivations(x, tokens: 2, columns: 64), tokens: 2)
        for r in 0..<5 {
          #expect(y[r].isFinite)
          #expect(y[8 + r].isNaN)
        }
      }
    }
  }

  @Test("Every instruction set and thread count writes the same bytes", arguments: [1, 2])
  func sameBytes(_ terms: Int32) throws {
    let pool = try #require(hearth_pool_create(3))
    defer { hearth_pool_destroy(pool) }
    let x = randomActivations(tokens: 70, columns: 320)
    var expected: [UInt8] = []
    onEveryInstructionSet { isa in
      let alone = quantizedActivations(x, terms: terms, tokens: 70, columns: 320)
      if isa == HEARTH_ISA_SCALAR { expected = alone }
      #expect(alone == expected)
      #expect(quantizedActivations(x, terms: terms, tokens: 70, columns: 320, pool: pool) == expected)
    }
  }
}
