import CKernels
import Testing

@Suite("Packed dense matrices")
struct DenseProductTests {
  static let types = [(HEARTH_DENSE_F32, UInt32(0)), (HEARTH_DENSE_F16, 1), (HEARTH_DENSE_BF16, 30)]

  @Test("A product has the bits of the plain one, for every instruction set, thread count and batch", arguments: types)
  func sameBits(_ type: hearth_dense_type, _ number: UInt32) throws {
    let pools = (1...3).compactMap { hearth_pool_create($0) }
    defer { pools.forEach(hearth_pool_destroy) }
    let format = try #require(hearth_format_for(number)), quantize = try #require(format.pointee.quantize)
    var noise = AffineNoise(state: 5)
    for (rows, columns) in [(1, 1), (31, 97), (70, 200), (32, 96)] {
      let size = Int(format.pointee.block_bytes), rowBytes = columns * size + 2
      var elements = [UInt8](repeating: 0, count: rows * rowBytes)
      var weights = [Float](repeating: 0, count: rows * columns)
      elements.withUnsafeMutableBytes { bytes in
        for row in 0..<rows {
          let values = (0..<columns).map { _ in noise.next() }
          quantize(bytes.baseAddress.map { $0 + row * rowBytes }, values, columns)
          weights.withUnsafeMutableBufferPointer { out in
            format.pointee.dequantize(
              out.baseAddress.map { $0 + row * columns }, bytes.baseAddress.map { $0 + row * rowBytes }, columns)
          }
        }
      }
      let matrix = try #require(hearth_dense_pack(pools[1], type, elements, rowBytes, rows, columns))
      defer { hearth_dense_free(matrix) }
      let most = 110
      let x = (0..<most * columns).map { _ in noise.next() }
      var expected = [Float](repeating: 0, count: most * rows)
      hearth_sgemm(nil, false, true, most, rows, columns, x, columns, weights, columns, &expected, rows, false)
      onEveryInstructionSet { isa in
        for pool in pools {
          for tokens in [1, 2, 3, 5, 12, 17, 97, most] {
            var y = [Float](repeating: -7, count: tokens * (rows + 3))
            y.withUnsafeMutableBufferPointer { out in
              hearth_dense_matmul(pool, 1, [Optional(matrix)], x, columns, tokens, [out.baseAddress], [rows + 3])
            }
            let dense = y.enumerated().filter { $0.offset % (rows + 3) < rows }.map(\.element)
            #expect(haveSameBits(dense, expected.prefix(tokens * rows)), "\(rows) × \(columns), \(tokens), \(isa)")
            #expect(y.enumerated().allSatisfy { $0.offset % (rows + 3) < rows || $0.element == -7 })
          }
        }
      }
    }
  }
}
