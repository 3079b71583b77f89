import CKernels
import Testing

@Suite("Packed affine matrices")
struct AffineProductTests {
  @Test("The formats are all there")
  func formats() {
    let names = AffineExample.formats.map(AffineExample.name)
    for name in ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"] {
      #expect(names.contains(name))
    }
  }

  @Test("Unpacked, they give the format's own values exactly")
  func dequantize() throws {
    let pool = try #require(hearth_pool_create(2))
    defer { hearth_pool_destroy(pool) }
    try onEveryInstructionSet { isa in
      for format in AffineExample.formats {
        for rows in [1, 16, 37] {
          let example = try #require(AffineExample(format, rows: rows, columns: 512, pool: pool))
          let expected = example.weights
          var whole = [Float](repeating: 0, count: rows * 512)
          hearth_affine_dequantize_rows(example.matrix, &whole, 512, 0, rows)
          // As numbers: a zero may have lost its sign.
          let same = whole == expected
          #expect(same, "\(AffineExample.name(format)) \(isa.rawValue)")
          // A stretch that begins and ends inside panels, rows further apart.
          let first = rows / 3, count = rows - first - rows / 4
          var part = [Float](repeating: 9, count: count * 515)
          hearth_affine_dequantize_rows(example.matrix, &part, 515, first, count)
          for row in 0..<count {
            let sameRow = part[row * 515..<row * 515 + 512].elementsEqual(
              expected[(first + row) * 512..<(first + row + 1) * 512])
            #expect(sameRow)
            #expect(part[row * 515 + 512..<(row + 1) * 515].allSatisfy { $0 == 9 })
          }
        }
      }
    }
  }

  @Test("A product is that of the unpacked weights and the rounded activations", arguments: [1, 2])
  func accuracy(_ terms: Int32) throws {
    let tokens = 3, columns = 768
    let x = randomActivations(tokens: tokens, columns: columns)
    let rounded = roundedActivations(x, terms: terms)
    try onEveryInstructionSet { isa in
      for format in AffineExample.formats {
        for rows in [1, 15, 33] {
          let example = try #require(AffineExample(format, rows: rows, columns: columns, terms: terms))
          let weights = example.weights
          let activations = quantizedActivations(x, terms: terms, tokens: tokens, columns: columns)
          let y = example.product(activations, terms: terms, tokens: tokens)
          for t in 0..<tokens {
            for r in 0..<rows {
              var sum = 0.0, magnitude = 0.0
              for c in 0..<columns {
                let term = Double(weights[r * columns + c]) * rounded[t * columns + c]
                sum += term
                magnitude += abs(term)
              }
              #expect(
                abs(Double(y[t * (rows + 3) + r]) - sum) <= 1e-5 * magnitude,
                "\(AffineExample.name(format)) rows \(rows) isa \(isa.rawValue)")
            }
            #expect(y[t * (rows + 3) + rows..<(t + 1) * (rows + 3)].allSatisfy { $0 == -7 })
          }
        }
      }
    }
  }

  @Test("Every instruction set, thread count and batch gives the same bits", arguments: [1, 2])
  func sameBits(_ terms: Int32) throws {
    let pools = (1...3).compactMap { hearth_pool_create($0) }
    defer { pools.forEach(hearth_pool_destroy) }
    let columns = 512, rows = 53, most = 33
    let x = randomActivations(tokens: most, columns: columns)
    for format in AffineExample.formats {
      let example = try #require(AffineExample(format, rows: rows, columns: columns, terms: terms))
      var expected: [Float] = []
      onEveryInstructionSet { isa in
        let activations = quantizedActivations(x, terms: terms, tokens: most, columns: columns, pool: pools[1])
        let whole = example.product(activations, terms: terms, tokens: most, pool: pools[1])
        if isa == HEARTH_ISA_SCALAR { expected = whole }
        let same = haveSameBits(whole, expected)
        #expect(same, "\(AffineExample.name(format)) \(isa.rawValue)")
        if isa == HEARTH_ISA_SCALAR { return }
        for pool in pools {
          let same = haveSameBits(
            example.product(activations, terms: terms, tokens: most, pool: pool), expected)
          #expect(same)
        }
        let tokenBytes = hearth_activation_bytes(columns, terms)
        for tokens in 1...most {
          let start = most - tokens
          let last = Array(activations[start * tokenBytes..<most * tokenBytes])
          let same = haveSameBits(
            example.product(last, terms: terms, tokens: tokens), expected.dropFirst(start * (rows + 3)))
          #expect(same, "\(AffineExample.name(format)), \(tokens) tokens")
        }
      }
    }
  }

  @Test("Many tokens, more than a chunk of them, follow the batch of one")
  func chunks() throws {
    let format = try #require(hearth_format_for(3))
    let example = try #require(AffineExample(format, rows: 48, columns: 64))
    let tokens = 300
    let x = randomActivations(tokens: tokens, columns: 64)
    let activations = quantizedActivations(x, tokens: tokens, columns: 64)
    let pool = try #require(hearth_pool_create(3))
    defer { hearth_pool_destroy(pool) }
    let y = example.product(activations, tokens: tokens, pool: pool)
    let tokenBytes = hearth_activation_bytes(64, 1)
    for t in stride(from: 0, to: tokens, by: 7) {
      let one = Array(activations[t * tokenBytes..<(t + 1) * tokenBytes])
      #expect(haveSameBits(example.product(one, tokens: 1), y[t * 51..<(t + 1) * 51]))
    }
  }

  @Test("A matrix of one term gives the same bits from activations of two")
  func firstTerm() throws {
    let x = randomActivations(tokens: 11, columns: 512)
    for format in AffineExample.formats {
      let example = try #require(AffineExample(format, rows: 37, columns: 512))
      onEveryInstructionSet { _ in
        let one = example.product(quantizedActivations(x, tokens: 11, columns: 512), tokens: 11)
        let two = quantizedActivations(x, terms: 2, tokens: 11, columns: 512)
        #expect(haveSameBits(example.product(two, terms: 2, tokens: 11), one))
      }
    }
  }

  @Test("Several matrices at once equal each alone")
  func many() throws {
    let pool = try #require(hearth_pool_create(2))
    defer { hearth_pool_destroy(pool) }
    let tokens = 5, columns = 256
    let x = randomActivations(tokens: tokens, columns: columns)
    let activations = quantizedActivations(x, tokens: tokens, columns: columns)
    let examples = try zip(AffineExample.formats, [40, 16, 7, 33, 1, 64]).map { format, rows in
      try #require(AffineExample(format, rows: rows, columns: columns))
    }
    let widths = examples.map { $0.rows + 3 }
    let ys = widths.map { UnsafeMutablePointer<Float>.allocate(capacity: tokens * $0) }
    defer { ys.forEach { $0.deallocate() } }
    for (y, width) in zip(ys, widths) { y.initialize(repeating: -7, count: tokens * width) }
    hearth_affine_matmul_many(
      pool, examples.count, examples.map { Optional($0.matrix) }, activations, 1, tokens,
      ys.map(Optional.init), widths)
    for ((example, y), width) in zip(zip(examples, ys), widths) {
      let together = UnsafeBufferPointer(start: y, count: tokens * width)
      #expect(haveSameBits(together, example.product(activations, tokens: tokens)))
    }
  }

  @Test("Q4_1 and Q8_0 stay small: f16 factors where nothing is lost")
  func size() throws {
    for (number, bits) in [(UInt32(3), 5.0), (8, 9.0), (2, 5.0), (12, 6.0)] {
      let format = try #require(hearth_format_for(number))
      let example = try #require(AffineExample(format, rows: 64, columns: 512))
      #expect(hearth_affine_rows(example.matrix) == 64)
      #expect(hearth_affine_columns(example.matrix) == 512)
      let perWeight = Double(hearth_affine_bytes(example.matrix)) * 8 / (64 * 512)
      #expect(perWeight <= bits, "\(AffineExample.name(format))")
    }
  }

  @Test("What cannot be packed is refused")
  func refused() throws {
    let q4_1 = try #require(hearth_format_for(3)), f32 = try #require(hearth_format_for(0))
    let q4_k = try #require(hearth_format_for(12))
    let bytes = [UInt8](repeating: 0, count: 4096)
    #expect(hearth_affine_pack(nil, f32, bytes, 128, 1, 32, 1) == nil)
    #expect(hearth_affine_pack(nil, q4_1, bytes, 20, 1, 33, 1) == nil)
    #expect(hearth_affine_pack(nil, q4_k, bytes, 144, 1, 128, 1) == nil)
    // More blocks than memory has addresses.
    #expect(hearth_affine_pack(nil, q4_1, bytes, 20, Int.max / 2, 1 << 40, 1) == nil)
  }
}
