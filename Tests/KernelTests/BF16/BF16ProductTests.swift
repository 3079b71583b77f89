import CKernels
import Foundation
import TestSupport
import Testing

/// A product in bf16 with its operands.
private struct Example: CustomStringConvertible {
  enum Kind: CaseIterable { case float, dithered, half, affine }
  let rows: Int, lanes: Int, depth: Int
  let kind: Kind, transposed: Bool
  let a: HalfMatrix
  /// The stored operand, `[lanes, depth]` or turned.
  let stored: [Float]

  init(_ rows: Int, _ lanes: Int, _ depth: Int, _ kind: Kind, transposed: Bool, scale: Float = 1) {
    (self.rows, self.lanes, self.depth) = (rows, lanes, depth)
    (self.kind, self.transposed) = (kind, transposed)
    var noise = RowNoise(UInt64(rows * 73 + lanes * 31 + depth * 7 + 1))
    a = HalfMatrix(rounding: noise.array(rows * depth, scale: scale), rows, depth)
    stored = noise.array(lanes * depth, scale: scale)
  }

  var description: String { "[\(rows), \(depth)] · [\(lanes), \(depth)] \(kind)\(transposed ? " turned" : "")" }
  var storedColumns: Int { transposed ? lanes : depth }
  var storedRows: Int { transposed ? depth : lanes }

  /// Hands the operand to `body`, with the values it stands for, row by row as stored.
  func withOperand<Result>(_ body: (hearth_operand, [Float]) -> Result) -> Result {
    switch kind {
    case .float:
      return stored.withUnsafeBufferPointer {
        body(
          hearth_operand(kind: HEARTH_OPERAND_F32, data: $0.baseAddress, ld: storedColumns, transposed: transposed),
          stored)
      }
    case .dithered:
      return stored.withUnsafeBufferPointer {
        body(
          hearth_operand(
            kind: HEARTH_OPERAND_F32_DITHERED, data: $0.baseAddress, ld: storedColumns, transposed: transposed),
          stored.enumerated().map { HalfMatrix.dithered($0.element, $0.offset) })
      }
    case .half:
      let matrix = HalfMatrix(rounding: stored, storedRows, storedColumns)
      return matrix.halves.withUnsafeBufferPointer {
        body(
          hearth_operand(kind: HEARTH_OPERAND_BF16, data: $0.baseAddress, ld: matrix.stride, transposed: transposed),
          matrix.floats)
      }
    case .affine:
      // Q4_1 and Q8_0, by turns.
      guard let format = hearth_format_for(rows % 2 == 0 ? 3 : 8) else { preconditionFailure("no such format") }
      let rowBytes = storedColumns / 32 * Int(format.pointee.block_bytes)
      var blocks = [UInt8](repeating: 0, count: storedRows * rowBytes)
      var values = stored
      blocks.withUnsafeMutableBytes { bytes in
        for row in 0..<storedRows {
          guard let at = bytes.baseAddress?.advanced(by: row * rowBytes) else { return }
          format.pointee.quantize(at, Array(stored[row * storedColumns..<(row + 1) * storedColumns]), storedColumns)
        }
      }
      let matrix = hearth_affine_pack(nil, format, blocks, rowBytes, storedRows, storedColumns, 1)
      defer { hearth_affine_free(matrix) }
      hearth_affine_dequantize_rows(matrix, &values, storedColumns, 0, storedRows)
      return body(
        hearth_operand(
          kind: HEARTH_OPERAND_AFFINE, data: UnsafeRawPointer(matrix), ld: storedColumns, transposed: transposed),
        values)
    }
  }

