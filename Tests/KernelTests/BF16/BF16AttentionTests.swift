import CKernels
import Foundation
import Testing

/// Attention in bf16 of the operands of an example, rounded.
private struct HalfAttention {
  let example: AttentionExample
  let dy: [Float]
  let q: HalfMatrix, k: HalfMatrix, v: HalfMatrix
  var gradient: HalfMatrix
  /// For each sequence, the first position whose query somebody wants.
  var firstQueries: [Int32]?

  init(_ example: AttentionExample) {
    let (queries, keys) = (example.heads * example.width, example.keyValueHeads * example.width)
    q = HalfMatrix(rounding: example.q, example.tokens, queries)
    k = HalfMatrix(rounding: example.k, example.tokens, keys)
    v = HalfMatrix(rounding: example.v, example.tokens, keys)
    var noise = RowNoise(11)
    gradient = HalfMatrix(rounding: noise.array(example.tokens * queries), example.tokens, queries)
    var rounded = example
    (rounded.q, rounded.k, rounded.v) = (q.floats, k.floats, v.floats)
    self.example = rounded
    dy = gradient.floats
  }

  struct Result: Equatable {
    var y: [UInt16], logSum: [Float], dq: [UInt16], dk: [UInt16], dv: [UInt16]
  }

  func compute(_ pool: OpaquePointer?) -> Result {
    let e = example
    var (y, dq, dk, dv) = (
      HalfMatrix(q.rows, q.columns), HalfMatrix(q.rows, q.columns), HalfMatrix(k.rows, k.columns),
      HalfMatrix(k.rows, k.columns)
    )
    var logSum = [Float](repeating: 7, count: e.tokens * e.heads)
    var turned = HalfMatrix(k.columns, e.tokens + 1)
    let firsts = firstQueries.map { given in
      let memory = UnsafeMutablePointer<Int32>.allocate(capacity: given.count)
      memory.initialize(from: given, count: given.count)
      return memory
    }
    defer { firsts?.deallocate() }
    y.halves.withUnsafeMutableBufferPointer { y in
      dq.halves.withUnsafeMutableBufferPointer { dq in
        dk.halves.withUnsafeMutableBufferPointer { dk in
          dv.halves.withUnsafeMutableBufferPointer { dv in
            logSum.withUnsafeMutableBufferPointer { logSum in
              e.starts.withUnsafeBufferPointer { starts in
                q.halves.withUnsafeBufferPointer { q in
                  k.halves.withUnsafeBufferPointer { k in
                    v.halves.withUnsafeBufferPointer { v in
                      gradient.halves.withUnsafeBufferPointer { dy in
                        var arguments = hearth_bf16_attention_arguments()
                        (arguments.starts, arguments.sequences) = (starts.baseAddress, starts.count - 1)
                        (arguments.heads, arguments.key_value_heads) = (e.heads, e.keyValueHeads)
                        (arguments.head_width, arguments.scale) = (e.width, e.scale)
                        arguments.causal = e.causal
                        arguments.first_queries = firsts.map { UnsafePointer($0) }
                        (arguments.q, arguments.k, arguments.v) = (q.baseAddress, k.baseAddress, v.baseAddress)
                        (arguments.ldq, arguments.ldk) = (self.q.stride, self.k.stride)
                        (arguments.y, arguments.log_sum, arguments.dy) = (
                          y.baseAddress, logSum.baseAddress, dy.baseAddress
                        )
                        (arguments.dq, arguments.dk, arguments.dv) = (dq.baseAddress, dk.baseAddress, dv.baseAddress)
                        hearth_bf16_attention(pool, &arguments, &turned.halves)
                        hearth_bf16_attention_backward(pool, &arguments)
                      }
                    }
                  }
                }
              }
            }
          }
        }
      }
    }
    return Result(y: y.bits, logSum: logSum, dq: dq.bits, dk: dk.bits, dv: dv.bits)
  }
}

/// ‖found − expected‖ / ‖expected‖
private func relativeError(_ found: [UInt16], _ expected: [Float]) -> Double {
  var (error, size) = (0.0, 1e-30)
  for (half, value) in zip(found, expected) {
    error += pow(Double(HalfMatrix.widened(half)) - Double(value), 2)
    size += pow(Double(value), 2)
  }
  return (error / size).squareRoot()
}

