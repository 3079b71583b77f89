import CKernels
import Foundation
import Testing

/// Queries, keys and values of a few packed sequences.
struct AttentionExample {
  let heads: Int, keyValueHeads: Int, width: Int, causal: Bool
  let starts: [Int32]
  var q: [Float], k: [Float], v: [Float]
  var scale: Float { 1 / Float(width).squareRoot() }
  var tokens: Int { Int(starts[starts.count - 1]) }

  init(heads: Int, keyValueHeads: Int, width: Int, lengths: [Int], causal: Bool = true) {
    (self.heads, self.keyValueHeads, self.width, self.causal) = (heads, keyValueHeads, width, causal)
    starts = lengths.reduce(into: [0]) { $0.append($0[$0.count - 1] + Int32($1)) }
    var noise = RowNoise(UInt64(heads * 1000 + width))
    let tokens = lengths.reduce(0, +)
    q = noise.array(tokens * heads * width, scale: 2)
    k = noise.array(tokens * keyValueHeads * width, scale: 2)
    v = noise.array(tokens * keyValueHeads * width)
  }

  init(_ golden: GoldenCase) {
    (heads, keyValueHeads) = (golden.count("heads"), golden.count("keyValueHeads"))
    (width, causal) = (golden.count("headWidth"), golden.count("causal") == 1)
    starts = golden.integers("starts")
    (q, k, v) = (golden["q"], golden["k"], golden["v"])
  }

  func forward(_ pool: OpaquePointer? = nil) -> (y: [Float], logSum: [Float]) {
    var y = [Float](repeating: 7, count: q.count)
    var logSum = [Float](repeating: 7, count: tokens * heads)
    hearth_attention(
      pool, &y, &logSum, q, k, v, starts, starts.count - 1, heads, keyValueHeads, width, scale,
      causal)
    return (y, logSum)
  }

  func backward(_ dy: [Float], _ pool: OpaquePointer? = nil) -> (
    dq: [Float], dk: [Float], dv: [Float]
  ) {
    let (y, logSum) = forward(pool)
    var dq = [Float](repeating: 0, count: q.count)
    var dk = [Float](repeating: 0, count: k.count)
    var dv = dk
    hearth_attention_backward(
      pool, &dq, &dk, &dv, dy, y, logSum, q, k, v, starts, starts.count - 1, heads, keyValueHeads,
      width, scale, causal)
    return (dq, dk, dv)
  }
}

@Suite("Training attention")
struct TrainingAttentionTests {
  @Test("Outputs, sums and gradients are torch's, grouped queries and packed sequences among them")
  func golden() throws {
    for golden in try GoldenCase.load("attention") {
      let example = AttentionExample(golden)
      let result = everywhere("attention") { pool in
        let (y, logSum) = example.forward(pool)
        let gradients = example.backward(golden["dy"], pool)
        return y + logSum + gradients.dq + gradients.dk + gradients.dv
      }
      let names = ["y", "log_sum", "dq", "dk", "dv"]
      var from = 0
      for name in names {
        let expected = golden[name]
        expectClose(name, result[from..<from + expected.count], expected, tolerance: 3e-6)
        from += expected.count
      }
      #expect(from == result.count)
    }
  }

  @Test(
    "Every head width, number of workers and instruction set gives the same bits",
    arguments: [(4, 2, 1), (3, 1, 4), (2, 2, 7), (2, 1, 16), (3, 3, 33), (6, 2, 64)])
  func widths(heads: Int, keyValueHeads: Int, width: Int) {
    for causal in [true, false] {
      let example = AttentionExample(
        heads: heads, keyValueHeads: keyValueHeads, width: width, lengths: [1, 35, 32],
        causal: causal)
      var noise = RowNoise(21)
      let dy = noise.array(example.q.count)
      _ = everywhere("attention of width \(width)") { pool in
        let gradients = example.backward(dy, pool)
        return example.forward(pool).y + gradients.dq + gradients.dk + gradients.dv
      }
    }
  }

  @Test("The widest head")
  func widest() {
    let width = Int(HEARTH_HEAD_WIDTH_MAXIMUM)
    let example = AttentionExample(heads: 2, keyValueHeads: 1, width: width, lengths: [33])
    withSteadyInstructionSet {
      // Values of one make every output one, and dy·(v − y) nothing.
      var ones = example
      ones.v = example.v.map { _ in 1 }
      expectClose("y", ones.forward().y, example.q.map { _ in 1 })
      let gradients = ones.backward(example.q)
      expectClose("dq", gradients.dq, example.q.map { _ in 0 }, tolerance: 1e-3)
    }
  }

  @Test("Gradients are slopes, and add to what is there", arguments: [true, false])
  func slopes(causal: Bool) {
    let example = AttentionExample(
      heads: 4, keyValueHeads: 2, width: 6, lengths: [40, 3], causal: causal)
    var noise = RowNoise(22)
    let dy = noise.array(example.q.count)
    withSteadyInstructionSet {
      let gradients = example.backward(dy)
      func loss(_ change: (inout AttentionExample) -> Void) -> Double {
        var changed = example
        change(&changed)
        return inner(changed.forward().y, dy)
      }
      expectSlope("dq", of: { q in loss { $0.q = q } }, at: example.q, gradient: gradients.dq)
      expectSlope("dk", of: { k in loss { $0.k = k } }, at: example.k, gradient: gradients.dk)
      expectSlope("dv", of: { v in loss { $0.v = v } }, at: example.v, gradient: gradients.dv)

      let (y, logSum) = example.forward()
      var dv = gradients.dv
      hearth_attention_backward(
        nil, nil, nil, &dv, dy, y, logSum, example.q, example.k, example.v, example.starts, 2,
        example.heads, example.keyValueHeads, example.width, example.scale, causal)
      expectClose("dv twice", dv, gradients.dv.map { 2 * $0 })
    }
  }

  @Test("Other sequences of a batch change nothing")
  func batch() {
    withSteadyInstructionSet {
      let both = AttentionExample(heads: 2, keyValueHeads: 1, width: 8, lengths: [50, 20])
      var alone = AttentionExample(heads: 2, keyValueHeads: 1, width: 8, lengths: [20])
      alone.q = Array(both.q.suffix(alone.q.count))
      alone.k = Array(both.k.suffix(alone.k.count))
      alone.v = Array(both.v.suffix(alone.v.count))
      #expect(Array(both.forward().y.suffix(alone.q.count)) == alone.forward().y)
    }
  }
}
