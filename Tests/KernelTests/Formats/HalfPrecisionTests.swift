import CKernels
import Testing

/// F16 and BF16 against Swift's own conversions.
@Suite struct HalfPrecisionTests {
  @Test func everyF16WidensAsSwiftDoes() throws {
    let format = try #require(StorageFormat.named("F16"))
    let blocks = (0...UInt16.max).flatMap { [UInt8(truncatingIfNeeded: $0), UInt8($0 >> 8)] }
    onEveryInstructionSet { isa in
      let values = format.dequantize(blocks)
      let wrong = (0...UInt16.max).filter { bits in
        let half = Float16(bitPattern: bits)
        let value = values[Int(bits)]
        return half.isNaN
          ? !value.isNaN || value.isSignalingNaN : value.bitPattern != Float(half).bitPattern
      }
      #expect(wrong.isEmpty, "\(isa)")
    }
  }

  @Test func f32NarrowsToTheNearestF16() throws {
    let format = try #require(StorageFormat.named("F16"))
    // Every f16, the ties between neighbours, and both sides of each tie.
    var values: [Float] = (0..<0x7C00).flatMap { (bits: UInt16) in
      let low = Float(Float16(bitPattern: bits))
      let high = bits == 0x7BFF ? 65536 : Float(Float16(bitPattern: bits + 1))
      let tie = low + (high - low) / 2
      return [low, -low, tie, -tie, tie.nextUp, tie.nextDown, -tie.nextUp, -tie.nextDown]
    }
    values += [
      .infinity, -.infinity, .greatestFiniteMagnitude, .leastNonzeroMagnitude, 0x1p-25, 1e6,
    ]
    onEveryInstructionSet { isa in
      let blocks = format.quantize(values)
      let wrong = values.indices.filter {
        UInt16(blocks[2 * $0]) | UInt16(blocks[2 * $0 + 1]) << 8 != Float16(values[$0]).bitPattern
      }
      #expect(wrong.isEmpty, "\(isa): \(wrong.prefix(4).map { values[$0] })")
    }
  }

  @Test(arguments: ["F16", "BF16"])
  func everyNaNStaysNaN(_ name: String) throws {
    let format = try #require(StorageFormat.named(name))
    let values = (0..<23).flatMap { bit in
      [0x7F80_0000, 0xFF80_0000].map { Float(bitPattern: $0 | UInt32(1) << UInt32(bit)) }
    }
    onEveryInstructionSet { _ in
      let narrow = format.dequantize(format.quantize(values))
      let lost = zip(narrow, values).filter { !$0.isNaN || $0.sign != $1.sign }
      #expect(lost.isEmpty)
    }
  }

  @Test func bf16RoundsTiesToEven() throws {
    let format = try #require(StorageFormat.named("BF16"))
    func narrowed(_ bits: UInt32) -> UInt16 {
      let blocks = format.quantize([Float(bitPattern: bits)])
      return UInt16(blocks[0]) | UInt16(blocks[1]) << 8
    }
    #expect(narrowed(0x3F80_8000) == 0x3F80)
    #expect(narrowed(0x3F81_8000) == 0x3F82)
    #expect(narrowed(0x3F80_8001) == 0x3F81)
    #expect(narrowed(0x3F80_7FFF) == 0x3F80)
    #expect(narrowed(0x7F7F_FFFF) == 0x7F80)
    #expect(narrowed(0x0000_8001) == 0x0001)
  }
}
