import Foundation
import Testing

@testable import Engine

@Suite("GGUF reading")
struct GGUFReadingTests {
  @Test func readsWhatWasWritten() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write(GGUFBytes.valid.bytes, as: "model.gguf")
    let file = try GGUFFile(path: path)
    #expect(file.version == 3)
    #expect(file.alignment == 32)
    #expect(
      file.metadata.keys == ["general.architecture", "llama.block_count", "tokenizer.ggml.tokens"])
    #expect(file.metadata["tokenizer.ggml.tokens"] == .array(.string(["a", "ß"])))
    #expect(file.tensors.map(\.shape) == [[8], [2, 32]])

    let checkpoint = try Checkpoint.open(path)
    #expect(checkpoint.architecture == "llama")
    #expect(try checkpoint.integer("llama.block_count") == 2)
    let weight = try checkpoint.tensor("weight", shape: [2, 32])
    #expect(weight.formatNumber == 2)
    #expect(weight.rowBytes == 18)
    #expect(weight.rowCount == 2)
    #expect(weight.withBytes { Array($0) } == (0..<36).map { UInt8(100 + $0) })
  }

  @Test func tensorsOutliveTheirCheckpoint() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write(GGUFBytes.valid.bytes, as: "model.gguf")
    let norm: StoredTensor
    do { norm = try Checkpoint.open(path).tensor("norm") }
    try FileManager.default.removeItem(atPath: path)
    #expect(norm.withBytes { Array($0) } == (0..<32).map { UInt8($0) })
    #expect(norm.span.byteCount == 32)
  }

  @Test(.enabled(if: ProcessInfo.processInfo.environment["HEARTH_TEST_GGUF"] != nil))
  func opensARealModel() throws {
    let path = try #require(ProcessInfo.processInfo.environment["HEARTH_TEST_GGUF"])
    let checkpoint = try Checkpoint.open(path)
    #expect(checkpoint.tensorNames.count == 272)
    #expect(checkpoint.architecture == "llama")
    for name in checkpoint.tensorNames { _ = try checkpoint.tensor(name) }
    #expect(try checkpoint.stringsIfPresent("tokenizer.ggml.tokens")?.count == 49152)
  }
}
