import CKernels
import Testing

/// What every storage format keeps, on every instruction set of this CPU.
@Suite struct FormatContractTests {
  @Test func registryKnowsEveryFormatByItsNumber() {
    let numbers: [String: UInt32] = [
      "F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q5_0": 6, "Q5_1": 7, "Q8_0": 8, "Q2_K": 10,
      "Q3_K": 11, "Q4_K": 12, "Q5_K": 13, "Q6_K": 14, "IQ4_NL": 20, "IQ4_XS": 23, "BF16": 30,
    ]
    #expect(StorageFormat.all.count == numbers.count)
    for format in StorageFormat.all {
      #expect(numbers[format.name] == format.number)
      let found = hearth_format_for(format.number).map { String(cString: $0.pointee.name) }
      #expect(found == format.name)
    }
    #expect(hearth_format_for(4) == nil)
    #expect(hearth_format_for(.max) == nil)
    #expect(hearth_format_at(hearth_format_count()) == nil)
    #expect(hearth_format_at(.max) == nil)
  }

  /// Bounds on the root-mean-square error of nearly normal values, as a share of their standard
  /// deviation; each a little above what the search reaches.
  private static let bounds: [String: Double] = [
    "F32": 0, "F16": 0.0003, "BF16": 0.0025, "Q8_0": 0.006, "Q6_K": 0.018, "Q5_0": 0.042,
    "Q5_1": 0.035, "Q5_K": 0.036, "Q4_0": 0.085, "Q4_1": 0.073, "Q4_K": 0.073, "IQ4_NL": 0.077,
    "IQ4_XS": 0.077, "Q3_K": 0.15, "Q2_K": 0.27,
  ]

  @Test(arguments: StorageFormat.all)
  func roundTripLosesLittle(_ format: StorageFormat) throws {
    var random = RandomBits(state: 7)
    let values = (0..<8192).map { _ in random.weight() }
    let deviation = rootMeanSquare(values, minus: .init(repeating: 0, count: values.count))
    let bound = try #require(Self.bounds[format.name])
    // A power of two changes neither levels nor relative errors until f16 scales become subnormal
    // or saturate.
    for factor: Float in [1, 0x1p-4, 0x1p10] where format.name != "F16" || factor >= 1 {
      let scaled = values.map { $0 * factor }
      let error = rootMeanSquare(scaled, minus: format.dequantize(format.quantize(scaled)))
      #expect(error <= bound * deviation * Double(factor), "\(format) times \(factor)")
    }
  }

  @Test(arguments: StorageFormat.all)
  func everyInstructionSetGivesTheSameBits(_ format: StorageFormat) {
    var random = RandomBits(state: 11)
    let blocks = random.bytes(format.blockBytes * max(4, 1027 / format.blockElements))
    let count = 1031 / format.blockElements * format.blockElements
    let values = (0..<count).map { _ in random.weight() }
    var valueBits: [UInt32]?
    var bytes: [UInt8]?
    onEveryInstructionSet { _ in
      // NaNs too: which payload survives is part of the definition of the conversions here, but
      // which of two NaN operands an addition keeps is the compiler's choice.
      let bits = format.dequantize(blocks).map {
        $0.isNaN && format.affineBits > 0 ? 0x7FC0_0000 : $0.bitPattern
      }
      #expect(valueBits ?? bits == bits)
      valueBits = bits
      let quantised = format.quantize(values)
      #expect(bytes ?? quantised == quantised)
      bytes = quantised
      #expect(format.quantize(values) == quantised, "the same values again")
    }
  }

