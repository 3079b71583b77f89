import CKernels
import Testing

/// A quantised matrix, packed, and what it stands for.
private final class Packed {
  let rows: Int, columns: Int
  let matrix: OpaquePointer
  let values: [Float]

  init(_ rows: Int, _ columns: Int, type: UInt32) throws {
    (self.rows, self.columns) = (rows, columns)
    let format = try #require(hearth_format_for(type))
    var noise = RowNoise(UInt64(rows * 31 + columns))
    let rowBytes = columns / 32 * Int(format.pointee.block_bytes)
    var blocks = [UInt8](repeating: 0, count: rows * rowBytes)
    blocks.withUnsafeMutableBytes { bytes in
      guard let base = bytes.baseAddress else { return }
      for row in 0..<rows { format.pointee.quantize(base + row * rowBytes, noise.array(columns), columns) }
    }
    matrix = try #require(hearth_affine_pack(nil, format, blocks, rowBytes, rows, columns, 1))
    var values = [Float](repeating: 0, count: rows * columns)
    hearth_affine_dequantize_rows(matrix, &values, columns, 0, rows)
    self.values = values
  }

  deinit { hearth_affine_free(matrix) }

  /// The transpose in 8 bits, and what it stands for, `[columns, rows]`.
  func turned(_ pool: OpaquePointer? = nil) throws -> Turned {
    Turned(try #require(hearth_int8_turn(pool, matrix)))
  }
}

private final class Turned {
  let matrix: OpaquePointer
  let lanes: Int, depth: Int
  let values: [Float]

  init(_ matrix: OpaquePointer) {
    (self.matrix, lanes, depth) = (matrix, hearth_int8_lanes(matrix), hearth_int8_depth(matrix))
    var values = [Float](repeating: 0, count: lanes * depth)
    hearth_int8_values(matrix, &values)
    self.values = values
  }

  deinit { hearth_int8_free(matrix) }

  /// sums + the product, by the definition. `rows` as `Rows` makes them.
  func product(_ rows: Rows, addedTo sums: [Float]) -> [Float] {
    var sums = sums
    for row in 0..<rows.count {
      for lane in 0..<lanes {
        var sum = sums[row * lanes + lane]
        for (block, start) in stride(from: 0, to: depth, by: 128).enumerated() {
          let ks = start..<min(start + 128, depth)
          let largest = ks.map { abs(values[lane * depth + $0]) }.max() ?? 0
          let scale = largest / 127
          var dot = 0
          for k in ks where scale > 0 {
            dot += Int((values[lane * depth + k] / scale).rounded()) * Int(rows.q[row][k])
          }
          sum.addProduct(scale * rows.scales[row][block], Float(dot))
        }
        sums[row * lanes + lane] = sum
      }
    }
    return sums
  }
}

/// Rows in 8 bits by the plain rule.
private struct Rows {
  let count: Int
  private(set) var q: [[Int8]] = []
  private(set) var scales: [[Float]] = []

  init(_ x: HalfMatrix) {
    count = x.rows
    for row in 0..<x.rows {
      var (q, scales): ([Int8], [Float]) = ([], [])
      for start in stride(from: 0, to: x.columns, by: 128) {
        let block = (start..<min(start + 128, x.columns)).map { x[row, $0] }
        let largest = block.map(abs).max() ?? 0
        scales.append(largest / 127)
        q += block.map { largest == 0 ? 0 : Int8(($0 * (127 / largest)).rounded(.toNearestOrEven)) }
      }
      self.q.append(q)
      self.scales.append(scales)
    }
  }
}

@Suite("Products in 8 bits") struct Int8Tests {
  private static func quantized(_ x: HalfMatrix, _ pool: OpaquePointer? = nil) -> [UInt8] {
    var bytes = [UInt8](repeating: 0xa5, count: hearth_int8_row_bytes(x.columns) * x.rows)
    hearth_int8_quantize(pool, &bytes, x.halves, x.stride, x.rows, x.columns)
    return bytes
  }