  func product(_ pool: OpaquePointer?, rows count: Int? = nil) -> [Float] {
    let rows = count ?? rows
    var result = [Float](repeating: 7, count: rows * lanes)
    withOperand { operand, _ in
      a.halves.withUnsafeBufferPointer { a in
        result.withUnsafeMutableBufferPointer { result in
          var matrix = hearth_bf16_matrix()
          (matrix.lanes, matrix.scale, matrix.output) = (lanes, 1, HEARTH_OUTPUT_F32)
          (matrix.c, matrix.ldc) = (UnsafeMutableRawPointer(result.baseAddress), lanes)
          hearth_bf16_add_term(&matrix, a.baseAddress, self.a.stride, operand, depth)
          hearth_bf16_products(pool, rows, 1, &matrix)
        }
      }
    }
    return result
  }

  /// The definition.
  var expected: [Float] {
    withOperand { _, values in
      let values = values.map(HalfMatrix.rounded)
      func b(_ lane: Int, _ k: Int) -> Float {
        k < depth ? values[transposed ? k * lanes + lane : lane * depth + k] : 0
      }
      return (0..<rows).flatMap { row in
        (0..<lanes).map { lane in
          var sum: Float = 0
          for k in stride(from: 0, to: depth, by: 2) {
            sum = flushedFMA(k + 1 < depth ? a[row, k + 1] : 0, b(lane, k + 1), sum)
            sum = flushedFMA(a[row, k], b(lane, k), sum)
          }
          return sum
        }
      }
    }
  }
}

private func sameBits(_ x: [Float], _ y: [Float]) -> Bool {
  x.count == y.count && zip(x, y).allSatisfy { $0.bitPattern == $1.bitPattern }
}

@Suite("Products in bf16") struct BF16ProductTests {
  @Test func everyOperandFollowsTheDefinitionBitForBit() throws {
    let pool = try #require(hearth_pool_create(2))
    defer { hearth_pool_destroy(pool) }
    var examples: [Example] = []
    for (rows, lanes, depth) in [
      (1, 1, 1), (3, 17, 5), (14, 32, 8), (15, 33, 33), (29, 8, 64), (2, 70, 7), (13, 16, 31),
    ] {
      for kind in [Example.Kind.float, .dithered, .half] {
        for transposed in [false, true] { examples.append(Example(rows, lanes, depth, kind, transposed: transposed)) }
      }
    }
    for (rows, lanes, depth) in [(4, 19, 64), (5, 40, 96), (31, 8, 32)] {
      examples.append(Example(rows, lanes, depth, .affine, transposed: false))
      examples.append(Example(rows, depth, lanes, .affine, transposed: true))
    }
    let expected = examples.map(\.expected)
    onEveryInstructionSet { isa in
      for (example, expected) in zip(examples, expected) {
        #expect(sameBits(example.product(pool), expected), "\(example) on \(isa.rawValue)")
      }
    }
  }

  /// Weights on a grid whose points are the middles between numbers in bf16, as dequantised ones often are, and a change that is small
  /// beside their distance: to nearest all or nothing of it arrives, dithered about as much as there is.
  @Test func smallChangesArriveInDitheredSums() {
    let depth = 4096
    let before = (0..<depth).map { 0.0625 + Float($0 % 64) * 0x1p-12 + 0x1p-13 }
    for change in [Float(3e-6), -1e-5, 3e-5] {
      let after = before.map { $0 + change }
      func arrived(_ round: (Float, Int) -> Float) -> Double {
        (0..<depth).reduce(0.0) { $0 + Double(round(after[$1], $1)) - Double(round(before[$1], $1)) } / Double(depth)
      }
      #expect(abs(arrived(HalfMatrix.dithered) / Double(change) - 1) < 0.1)
      #expect(abs(arrived { value, _ in HalfMatrix.rounded(value) } / Double(change) - 1) > 0.5)
    }
  }

