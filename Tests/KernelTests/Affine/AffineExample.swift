import CKernels

/// Repeatable noise in -1 ..< 1.
struct AffineNoise {
  var state: UInt64
  mutating func next() -> Float {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Float(Int32(truncatingIfNeeded: state >> 32)) / 2_147_483_648
  }
}

/// A packed matrix of random weights and the bytes it came from.
final class AffineExample {
  let format: UnsafePointer<hearth_format>
  let rows: Int
  let columns: Int
  /// Distance between rows in `blocks`; more than a row takes, to see that it is heeded.
  let rowBytes: Int
  let blocks: [UInt8]
  let matrix: OpaquePointer

  init?(
    _ format: UnsafePointer<hearth_format>, rows: Int, columns: Int, terms: Int32 = 1, pool: OpaquePointer? = nil
  ) {
    var noise = AffineNoise(state: UInt64(rows * 131 + columns))
    let elements = Int(format.pointee.block_elements)
    let rowBytes = columns / elements * Int(format.pointee.block_bytes) + 6
    guard let quantize = format.pointee.quantize else { return nil }
    var blocks = [UInt8](repeating: 0, count: rows * rowBytes)
    blocks.withUnsafeMutableBytes { bytes in
      for row in 0..<rows {
        // Rows of different size and offset, so that a scale taken from a neighbour shows.
        let size = Float(row % 5 + 1) * 0.1, offset = Float(row % 3) * 0.05
        let values = (0..<columns).map { _ in noise.next() * size + offset }
        quantize(bytes.baseAddress.map { $0 + row * rowBytes }, values, columns)
      }
    }
    guard let matrix = hearth_affine_pack(pool, format, blocks, rowBytes, rows, columns, terms) else {
      return nil
    }
    (self.format, self.rows, self.columns) = (format, rows, columns)
    (self.rowBytes, self.blocks, self.matrix) = (rowBytes, blocks, matrix)
  }

  deinit { hearth_affine_free(matrix) }

  /// The weights as the format itself says they are, `[rows, columns]`.
  var weights: [Float] {
    var values = [Float](repeating: 0, count: rows * columns)
    values.withUnsafeMutableBufferPointer { out in
      blocks.withUnsafeBytes { bytes in
        for row in 0..<rows {
          format.pointee.dequantize(
            out.baseAddress.map { $0 + row * columns }, bytes.baseAddress.map { $0 + row * rowBytes },
            columns)
        }
      }
    }
    return values
  }

  /// `[tokens, rows]`, with a gap between the rows that must stay untouched.
  func product(_ activations: [UInt8], terms: Int32 = 1, tokens: Int, pool: OpaquePointer? = nil) -> [Float] {
    let ldy = rows + 3
    var y = [Float](repeating: -7, count: tokens * ldy)
    hearth_affine_matmul(pool, matrix, activations, terms, tokens, &y, ldy)
    return y
  }

  static func name(_ format: UnsafePointer<hearth_format>) -> String {
    String(cString: format.pointee.name)
  }

  /// Every affine format that can write blocks.
  static var formats: [UnsafePointer<hearth_format>] {
    (0..<hearth_format_count()).compactMap { hearth_format_at($0) }
      .filter { $0.pointee.affine_bits != 0 && $0.pointee.quantize != nil }
  }
}

/// Random activations `[tokens, columns]`, of very different size from token to token.
func randomActivations(tokens: Int, columns: Int) -> [Float] {
  var noise = AffineNoise(state: UInt64(tokens * 977 + columns))
  return (0..<tokens * columns).map { noise.next() * Float($0 / columns % 7 + 1) }
}

func quantizedActivations(
  _ x: [Float], terms: Int32 = 1, tokens: Int, columns: Int, pool: OpaquePointer? = nil
) -> [UInt8] {
  var out = [UInt8](repeating: 0, count: tokens * hearth_activation_bytes(columns, terms))
  hearth_quantize_activations(pool, &out, x, columns, tokens, columns, terms)
  return out
}

/// What the quantised activations stand for: `[tokens, columns]`, from the definition.
func roundedActivations(_ x: [Float], terms: Int32 = 1) -> [Double] {
  var result: [Double] = []
  for start in stride(from: 0, to: x.count, by: 32) {
    let block = x[start..<start + 32]
    let largest = block.map(abs).max() ?? 0
    let inverse = largest > 0 ? 127 / largest : 0
    for value in block {
      let first = (value * inverse).rounded(.toNearestOrEven)
      let second = min(127, ((value * inverse - first) * 256).rounded(.toNearestOrEven))
      result.append(Double(terms == 1 ? first : first + second / 256) * Double(largest / 127))
    }
  }
  return result
}

func haveSameBits(_ x: some Sequence<Float>, _ y: some Sequence<Float>) -> Bool {
  x.map(\.bitPattern) == y.map(\.bitPattern)
}
