import CKernels
import Testing

/// A quantised matrix, packed, and what it stands for.
private final class Packed {
  let rows: Int, columns: Int
  let matrix: OpaquePointer
  let values: [Float]

  init(_ rows: Int, _ columns: Int, type: UInt32, terms: Int32 = 1) throws {
    (self.rows, self.columns) = (rows, columns)
    let format = try #require(hearth_format_for(type))
    var noise = RowNoise(UInt64(rows * 31 + columns))
    let rowBytes = columns / 32 * Int(format.pointee.block_bytes)
    var blocks = [UInt8](repeating: 0, count: rows * rowBytes)
    blocks.withUnsafeMutableBytes { bytes in
      guard let base = bytes.baseAddress else { return }
      for row in 0..<rows { format.pointee.quantize(base + row * rowBytes, noise.array(columns), columns) }
    }
    matrix = try #require(hearth_affine_pack(nil, format, blocks, rowBytes, rows, columns, terms))
    var values = [Float](repeating: 0, count: rows * columns)
    hearth_affine_dequantize_rows(matrix, &values, columns, 0, rows)
    self.values = values
  }

  deinit { hearth_affine_free(matrix) }

  /// What serving gives for rows that are quantised for `terms`.
  func product(_ activations: [UInt8], _ terms: Int32, rows count: Int) -> [Float] {
    var y = [Float](repeating: 0, count: count * rows)
    hearth_affine_matmul(nil, matrix, activations, terms, count, &y, rows)
    return y
  }
}

@Suite("Integer products among those in bf16") struct IntegerTermTests {
  private static func quantized(_ x: HalfMatrix, _ terms: Int32, _ pool: OpaquePointer? = nil) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: hearth_activation_bytes(x.columns, terms) * x.rows)
    hearth_bf16_quantize(pool, &bytes, x.halves, x.stride, x.rows, x.columns, terms)
    return bytes
  }

  @Test func rowsAreQuantisedAsServingQuantisesTheirFloats() throws {
    let pool = try #require(hearth_pool_create(2))
    defer { hearth_pool_destroy(pool) }
    for (rows, columns) in [(1, 32), (5, 96), (40, 576), (3, 1536)] {
      var noise = RowNoise(UInt64(columns))
      let x = HalfMatrix(rounding: noise.array(rows * columns), rows, columns)
      onEveryInstructionSet { isa in
        for terms in [Int32(1), 2] {
          var expected = [UInt8](repeating: 0, count: hearth_activation_bytes(columns, terms) * rows)
          hearth_quantize_activations(nil, &expected, x.floats, columns, rows, columns, terms)
          #expect(Self.quantized(x, terms, pool) == expected, "\(columns) columns, \(isa.rawValue)")
        }
      }
    }
  }

  /// Sums of one integer term are those of serving; further ones are added to them, those in bf16 go on from there.
  @Test func sumsAreThoseOfServingToTheBit() throws {
    let pools = (1...3).compactMap { hearth_pool_create($0) }
    defer { pools.forEach(hearth_pool_destroy) }
    for (rows, lanes, columns, type) in [
      (1, 16, 32, UInt32(3)), (9, 40, 96, 3), (130, 70, 64, 8), (300, 33, 160, 2), (57, 15, 64, 12 - 4),
    ] {
      let first = try Packed(lanes, columns, type: type), second = try Packed(lanes, 64, type: 8)
      var noise = RowNoise(UInt64(rows))
      let x = HalfMatrix(rounding: noise.array(rows * columns), rows, columns)
      let z = HalfMatrix(rounding: noise.array(rows * 64), rows, 64)
      onEveryInstructionSet { isa in
        for terms in [Int32(1), 2] {
          let (xs, zs) = (Self.quantized(x, terms), Self.quantized(z, 1))
          // A matrix of one term reads the first of two.
          let expected = first.product(xs, terms, rows: rows)
          let both = zip(expected, second.product(zs, 1, rows: rows)).map { $0 + $1 }
          for pool in [nil] + pools {
            func run(_ add: (inout hearth_bf16_matrix) -> Void) -> [Float] {
              var y = [Float](repeating: 7, count: rows * lanes)
              y.withUnsafeMutableBufferPointer { y in
                var matrix = hearth_bf16_matrix()
                (matrix.lanes, matrix.scale, matrix.output) = (lanes, 1, HEARTH_OUTPUT_F32)
                (matrix.c, matrix.ldc) = (UnsafeMutableRawPointer(y.baseAddress), lanes)
                add(&matrix)
                hearth_bf16_products(pool, rows, 1, &matrix)
              }
              return y
            }
            let one = run {
              hearth_bf16_append_term(&$0, hearth_bf16_integer_term(first.matrix, xs, terms, 1))
            }
            #expect(one == expected, "\(rows) x \(lanes) x \(columns), \(terms) terms, \(isa.rawValue)")
            let two = run {
              hearth_bf16_append_term(&$0, hearth_bf16_integer_term(first.matrix, xs, terms, 1))
              hearth_bf16_append_term(&$0, hearth_bf16_integer_term(second.matrix, zs, 1, 1))
            }
            #expect(two == both)
          }
        }
        // Both terms of activations, of a matrix that serves with one.
        let fine = Self.quantized(x, 2)
        var y = [Float](repeating: 0, count: rows * lanes)
        y.withUnsafeMutableBufferPointer { y in
          var matrix = hearth_bf16_matrix()
          (matrix.lanes, matrix.scale, matrix.output) = (lanes, 1, HEARTH_OUTPUT_F32)
          (matrix.c, matrix.ldc) = (UnsafeMutableRawPointer(y.baseAddress), lanes)
          hearth_bf16_append_term(&matrix, hearth_bf16_integer_term(first.matrix, fine, 2, 2))
          hearth_bf16_products(nil, rows, 1, &matrix)
        }
        for row in 0..<rows where row % 17 == 0 {
          for lane in 0..<lanes {
            var exact = 0.0, size = 0.0
            for k in 0..<columns {
              let product = Double(x[row, k]) * Double(first.values[lane * columns + k])
              exact += product
              size += abs(product)
            }
            #expect(abs(Double(y[row * lanes + lane]) - exact) < 2e-4 * size + 1e-6)
          }
        }
      }
    }
  }

  @Test func aTurnedMatrixIsItsTransposeInEightBits() throws {
    let pool = try #require(hearth_pool_create(2))
    defer { hearth_pool_destroy(pool) }
    for (rows, columns, type) in [(32, 32, UInt32(3)), (96, 64, 2), (64, 160, 8)] {
      let matrix = try Packed(rows, columns, type: type)
      let turned = try #require(hearth_affine_turn(pool, matrix.matrix))
      defer { hearth_affine_free(turned) }
      #expect(hearth_affine_rows(turned) == columns && hearth_affine_columns(turned) == rows)
      var values = [Float](repeating: 0, count: rows * columns)
      hearth_affine_dequantize_rows(turned, &values, rows, 0, columns)
      for column in 0..<columns {
        for block in stride(from: 0, to: rows, by: 32) {
          let expected = (block..<block + 32).map { matrix.values[$0 * columns + column] }
          let largest = expected.map(abs).max() ?? 0
          for (i, value) in expected.enumerated() {
            // Half a step, and the scale's rounding to f16.
            #expect(abs(values[column * rows + block + i] - value) <= largest * (0.5 / 127 + 6e-4))
          }
        }
      }
    }
    #expect(hearth_affine_turn(nil, try Packed(40, 32, type: 3).matrix) == nil)
  }
}