  private static func product(
    rows: Int, lanes: Int, _ pool: OpaquePointer?, _ add: (inout hearth_bf16_matrix) -> Void
  ) -> [Float] {
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

  @Test func rowsAreQuantisedByTheRule() throws {
    let pool = try #require(hearth_pool_create(2))
    defer { hearth_pool_destroy(pool) }
    for (rows, columns) in [(1, 32), (5, 96), (40, 576), (3, 1536), (4, 131), (2, 257), (1, 3)] {
      var noise = RowNoise(UInt64(columns))
      let x = HalfMatrix(rounding: noise.array(rows * columns), rows, columns)
      let expected = Rows(x)
      onEveryInstructionSet { isa in
        let found = Self.quantized(x, pool)
        let rowBytes = hearth_int8_row_bytes(columns)
        for row in 0..<rows {
          let bytes = found[row * rowBytes..<(row + 1) * rowBytes]
          let q = bytes.prefix(columns).map { Int8(bitPattern: $0) }
          #expect(q == expected.q[row], "\(columns) columns, \(isa.rawValue)")
          found.withUnsafeBytes { memory in
            let factors = row * rowBytes + (columns + 7) / 8 * 8
            for block in 0..<(columns + 127) / 128 {
              let sum = q[block * 128..<min(block * 128 + 128, columns)].reduce(Int32(0)) { $0 + Int32($1) }
              let scale = memory.loadUnaligned(fromByteOffset: factors + 8 * block, as: Float.self)
              let offset = memory.loadUnaligned(fromByteOffset: factors + 8 * block + 4, as: Int32.self)
              #expect(scale == expected.scales[row][block] && offset == -128 * sum)
            }
          }
        }
      }
    }
  }

  @Test func sumsAreTheDefinitionToTheBit() throws {
    let pools = (1...3).compactMap { hearth_pool_create($0) }
    defer { pools.forEach(hearth_pool_destroy) }
    // Rows, lanes, depth, format: short last blocks and depths that are no multiple of four among them.
    for (rows, lanes, depth, type) in [
      (1, 32, 16, UInt32(3)), (9, 64, 40, 3), (130, 96, 65, 8), (70, 160, 300, 2), (57, 32, 129, 8),
    ] {
      let first = try Packed(depth, lanes, type: type).turned(), second = try Packed(64, lanes, type: 8).turned()
      var noise = RowNoise(UInt64(rows))
      let x = HalfMatrix(rounding: noise.array(rows * depth), rows, depth)
      let z = HalfMatrix(rounding: noise.array(rows * 64), rows, 64)
      let one = first.product(Rows(x), addedTo: [Float](repeating: 0, count: rows * lanes))
      let both = second.product(Rows(z), addedTo: one)
      onEveryInstructionSet { isa in
        let (xs, zs) = (Self.quantized(x), Self.quantized(z))
        for pool in [nil] + pools {
          let foundOne = Self.product(rows: rows, lanes: lanes, pool) {
            hearth_bf16_append_term(&$0, hearth_bf16_int8_term(first.matrix, xs))
          }
          #expect(foundOne == one, "\(rows) x \(lanes) x \(depth), \(isa.rawValue)")
          let foundBoth = Self.product(rows: rows, lanes: lanes, pool) {
            hearth_bf16_append_term(&$0, hearth_bf16_int8_term(first.matrix, xs))
            hearth_bf16_append_term(&$0, hearth_bf16_int8_term(second.matrix, zs))
          }
          #expect(foundBoth == both)
        }
      }
      for row in 0..<rows where row % 17 == 0 {
        for lane in 0..<lanes {
          var exact = 0.0, size = 0.0
          for k in 0..<depth {
            let product = Double(x[row, k]) * Double(first.values[lane * depth + k])
            exact += product
            size += abs(product)
          }
          #expect(abs(Double(one[row * lanes + lane]) - exact) < 2e-2 * size + 1e-6)
        }
      }
    }
  }

  @Test func aTurnedMatrixIsItsTransposeInEightBits() throws {
    let pool = try #require(hearth_pool_create(2))
    defer { hearth_pool_destroy(pool) }
    for (rows, columns, type) in [(32, 32, UInt32(3)), (96, 64, 2), (200, 160, 8), (7, 32, 8)] {
      let matrix = try Packed(rows, columns, type: type)
      let turned = try matrix.turned(pool)
      #expect(turned.lanes == columns && turned.depth == rows)
      for column in 0..<columns {
        for block in stride(from: 0, to: rows, by: 128) {
          let expected = (block..<min(block + 128, rows)).map { matrix.values[$0 * columns + column] }
          let largest = expected.map(abs).max() ?? 0
          for (i, value) in expected.enumerated() {
            // Half a step.
            #expect(abs(turned.values[column * rows + block + i] - value) <= largest * (0.5 / 127 + 1e-6))
          }
        }
      }
    }
  }

  /// Columns become the rows that the transpose has, to the byte, what stands behind a short block included.
  @Test func columnsAreQuantisedAsTheRowsOfTheTranspose() throws {
    let pool = try #require(hearth_pool_create(2))
    defer { hearth_pool_destroy(pool) }
    for (rows, columns) in [(1, 1), (5, 33), (128, 32), (131, 47), (300, 16), (257, 70)] {
      var noise = RowNoise(UInt64(rows))
      let x = HalfMatrix(rounding: noise.array(rows * columns), rows, columns)
      let across = HalfMatrix(rounding: (0..<columns * rows).map { x[$0 % rows, $0 / rows] }, columns, rows)
      let rowBytes = hearth_int8_row_bytes(rows), used = (rows + 7) / 8 * 8 + (rows + 127) / 128 * 8
      onEveryInstructionSet { isa in
        let expected = Self.quantized(across, pool)
        var found = [UInt8](repeating: 0xa5, count: rowBytes * columns)
        hearth_int8_quantize_columns(pool, &found, x.halves, x.stride, rows, columns)
        for column in 0..<columns {
          let row = column * rowBytes..<column * rowBytes + used
          #expect(found[row] == expected[row], "column \(column) of \(rows) x \(columns), \(isa.rawValue)")
        }
      }
    }
  }

  /// From packed blocks, floats and bf16 numbers: by the rule for rows, to the bit, on every instruction set.
  @Test func whatIsTurnedIsQuantisedByTheRuleForRows() throws {
    let pool = try #require(hearth_pool_create(3))
    defer { hearth_pool_destroy(pool) }
    for (depth, lanes) in [(1, 1), (5, 3), (128, 32), (131, 33), (300, 47), (257, 96), (1024, 49)] {
      var noise = RowNoise(UInt64(depth + lanes))
      var values = noise.array(depth * lanes)
      // A column of zeros, and numbers too small to be divided by.
      for k in 0..<depth { values[k * lanes + lanes / 2] = k == 1 ? 1e-38 : 0 }
      let x = HalfMatrix(rounding: values, depth, lanes)
      let across = HalfMatrix(rounding: (0..<lanes * depth).map { x[$0 % depth, $0 / depth] }, lanes, depth)
      let rule = Rows(across)
      let expected = (0..<lanes * depth).map {
        rule.scales[$0 / depth][$0 % depth / 128] * Float(rule.q[$0 / depth][$0 % depth])
      }
      let floats = (0..<depth * lanes).map { x[$0 / lanes, $0 % lanes] }
      onEveryInstructionSet { isa in
        var memory = [UInt8](repeating: 0xa5, count: hearth_int8_bytes(lanes, depth))
        memory.withUnsafeMutableBytes { memory in
          for isHalf in [false, true] {
            guard let matrix = hearth_int8_create(lanes, depth, memory.baseAddress) else {
              Issue.record("no memory")
              return
            }
            if isHalf {
              hearth_int8_turn_halves(pool, matrix, x.halves, x.stride)
            } else {
              hearth_int8_turn_floats(pool, matrix, floats, lanes)
            }
            let found = Turned(matrix).values
            #expect(found == expected, "\(depth) x \(lanes), \(isHalf ? "halves" : "floats"), \(isa.rawValue)")
          }
        }
      }
    }
  }

  /// A matrix of a product's own making says so too when something in it is no number.
  @Test func aTurnedNaNReachesItsLaneOnly() throws {
    var noise = RowNoise(5)
    var values = noise.array(140 * 33)
    values[133 * 33 + 7] = .nan
    values[2 * 33 + 9] = -.infinity
    let x = HalfMatrix(rounding: values, 140, 33), rows = HalfMatrix(rounding: noise.array(2 * 140), 2, 140)
    onEveryInstructionSet { _ in
      guard let matrix = hearth_int8_create(33, 140, nil) else {
        Issue.record("no memory")
        return
      }
      defer { hearth_int8_free(matrix) }
      hearth_int8_turn_halves(nil, matrix, x.halves, x.stride)
      let quantized = Self.quantized(rows)
      let y = Self.product(rows: 2, lanes: 33, nil) {
        hearth_bf16_append_term(&$0, hearth_bf16_int8_term(matrix, quantized))
      }
      let isRight = y.indices.allSatisfy { y[$0].isNaN == [7, 9].contains($0 % 33) }
      #expect(isRight)
    }
  }

  /// What is no number stays visible in every sum it reaches, and in no other.
  @Test func infinitiesAndNaNsAreNotHidden() throws {
    let matrix = try Packed(160, 32, type: 8).turned()
    var noise = RowNoise(3)
    for bad in [Float.infinity, -.infinity, .nan] {
      var values = noise.array(3 * 160)
      values[160 + 140] = bad
      let x = HalfMatrix(rounding: values, 3, 160)
      onEveryInstructionSet { _ in
        let xs = Self.quantized(x)
        let y = Self.product(rows: 3, lanes: 32, nil) {
          hearth_bf16_append_term(&$0, hearth_bf16_int8_term(matrix.matrix, xs))
        }
        let (reached, others) = (y[32..<64].allSatisfy { $0.isNaN }, (y[..<32] + y[64...]).allSatisfy { $0.isFinite })
        #expect(reached && others, "\(bad)")
      }
    }
  }
}
