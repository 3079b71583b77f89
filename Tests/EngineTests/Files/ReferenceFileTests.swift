import Foundation
import Testing

@testable import Engine

/// The folder of golden files; `Scripts/fixtures/files.py` makes them with the reference libraries.
let referenceFiles = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
  .deletingLastPathComponent().deletingLastPathComponent()
  .appendingPathComponent("Fixtures/files").path

/// The numbers of the script's `values`.
func sampleValues(_ count: Int, start: Float = 0) -> [Float] {
  (0..<count).map { Float($0 % 64) / 8 + start }
}

func floats(_ tensor: StoredTensor) -> [Float] {
  tensor.withBytes { bytes in
    stride(from: 0, to: bytes.count, by: 4).map { offset in
      Float(
        bitPattern: UInt32(
          littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)))
    }
  }
}

@Suite("Files written by the reference libraries")
struct ReferenceFileTests {
  @Test func metadataOfEveryType() throws {
    let file = try GGUFFile(path: "\(referenceFiles)/reference.gguf")
    let metadata = file.metadata
    #expect(metadata["test.uint8"] == .uint8(200))
    #expect(metadata["test.int8"] == .int8(-100))
    #expect(metadata["test.uint16"] == .uint16(60000))
    #expect(metadata["test.int16"] == .int16(-30000))
    #expect(metadata["test.uint32"] == .uint32(4_000_000_000))
    #expect(metadata["test.int32"] == .int32(-2_000_000_000))
    #expect(metadata["test.uint64"] == .uint64(1 << 63))
    #expect(metadata["test.int64"] == .int64(-(1 << 62)))
    #expect(metadata["test.float32"] == .float32(0.5))
    #expect(metadata["test.float64"] == .float64(1e300))
    #expect(metadata["test.bool"] == .bool(true))
    #expect(metadata["test.string"] == .string("Grüße, 世界 🔥"))
    #expect(metadata["test.integers"] == .array(.int32([1, -2, 3])))
    #expect(metadata["test.reals"] == .array(.float32([0.5, -1.5])))
    #expect(metadata["test.strings"] == .array(.string(["a", "ß", ""])))
    #expect(metadata["test.bools"] == .array(.bool([true, false])))
  }

  private struct Expected: Decodable {
    let type: UInt32
    let shape: [Int]
    let offset: Int
    let bytes: Int
    let sum: Int
  }

  @Test func tensorsLieWhereTheReferenceReaderFindsThem() throws {
    let data = try Data(contentsOf: URL(fileURLWithPath: "\(referenceFiles)/reference.gguf.json"))
    let expected = try JSONDecoder().decode([String: Expected].self, from: data)
    let file = try GGUFFile(path: "\(referenceFiles)/reference.gguf")
    #expect(file.tensors.count == expected.count)
    for (name, golden) in expected {
      let tensor = try #require(try file.tensorIfPresent(name))
      #expect(tensor.formatNumber == golden.type)
      #expect(tensor.shape == golden.shape)
      #expect(file.entry(name)?.offset == golden.offset)
      #expect(tensor.byteCount == golden.bytes)
      #expect(tensor.rowBytes * tensor.rowCount == golden.bytes)
      #expect(tensor.withBytes { $0.reduce(0) { $0 + Int($1) } } == golden.sum)
    }
    let plain = try #require(try file.tensorIfPresent("plain"))
    #expect(floats(plain) == sampleValues(256) + sampleValues(256, start: -4))
  }

  @Test func safetensorsOfManyTypes() throws {
    let file = try SafetensorsFile(path: "\(referenceFiles)/reference.safetensors")
    #expect(file.metadata == ["format": "pt"])
    #expect(file.tensors.count == 9)
    let f32 = try #require(try file.tensorIfPresent("f32"))
    #expect(f32.shape == [2, 3])
    #expect(f32.formatNumber == 0)
    #expect(floats(f32) == sampleValues(6))
    #expect(try file.tensorIfPresent("f16")?.formatNumber == 1)
    #expect(try file.tensorIfPresent("i64")?.formatNumber == 27)
    #expect(try file.tensorIfPresent("scalar")?.shape == [])
    #expect(try file.tensorIfPresent("scalar")?.elementCount == 1)
    #expect(try file.tensorIfPresent("empty")?.byteCount == 0)
    #expect(try file.tensorIfPresent("names/with \"quotes\" and ß")?.shape == [1])
    #expect(file.entry("u8")?.type == .uint8)
    #expect(throws: CheckpointError.self) { try file.tensorIfPresent("u8") }
    let bytes = file.withBytes(of: "u8") { span in
      (0..<span.byteCount).map { span.unsafeLoad(fromByteOffset: $0, as: UInt8.self) }
    }
    #expect(bytes == [1, 255, 3])
  }

  @Test func shardedFolderWithVersion5RoPESettings() throws {
    let checkpoint = try Checkpoint.open("\(referenceFiles)/sharded")
    #expect(checkpoint.architecture == "llama")
    #expect(Set(checkpoint.tensorNames) == ["a", "b", "c"])
    #expect(floats(try checkpoint.tensor("b", shape: [3, 2])) == sampleValues(6))
    #expect(try checkpoint.integer("hidden_size") == 64)
    #expect(try checkpoint.real("rms_norm_eps") == 1e-5)
    #expect(try checkpoint.bool("tie_word_embeddings", default: false))
    #expect(try checkpoint.stopTokenIds() == [7, 8])
    #expect(!checkpoint.contains("rope_scaling"))
    #expect(try checkpoint.real("rope_parameters.rope_theta") == 500_000)
    let scaling = RoPESettings.Scaling.llama3(
      factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContextLength: 8192)
    #expect(try checkpoint.ropeSettings() == RoPESettings(base: 500_000, scaling: scaling))
  }
}
