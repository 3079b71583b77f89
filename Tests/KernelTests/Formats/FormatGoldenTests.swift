import CKernels
import Foundation
import Testing

/// Against the gguf package and llama.cpp; Scripts/fixtures/formats.py made the fixtures.
@Suite struct FormatGoldenTests {
  /// Bit for bit: both multiply and add in f32, in the same order. Only NaNs may differ in their
  /// payload.
  @Test(arguments: StorageFormat.all.filter { $0.name != "F32" })
  func dequantisedValuesAreTheSame(_ format: StorageFormat) throws {
    let file = try FormatFixture.bytes("dequantize-\(format.name).bin")
    let count = Int(file[0]) | Int(file[1]) << 8
    let blocks = Array(file[4..<4 + count * format.blockBytes])
    let expected = FormatFixture.floats(file[(4 + blocks.count)...])
    try #require(expected.count == count * format.blockElements)
    onEveryInstructionSet { isa in
      let values = format.dequantize(blocks)
      let wrong = values.indices.filter {
        values[$0].bitPattern != expected[$0].bitPattern
          && !(values[$0].isNaN && expected[$0].isNaN)
      }
      #expect(wrong.isEmpty, "\(isa): elements \(wrong.prefix(8)) of \(format)")
    }
  }

  /// Where the rule leaves no choice the bytes are the same.
  @Test(arguments: ["Q8_0", "F16", "BF16"])
  func quantisedBytesAreTheSame(_ name: String) throws {
    let format = try #require(StorageFormat.named(name))
    let values = FormatFixture.floats(try FormatFixture.bytes("quantize-input.bin"))
    let expected = try FormatFixture.bytes("quantize-\(name).bin")
    onEveryInstructionSet { _ in
      #expect(format.quantize(values) == expected)
    }
  }

  private struct Accuracy: Decodable {
    var count: Int
    var rmse: [String: [String: [String: Double]]]
  }

  /// Elsewhere the search must lose no more than the reference quantisation does.
  @Test func quantisationLosesNoMoreThanOthersDo() throws {
    let accuracy = try JSONDecoder().decode(
      Accuracy.self, from: Data(FormatFixture.bytes("accuracy.json")))
    let samples = Self.distributions(accuracy.count)
    try #require(accuracy.rmse["llama.cpp"]?.count == StorageFormat.quantised.count)
    for format in StorageFormat.quantised {
      let programs = accuracy.rmse.compactMap { program, table in
        table[format.name].map { (program, $0) }
      }
      for (kind, values) in samples {
        let error = rootMeanSquare(values, minus: format.dequantize(format.quantize(values)))
        for (program, errors) in programs {
          let theirs = try #require(errors[kind])
          #expect(error <= theirs * 1.000001, "\(format) on \(kind) values, against \(program)")
        }
      }
    }
  }

  private static func distributions(_ count: Int) -> [String: [Float]] {
    var random = RandomBits(state: 0)
    var same = random
    let normal = (0..<count).map { _ in random.weight() }
    let uniform = (0..<count).map { _ in Float(Int(same.next() & 0xFFFF) - 32768) * 0x1p-19 }
    return [
      "normal": normal,
      "uniform": uniform,
      "heavy": normal.map { $0 * abs($0) * 8 },
      "shifted": normal.map { $0 + 0.125 },
    ]
  }
}