  /// Exactly, whether the sum is fused or not: see `unpack_group`.
  @Test(arguments: StorageFormat.affine)
  func unpackedGroupsHoldTheSameValues(_ format: StorageFormat) {
    var random = RandomBits(state: 13)
    let blocks =
      random.bytes(format.blockBytes * 40)
      + format.quantize((0..<4096).map { _ in random.weight() })
    let values = format.dequantize(blocks)
    for (number, group) in format.groups(blocks).enumerated() {
      let largest = group.q.max() ?? 255
      #expect(format.affineBits == 8 || largest <= 15)
      if format.wide, group.scale[0].isFinite, group.minimum[0].isFinite {
        #expect(group.scale[0] == group.scale[1] && group.minimum[0] == group.minimum[1])
      }
      let plain = group.values
      let fused = group.fusedValues
      for i in 0..<32 {
        let value = values[32 * number + i]
        guard group.scale[i / 16].isFinite, group.minimum[i / 16].isFinite else {
          // An infinite or NaN scale: 0 · ∞ and ∞ − ∞ may fall differently, but not become a
          // number.
          #expect(!plain[i].isFinite, "\(format), group \(number), element \(i)")
          continue
        }
        #expect(plain[i] == value && fused[i] == value, "\(format), group \(number), element \(i)")
      }
    }
  }

  @Test(arguments: StorageFormat.all)
  func nothingIsFine(_ format: StorageFormat) {
    onEveryInstructionSet { _ in
      #expect(format.dequantize([]).isEmpty)
      #expect(format.quantize([]).isEmpty)
    }
  }

  @Test(arguments: StorageFormat.all)
  func zerosStayZero(_ format: StorageFormat) {
    let zeros = [Float](repeating: 0, count: 256)
    #expect(format.dequantize(format.quantize(zeros)) == zeros)
  }

  /// What is too small for a format's scale becomes zero or its neighbour, not noise.
  @Test(arguments: StorageFormat.quantised)
  func tinyValuesStayTiny(_ format: StorageFormat) {
    var random = RandomBits(state: 17)
    for factor: Float in [0x1p-10, 0x1p-16, 0x1p-20, 0x1p-30, 0x1p-100, 0x1p-140] {
      let values = (0..<512).map { _ in random.weight() * factor }
      let largest = values.reduce(0) { max($0, abs($1)) }
      for (x, y) in zip(values, format.dequantize(format.quantize(values))) {
        #expect(abs(x - y) <= max(largest, 0x1p-22), "\(format) times \(factor)")
      }
    }
  }

  /// No input traps, and no finite input becomes infinite or NaN.
  @Test(arguments: StorageFormat.quantised)
  func strangeValuesGiveFiniteBlocks(_ format: StorageFormat) {
    func strayed(_ values: [Float]) -> Float? {
      format.dequantize(format.quantize(values)).first { !$0.isFinite }
    }
    var random = RandomBits(state: 19)
    let strange: [Float] = [
      .nan, .infinity, -.infinity, .greatestFiniteMagnitude, -.greatestFiniteMagnitude,
      .leastNonzeroMagnitude, -0.0, 65504, 1e9, -1e-30,
    ]
    for share in [1, 2, 16, 256] {
      let values = (0..<1024).map { i in
        i % share == 0 ? strange[Int(random.next() % 10)] : random.weight()
      }
      #expect(strayed(values) == nil)
    }
    for value in strange {
      let values = [Float](repeating: value, count: 256)
      #expect(strayed(values) == nil)
    }
    let anything = (0..<4096).map { _ in
      Float(bitPattern: UInt32(truncatingIfNeeded: random.next()))
    }
    #expect(strayed(anything) == nil)
  }

  /// Quantising what a format already holds loses next to nothing more: less than a tenth of the
  /// first loss.
  @Test(arguments: StorageFormat.quantised)
  func quantisingAgainLosesLittle(_ format: StorageFormat) {
    var random = RandomBits(state: 23)
    let values = (0..<8192).map { _ in random.weight() }
    let once = format.dequantize(format.quantize(values))
    let twice = format.dequantize(format.quantize(once))
    #expect(rootMeanSquare(once, minus: twice) <= 0.1 * rootMeanSquare(once, minus: values))
  }
}
