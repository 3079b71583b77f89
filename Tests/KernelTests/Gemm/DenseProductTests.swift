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
              hearth_dense_matmul(pool, 1, [Optional(matrix)], x, columns, tokens, [out.baseAddress], [rows + 3], nil)
            }
            let dense = y.enumerated().filter { $0.offset % (rows + 3) < rows }.map(\.element)
            #expect(haveSameBits(dense, expected.prefix(tokens * rows)), "\(rows) × \(columns), \(tokens), \(isa)")
            #expect(y.enumerated().allSatisfy { $0.offset % (rows + 3) < rows || $0.element == -7 })
          }
        }
      }
    }
  }

  @Test(
    "With rounded tokens it has the bits of a product in bf16; beside others, and where columns are odd, none is disturbed"
  )
  func roundedTokens() throws {
    let pools = (1...3).compactMap { hearth_pool_create($0) }
    defer { pools.forEach(hearth_pool_destroy) }
    var noise = AffineNoise(state: 6)
    for (rows, columns) in [(1, 2), (31, 98), (70, 200), (64, 4100), (33, 97)] {
      let (rowBytes, most) = (columns * 2 + 2, 110)
      // Some subnormal: they count as zero, and so does what comes of them.
      let numbers = (0..<rows * columns).map { _ in noise.next() }
      let elements = numbers.enumerated().map { UInt16($0.offset % 50 == 7 ? 3 : $0.element.bitPattern >> 16) }
      var stored = [UInt8](repeating: 0, count: rows * rowBytes)
      for (index, element) in elements.enumerated() {
        let place = index / columns * rowBytes + index % columns * 2
        (stored[place], stored[place + 1]) = (UInt8(truncatingIfNeeded: element), UInt8(element >> 8))
      }
      let x = (0..<most * columns).map { $0 % 60 == 9 ? 1e-39 : noise.next() * ($0 % 30 == 4 ? 1e-37 : 1) }
      let matrix = try #require(hearth_dense_pack(pools[1], HEARTH_DENSE_BF16_ROUNDED, stored, rowBytes, rows, columns))
      let exact = try #require(hearth_dense_pack(pools[1], HEARTH_DENSE_BF16, stored, rowBytes, rows, columns))
      defer { [matrix, exact].forEach(hearth_dense_free) }
      var sharp = [Float](repeating: 0, count: most * rows)
      let weights = elements.map { Float(bitPattern: UInt32($0) << 16) }
      hearth_sgemm(nil, false, true, most, rows, columns, x, columns, weights, columns, &sharp, rows, false)
      let expected = columns % 2 == 0 ? productInBF16(x, elements, most, rows, columns) : sharp
      onEveryInstructionSet { isa in
        for pool in pools {
          for tokens in [1, 2, 5, 14, 17, 97, most] {
            let matrices = [Optional(matrix), Optional(exact)]
            let room = hearth_dense_rounded_count(2, matrices, tokens)
            #expect((room > 0) == (columns % 2 == 0))
            var rounded = [UInt16](repeating: 0x7fff, count: max(1, room))
            var (first, second) = (
              [Float](repeating: 0, count: tokens * rows), [Float](repeating: 0, count: tokens * rows)
            )
            first.withUnsafeMutableBufferPointer { a in
              second.withUnsafeMutableBufferPointer { b in
                hearth_dense_matmul(
                  pool, 2, matrices, x, columns, tokens, [a.baseAddress, b.baseAddress], [rows, rows], &rounded)
              }
            }
            #expect(haveSameBits(first, expected.prefix(tokens * rows)), "\(rows) × \(columns), \(tokens), \(isa)")
            #expect(haveSameBits(second, sharp.prefix(tokens * rows)), "\(rows) × \(columns), \(tokens), \(isa)")
          }
        }
      }
    }
  }

  /// x · Wᵀ of numbers rounded to bf16, by the products that training uses, on the plain path.
  private func productInBF16(_ x: [Float], _ weights: [UInt16], _ tokens: Int, _ rows: Int, _ columns: Int) -> [Float] {
    let stride = hearth_bf16_stride(columns)
    var rounded = [UInt16](repeating: 0, count: tokens * stride)
    var y = [Float](repeating: 0, count: tokens * rows)
    let before = hearth_isa_current()
    hearth_isa_force(HEARTH_ISA_SCALAR)
    defer { hearth_isa_force(before) }
    hearth_bf16_round(nil, &rounded, stride, x, columns, tokens, columns)
    weights.withUnsafeBytes { weights in
      rounded.withUnsafeBufferPointer { rounded in
        y.withUnsafeMutableBytes { y in
          var product = hearth_bf16_matrix()
          let operand = hearth_operand(
            kind: HEARTH_OPERAND_BF16, data: weights.baseAddress, ld: columns, transposed: false)
          (product.lanes, product.output, product.scale) = (rows, HEARTH_OUTPUT_F32, 1)
          (product.c, product.ldc) = (y.baseAddress, rows)
          hearth_bf16_add_term(&product, rounded.baseAddress, stride, operand, columns)
          hearth_bf16_products(nil, tokens, 1, &product)
        }
      }
    }
    return y
  }
}