@Suite("Attention in bf16") struct BF16AttentionTests {
  private static let examples = [
    AttentionExample(heads: 6, keyValueHeads: 2, width: 64, lengths: [37, 63]),
    AttentionExample(heads: 4, keyValueHeads: 4, width: 32, lengths: [200]),
    AttentionExample(heads: 3, keyValueHeads: 1, width: 20, lengths: [5, 65, 1]),
    AttentionExample(heads: 4, keyValueHeads: 2, width: 18, lengths: [65, 5], causal: false),
    AttentionExample(heads: 9, keyValueHeads: 3, width: 64, lengths: [64, 128, 3]),
    // Several stretches of keys.
    AttentionExample(heads: 2, keyValueHeads: 1, width: 8, lengths: [530, 9, 1100]),
    AttentionExample(heads: 1, keyValueHeads: 1, width: 4, lengths: [1600], causal: false),
  ]

  @Test func isThatInFloatsButForRounding() {
    for example in Self.examples {
      let half = HalfAttention(example)
      let found = half.compute(nil)
      let (y, logSum) = half.example.forward()
      let (dq, dk, dv) = half.example.backward(half.dy)
      #expect(relativeError(found.y, y) < 0.004)
      #expect(zip(found.logSum, logSum).allSatisfy { abs($0 - $1) < 1e-5 })
      for (name, gradient, expected) in [("dq", found.dq, dq), ("dk", found.dk, dk), ("dv", found.dv, dv)] {
        #expect(relativeError(gradient, expected) < 0.006, "\(name) of \(example.heads) heads of \(example.width)")
      }
    }
  }

  @Test func isTheSameForAnyThreadsAndInstructionSet() throws {
    let pools = (2...3).compactMap { hearth_pool_create($0) }
    defer { pools.forEach(hearth_pool_destroy) }
    let examples = Self.examples.map(HalfAttention.init)
    var expected: [HalfAttention.Result] = []
    onEveryInstructionSet { isa in
      if isa == HEARTH_ISA_SCALAR { expected = examples.map { $0.compute(pools[0]) } }
      for (example, result) in zip(examples, expected) {
        #expect(example.compute(nil) == result, "on \(isa.rawValue)")
        for pool in pools { #expect(example.compute(pool) == result, "on \(isa.rawValue)") }
      }
    }
  }

  @Test func sequencesDoNotSeeTheirNeighbours() {
    let (heads, width) = (4, 24)
    let together = HalfAttention(AttentionExample(heads: heads, keyValueHeads: 2, width: width, lengths: [70, 33, 5]))
    let result = together.compute(nil)
    var first = 0
    for length in [70, 33, 5] {
      var alone = AttentionExample(heads: heads, keyValueHeads: 2, width: width, lengths: [length])
      let (queries, keys) = (heads * width, 2 * width)
      alone.q = Array(together.example.q[first * queries..<(first + length) * queries])
      alone.k = Array(together.example.k[first * keys..<(first + length) * keys])
      alone.v = Array(together.example.v[first * keys..<(first + length) * keys])
      let found = HalfAttention(alone).compute(nil)
      #expect(found.y == Array(result.y[first * queries..<(first + length) * queries]))
      first += length
    }
  }

  @Test func queriesThatNobodyWantsLeaveTheOthersAlone() {
    var all = HalfAttention(AttentionExample(heads: 3, keyValueHeads: 1, width: 16, lengths: [600, 64, 40, 7]))
    let firsts: [Int32] = [210, 64, 0, 3]
    for (sequence, first) in firsts.enumerated() {
      for row in 0..<Int(first) {
        for i in 0..<all.gradient.columns {
          all.gradient.halves[(Int(all.example.starts[sequence]) + row) * all.gradient.stride + i] = 0
        }
      }
    }
    var some = all
    some.firstQueries = firsts
    let (expected, found) = (all.compute(nil), some.compute(nil))
    func floats(_ halves: [UInt16]) -> [Float] { halves.map(HalfMatrix.widened) }
    #expect(floats(found.dk) == floats(expected.dk) && floats(found.dv) == floats(expected.dv))
    let columns = all.q.columns
    for (sequence, first) in firsts.enumerated() {
      let rows = Int(all.example.starts[sequence]) + Int(first)..<Int(all.example.starts[sequence + 1])
      let part = rows.lowerBound * columns..<rows.upperBound * columns
      #expect(
        Array(found.y[part]) == Array(expected.y[part])
          && floats(Array(found.dq[part])) == floats(Array(expected.dq[part])))
    }
  }
}
