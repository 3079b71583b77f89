import CKernels
import Foundation
import Testing

/// A gated layer's gate and up, kept in 8 bits for the gradient.
@Suite("Gates kept in 8 bits") struct KeptGateTests {
  private static let (rows, lanes, depth, panels) = (21, 37, 10, 2)

  /// Factors of a gate and an up, and both products in f32.
  private struct Layer {
    let input: HalfMatrix
    let gate, up: [Float]

    init(seed: UInt64, scale: Float = 1) {
      var noise = RowNoise(seed)
      input = HalfMatrix(rounding: noise.array(rows * depth, scale: scale), rows, depth)
      (gate, up) = (noise.array(lanes * depth), noise.array(lanes * depth))
    }

    /// Hands a product with a term for the gate, and one for up, to `body`.
    func withMatrix(_ body: (inout hearth_bf16_matrix) -> Void) {
      func operand(_ values: UnsafeBufferPointer<Float>) -> hearth_operand {
        hearth_operand(kind: HEARTH_OPERAND_F32, data: values.baseAddress, ld: depth, transposed: false)
      }
      input.halves.withUnsafeBufferPointer { a in
        gate.withUnsafeBufferPointer { gate in
          up.withUnsafeBufferPointer { up in
            var matrix = hearth_bf16_matrix()
            (matrix.lanes, matrix.scale) = (lanes, 1)
            hearth_bf16_add_term(&matrix, a.baseAddress, input.stride, operand(gate), depth)
            hearth_bf16_add_up_term(&matrix, a.baseAddress, input.stride, operand(up), depth)
            body(&matrix)
          }
        }
      }
    }

    /// The forward pass: y, and gate and up in bf16 or in 8 bits.
    func forward(_ pool: OpaquePointer?, _ gates: inout Kept) -> (y: HalfMatrix, gate: HalfMatrix, up: HalfMatrix) {
      var (y, gate, up) = (HalfMatrix(rows, lanes), HalfMatrix(rows, lanes), HalfMatrix(rows, lanes))
      withMatrix { matrix in
        matrix.output = HEARTH_OUTPUT_SWIGLU
        y.halves.withUnsafeMutableBufferPointer { y in
          (matrix.c, matrix.ldc) = (UnsafeMutableRawPointer(y.baseAddress), HalfMatrix(1, lanes).stride)
          gate.halves.withUnsafeMutableBufferPointer { gate in
            up.halves.withUnsafeMutableBufferPointer { up in
              (matrix.gate, matrix.up) = (gate.baseAddress, up.baseAddress)
              hearth_bf16_products(pool, rows, 1, &matrix)
            }
          }
          (matrix.gate, matrix.up) = (nil, nil)
          gates.place(in: &matrix) { hearth_bf16_products(pool, rows, 1, &$0) }
        }
      }
      return (y, gate, up)
    }
  }

  /// Room for what is kept.
  private struct Kept: Equatable {
    var q = [Int8](repeating: 99, count: panels * rows * 64)
    var scales = [UInt16](repeating: 99, count: panels * rows * 2)

    mutating func place(in matrix: inout hearth_bf16_matrix, _ body: (inout hearth_bf16_matrix) -> Void) {
      q.withUnsafeMutableBufferPointer { q in
        scales.withUnsafeMutableBufferPointer { scales in
          matrix.gates = hearth_bf16_gates(q: q.baseAddress, scales: scales.baseAddress, rows: rows)
          body(&matrix)
          matrix.gates = hearth_bf16_gates()
        }
      }
    }

    /// What is kept of the gate, or of up.
    func value(_ row: Int, _ lane: Int, up: Bool) -> Float {
      let line = lane / 32 * rows + row
      return Float(q[line * 64 + (up ? 32 : 0) + lane % 32]) * HalfMatrix.widened(scales[line * 2 + (up ? 1 : 0)])
    }
  }