  /// Ones times weights are the weights as they were rounded: what the fast path must not take for an ordinary one among others.
  @Test func whatIsNoOrdinaryWeightIsDitheredByTheDefinition() {
    let special: [Float] = [
      0, -0.0, 0x1p-127, -0x1p-140, .infinity, -.infinity, .nan, 0x1p-126, .greatestFiniteMagnitude, 1, -0.3,
    ]
    let weights = (0..<200).map { $0 % 3 == 1 ? special[$0 / 3 % special.count] : Float($0) * 0.37 - 31 }
    let expected = weights.enumerated().map { HalfMatrix.dithered($0.element, $0.offset) }
    let ones = HalfMatrix(rounding: [1], 1, 1)
    onEveryInstructionSet { isa in
      for transposed in [false, true] {
        var found = [Float](repeating: 7, count: weights.count)
        var matrix = hearth_bf16_matrix()
        (matrix.lanes, matrix.scale, matrix.output, matrix.ldc) = (weights.count, 1, HEARTH_OUTPUT_F32, weights.count)
        weights.withUnsafeBufferPointer { weights in
          found.withUnsafeMutableBufferPointer { found in
            matrix.c = UnsafeMutableRawPointer(found.baseAddress)
            let operand = hearth_operand(
              kind: HEARTH_OPERAND_F32_DITHERED, data: weights.baseAddress, ld: transposed ? weights.count : 1,
              transposed: transposed)
            hearth_bf16_add_term(&matrix, ones.halves, ones.stride, operand, 1)
            hearth_bf16_products(nil, 1, 1, &matrix)
          }
        }
        for (index, (found, expected)) in zip(found, expected).enumerated() {
          #expect(
            expected.isNaN ? found.isNaN : found == expected, "\(weights[index]), \(transposed), \(isa.rawValue)")
        }
      }
    }
  }

  @Test func subnormalsAreZerosOnEveryInstructionSet() {
    // Products about 2^-126, sums on both sides of it.
    let examples = [0x1p-63, 0x1p-64, 0x1.8p-62, 0x1p-127].map {
      Example(9, 20, 12, .float, transposed: false, scale: Float($0))
    }
    let expected = examples.map(\.expected)
    #expect(expected.joined().contains { $0 == 0 } && expected.joined().contains { $0 != 0 })
    onEveryInstructionSet { isa in
      for (example, expected) in zip(examples, expected) {
        #expect(sameBits(example.product(nil), expected), "\(example) on \(isa.rawValue)")
      }
    }
  }

  @Test func largeProductsAreTheSameForAnyThreadsRowsAndInstructionSet() throws {
    let pools = (1...3).compactMap { hearth_pool_create($0) }
    defer { pools.forEach(hearth_pool_destroy) }
    // More rows than a piece has, and deeper than a panel.
    let examples = [
      Example(530, 40, 64, .affine, transposed: false), Example(3, 33, 4101, .float, transposed: false),
      Example(3, 33, 4101, .half, transposed: true), Example(600, 64, 48, .affine, transposed: true),
    ]
    var expected: [[Float]] = []
    onEveryInstructionSet { isa in
      if isa == HEARTH_ISA_SCALAR { expected = examples.map { $0.product(pools[2]) } }
      for (example, result) in zip(examples, expected) {
        for pool in pools { #expect(sameBits(example.product(pool), result), "\(example)") }
        for rows in [1, 2, 5, min(example.rows, 20)] where rows <= example.rows {
          #expect(sameBits(example.product(nil, rows: rows), Array(result[0..<rows * example.lanes])), "\(example)")
        }
      }
    }
  }

  /// Terms one after the other are one chain: as many as one takes from registers, and more; after a depth of several panels.
  @Test func sumsGoOnFromTermToTerm() throws {
    let pool = try #require(hearth_pool_create(2))
    defer { hearth_pool_destroy(pool) }
    for depths in [[40, 8], [40, 7], [64, 128], [64, 130], [4100, 16], [8, 8, 8], [200, 8, 200, 5]] {
      let (rows, lanes, depth) = (61, 37, depths.reduce(0, +))
      let whole = Example(rows, lanes, depth, .float, transposed: false)
      let values = whole.withOperand { $1 }
      let expected = whole.expected
      // Odd depths are padded with a zero, so only the last one may be odd; each term has rows of its own.
      var start = 0
      let parts = depths.map { width -> (a: HalfMatrix, b: [Float], depth: Int) in
        defer { start += width }
        let range = start..<start + width
        return (
          HalfMatrix(rounding: (0..<rows).flatMap { row in range.map { whole.a[row, $0] } }, rows, width),
          (0..<lanes).flatMap { lane in range.map { values[lane * depth + $0] } }, width
        )
      }
      onEveryInstructionSet { isa in
        var result = [Float](repeating: 7, count: rows * lanes)
        result.withUnsafeMutableBufferPointer { result in
          var matrix = hearth_bf16_matrix()
          (matrix.lanes, matrix.scale, matrix.output) = (lanes, 1, HEARTH_OUTPUT_F32)
          (matrix.c, matrix.ldc) = (UnsafeMutableRawPointer(result.baseAddress), lanes)
          func add(_ left: ArraySlice<(a: HalfMatrix, b: [Float], depth: Int)>) {
            guard let part = left.first else { return hearth_bf16_products(pool, rows, 1, &matrix) }
            part.a.halves.withUnsafeBufferPointer { a in
              part.b.withUnsafeBufferPointer { b in
                let operand = hearth_operand(
                  kind: HEARTH_OPERAND_F32, data: UnsafeRawPointer(b.baseAddress), ld: part.depth, transposed: false)
                hearth_bf16_add_term(&matrix, a.baseAddress, part.a.stride, operand, part.depth)
                add(left.dropFirst())
              }
            }
          }
          add(parts[...])
        }
        let same = sameBits(result, expected)
        #expect(same, "\(depths), \(isa.rawValue)")
      }
    }
  }

  /// What becomes of a sum, beside what the sums are.
  @Test func outputsAreWhatTheyAreCalled() {
    let (rows, lanes, depth) = (21, 37, 10)
    let gateExample = Example(rows, lanes, depth, .float, transposed: false)
    let upExample = Example(rows + 1, lanes, depth, .float, transposed: false)
    let (gateSums, upSums) = (gateExample.expected, Array(upExample.expected[0..<rows * lanes]))
    var noise = RowNoise(5)
    let residual = noise.array(rows * lanes)
    onEveryInstructionSet { isa in
      func run(_ output: hearth_bf16_output, scale: Float, _ c: inout [Float], _ ldc: Int) {
        gateExample.withOperand { operand, _ in
          var matrix = hearth_bf16_matrix()
          (matrix.lanes, matrix.scale, matrix.output, matrix.ldc) = (lanes, scale, output, ldc)
          hearth_bf16_add_term(&matrix, gateExample.a.halves, gateExample.a.stride, operand, depth)
          c.withUnsafeMutableBufferPointer { c in
            residual.withUnsafeBufferPointer { residual in
              matrix.c = UnsafeMutableRawPointer(c.baseAddress)
              matrix.residual = residual.baseAddress
              hearth_bf16_products(nil, rows, 1, &matrix)
            }
          }
        }
      }
      var c = [Float](repeating: 0, count: rows * lanes)
      run(HEARTH_OUTPUT_ADD_F32, scale: 0.5, &c, lanes)
      #expect(sameBits(c, zip(gateSums, residual).map { $0 * 0.5 + $1 }))
      // Rows without padding, as a gradient has them; bf16 in the first half of the floats.
      var halves = residual.map { UInt16(HalfMatrix.rounded($0).bitPattern >> 16) }
      let before = halves.map(HalfMatrix.widened)
      c = [Float](repeating: 0, count: rows * lanes)
      c.withUnsafeMutableBytes { $0.copyBytes(from: halves.withUnsafeBytes(Array.init)) }
      run(HEARTH_OUTPUT_ADD_BF16, scale: 0.5, &c, lanes)
      c.withUnsafeBytes { bytes in halves = Array(bytes.bindMemory(to: UInt16.self).prefix(rows * lanes)) }
      #expect(
        sameBits(halves.map(HalfMatrix.widened), zip(gateSums, before).map { HalfMatrix.rounded($0 * 0.5 + $1) }))

      c = residual
      run(HEARTH_OUTPUT_ADD_TRANSPOSED, scale: 2, &c, rows)
      #expect(
        sameBits(c, (0..<lanes * rows).map { residual[$0] + 2 * gateSums[$0 % rows * lanes + $0 / rows] }))

      var (gate, up, y) = (HalfMatrix(rows, lanes), HalfMatrix(rows, lanes), HalfMatrix(rows, lanes))
      gateExample.withOperand { gateOperand, _ in
        upExample.withOperand { upOperand, _ in
          var matrix = hearth_bf16_matrix()
          (matrix.lanes, matrix.scale, matrix.ldc) = (lanes, 1, y.stride)
          matrix.output = HEARTH_OUTPUT_SWIGLU
          hearth_bf16_add_term(&matrix, gateExample.a.halves, gateExample.a.stride, gateOperand, depth)
          hearth_bf16_add_up_term(&matrix, upExample.a.halves, upExample.a.stride, upOperand, depth)
          gate.halves.withUnsafeMutableBufferPointer { gate in
            up.halves.withUnsafeMutableBufferPointer { up in
              y.halves.withUnsafeMutableBufferPointer { y in
                (matrix.gate, matrix.up) = (gate.baseAddress, up.baseAddress)
                matrix.c = UnsafeMutableRawPointer(y.baseAddress)
                hearth_bf16_products(nil, rows, 1, &matrix)
              }
            }
          }
        }
      }
      #expect(
        sameBits(gate.floats, gateSums.map(HalfMatrix.rounded)) && sameBits(up.floats, upSums.map(HalfMatrix.rounded)))
      for i in 0..<rows * lanes {
        let (g, u) = (Double(gate.floats[i]), Double(up.floats[i]))
        let expected = g / (1 + exp(-g)) * u
        #expect(abs(Double(y.floats[i]) - expected) <= 0.004 * abs(expected) + 1e-30, "\(i) on \(isa.rawValue)")
      }
      // An odd number of lanes is followed by a zero: the next product reads pairs.
      #expect(
        (0..<rows).allSatisfy { y.halves[$0 * y.stride + lanes] == 0 && gate.halves[$0 * gate.stride + lanes] == 0 })

      var (dgate, dup, again) = (gate, up, HalfMatrix(rows, lanes))
      gateExample.withOperand { operand, _ in
        var matrix = hearth_bf16_matrix()
        (matrix.lanes, matrix.scale, matrix.ldc) = (lanes, 1, again.stride)
        matrix.output = HEARTH_OUTPUT_SWIGLU_BACKWARD
        hearth_bf16_add_term(&matrix, gateExample.a.halves, gateExample.a.stride, operand, depth)
        dgate.halves.withUnsafeMutableBufferPointer { dgate in
          dup.halves.withUnsafeMutableBufferPointer { dup in
            again.halves.withUnsafeMutableBufferPointer { again in
              (matrix.gate, matrix.up) = (dgate.baseAddress, dup.baseAddress)
              (matrix.dgate, matrix.dup) = (dgate.baseAddress, dup.baseAddress)
              matrix.c = UnsafeMutableRawPointer(again.baseAddress)
              hearth_bf16_products(nil, rows, 1, &matrix)
            }
          }
        }
      }
      #expect(again.bits == y.bits, "the gate's product, computed again")
      for i in 0..<rows * lanes {
        let (dy, g, u) = (Double(gateSums[i]), Double(gate.floats[i]), Double(up.floats[i]))
        let s = 1 / (1 + exp(-g))
        let expected = (dy * u * s * (1 + g * (1 - s)), dy * g * s)
        #expect(abs(Double(dgate.floats[i]) - expected.0) <= 0.004 * abs(expected.0) + 1e-7)
        #expect(abs(Double(dup.floats[i]) - expected.1) <= 0.004 * abs(expected.1) + 1e-7)
      }
    }
  }
}