  @Test func everyNumberIsWithinHalfAByte() throws {
    let pool = try #require(hearth_pool_create(2))
    defer { hearth_pool_destroy(pool) }
    let layer = Layer(seed: 3)
    var first: Kept?
    onEveryInstructionSet { isa in
      var kept = Kept()
      let (_, gate, up) = layer.forward(pool, &kept)
      for row in 0..<Self.rows {
        for lane in 0..<Self.lanes {
          for (matrix, isUp) in [(gate, false), (up, true)] {
            let lanes = lane / 32 * 32..<min(lane / 32 * 32 + 32, Self.lanes)
            let largest = lanes.map { abs(matrix[row, $0]) }.max() ?? 0
            // Half of what a byte stands for, which is rounded up to bf16.
            let bound = largest / 127 / 2 * (1 + 0x1p-7)
            #expect(
              abs(kept.value(row, lane, up: isUp) - matrix[row, lane]) <= bound * 1.001,
              "\(row), \(lane), \(isa.rawValue)")
          }
        }
      }
      if first == nil { first = kept }
      #expect(kept == first, "the same bytes on \(isa.rawValue)")
    }
  }

  @Test func gradientsAreThoseOfWhatWasKept() {
    let layer = Layer(seed: 5)
    onEveryInstructionSet { isa in
      var kept = Kept()
      _ = layer.forward(nil, &kept)
      var (dgate, dup, y) = (
        HalfMatrix(Self.rows, Self.lanes), HalfMatrix(Self.rows, Self.lanes), HalfMatrix(Self.rows, Self.lanes)
      )
      // The gradient of y is what the gate's product was.
      var sums = [Float](repeating: 0, count: Self.rows * Self.lanes)
      layer.withMatrix { matrix in
        matrix.up_term_count = 0
        matrix.output = HEARTH_OUTPUT_F32
        sums.withUnsafeMutableBufferPointer { sums in
          (matrix.c, matrix.ldc) = (UnsafeMutableRawPointer(sums.baseAddress), Self.lanes)
          hearth_bf16_products(nil, Self.rows, 1, &matrix)
        }
        matrix.output = HEARTH_OUTPUT_SWIGLU_BACKWARD
        dgate.halves.withUnsafeMutableBufferPointer { dgate in
          dup.halves.withUnsafeMutableBufferPointer { dup in
            y.halves.withUnsafeMutableBufferPointer { y in
              (matrix.dgate, matrix.dup) = (dgate.baseAddress, dup.baseAddress)
              (matrix.c, matrix.ldc) = (UnsafeMutableRawPointer(y.baseAddress), HalfMatrix(1, Self.lanes).stride)
              kept.place(in: &matrix) { hearth_bf16_products(nil, Self.rows, 1, &$0) }
            }
          }
        }
      }
      for row in 0..<Self.rows {
        for lane in 0..<Self.lanes {
          let dy = Double(sums[row * Self.lanes + lane])
          let (g, u) = (Double(kept.value(row, lane, up: false)), Double(kept.value(row, lane, up: true)))
          let s = 1 / (1 + exp(-g))
          for (found, expected) in [
            (dgate[row, lane], dy * u * s * (1 + g * (1 - s))), (dup[row, lane], dy * g * s), (y[row, lane], g * s * u),
          ] {
            #expect(abs(Double(found) - expected) <= 0.004 * abs(expected) + 1e-6, "\(row), \(lane), \(isa.rawValue)")
          }
        }
      }
    }
  }

  @Test func whatIsNoNumberIsKeptAsNone() {
    let layer = Layer(seed: 7, scale: .infinity)
    var kept = Kept()
    onEveryInstructionSet { isa in
      _ = layer.forward(nil, &kept)
      #expect(kept.value(0, 0, up: false).isNaN && kept.value(3, 36, up: true).isNaN, "\(isa.rawValue)")
    }
    // What is too small for a scale is kept as zero.
    let small = Layer(seed: 7, scale: 0x1p-125)
    _ = small.forward(nil, &kept)
    #expect(kept.value(0, 0, up: false) == 0 && kept.value(3, 36, up: true) == 0)
  }
}
