import Foundation
import TestSupport
import Testing

@testable import Engine

/// Base models from one format to the other and back.
@Suite("Conversion") struct ConversionTests {
  @Test(arguments: TinyExport.families) func ggufOfAFolderIsTheSameModel(_ family: String) throws {
    let export = try TinyExport()
    let model = try export.gguf(try MergedModel(base: TinyExport.reading(family: family)))
    let gap = TinyExport.gap(TinyExport.answers(model), TinyExport.answers(try TinyExport.base(family)))
    // Queries and keys are permuted in Llama's GGUF files, so their products are summed in another order.
    if family == "gpt2" { #expect(gap == 0) } else { #expect(gap < 1e-5) }
  }

  @Test(arguments: TinyExport.families) func thereAndBackGivesTheSameBytes(_ family: String) throws {
    let export = try TinyExport()
    let original = try TinyExport.base(family)
    let gguf = try export.gguf(try MergedModel(base: TinyExport.reading(family: family)))
    let path = try export.huggingFace(try MergedModel(base: TinyExport.reading(gguf.checkpoint.path)))
    let copy = try TinyExport.open(path)
    for name in original.checkpoint.tensorNames {
      let (old, new) = (try original.checkpoint.tensor(name), try copy.checkpoint.tensor(name))
      #expect(old.shape == new.shape, "\(name)")
      #expect(old.withBytes { Array($0) } == new.withBytes { Array($0) }, "\(name)")
    }
    #expect(TinyExport.answers(copy) == TinyExport.answers(original))
  }

  @Test(arguments: TinyExport.families) func aCopyOfAFolderHasTheSameBytes(_ family: String) throws {
    let export = try TinyExport()
    let original = try TinyExport.base(family)
    let copy = try TinyExport.open(try export.huggingFace(MergedModel(base: TinyExport.reading(family: family))))
    #expect(TinyExport.answers(copy) == TinyExport.answers(original))
    guard case .huggingFace(let a) = original.checkpoint.source, case .huggingFace(let b) = copy.checkpoint.source
    else { return }
    #expect(a.value("") == b.value(""))
  }

  @Test func ggufOfAGGUFKeepsEveryByte() throws {
    let export = try TinyExport()
    let first = try export.gguf(try MergedModel(base: TinyExport.reading(family: "llama3")), type: "Q8_0")
    let path = "\(export.folder.path)/copy.gguf"
    let summary = try MergedModel(base: TinyExport.reading(first.checkpoint.path)).writeGGUF(to: path, name: "tiny")
    #expect(summary.converted == 0)
    let (old, new) = (
      try Data(contentsOf: URL(filePath: first.checkpoint.path)), try Data(contentsOf: URL(filePath: path))
    )
    #expect(old == new)
  }

  @Test(arguments: TinyExport.families) func shardsAreTheSameModel(_ family: String) throws {
    let export = try TinyExport()
    let path = try export.huggingFace(
      try MergedModel(base: TinyExport.reading(family: family)), shardByteCount: 10_000)
    let names = try FileManager.default.contentsOfDirectory(atPath: path)
    #expect(names.contains("model.safetensors.index.json"))
    #expect(names.count { $0.hasPrefix("model-0") } > 2)
    let original = try TinyExport.base(family)
    #expect(TinyExport.answers(try TinyExport.open(path)) == TinyExport.answers(original))
  }

  @Test(arguments: ["F16", "BF16", "Q8_0", "Q4_1", "Q4_K", "IQ4_XS"]) func typesAreStoredAsAsked(_ type: String) throws
  {
    let export = try TinyExport()
    let errors = QuantizationError()
    let model = try export.gguf(
      try MergedModel(base: TinyExport.reading(family: "llama3")), type: type, errors: errors)
    // Rows of 32 and 48 hold no block of 256, and the latter none of 32.
    let expected = ["Q4_K": "Q5_0", "IQ4_XS": "IQ4_NL"][type] ?? type
    #expect(try model.checkpoint.tensor("blk.0.attn_q.weight").type.name == expected)
    let down = ["F16", "BF16"].contains(type) ? type : "F16"
    #expect(try model.checkpoint.tensor("blk.0.ffn_down.weight").type.name == down)
    let head = ["F16", "BF16"].contains(type) ? type : "Q8_0"
    #expect(try model.checkpoint.tensor("output.weight").type.name == head)
    #expect(try model.checkpoint.tensor("blk.0.attn_norm.weight").type.name == "F32")
    #expect(try model.checkpoint.tensor("rope_freqs.weight").type.name == "F32")
    let bounds = ["F16": 0.0005, "BF16": 0.004, "Q8_0": 0.01]
    #expect(errors.overall.relative > 0)
    #expect(errors.overall.relative < bounds[type] ?? 0.1)
    // Random weights answer at random once they lose half their bits; what must hold there is the error of the weights.
    if bounds[type] != nil {
      #expect(TinyExport.gap(TinyExport.answers(model), TinyExport.answers(try TinyExport.base("llama3"))) < 0.2)
    }
  }

  @Test func positionTablesStayAsTheyAre() throws {
    let export = try TinyExport()
    let model = try export.gguf(try MergedModel(base: TinyExport.reading(family: "gpt2")), type: "Q4_0")
    #expect(try model.checkpoint.tensor("position_embd.weight").type == .f32)
    #expect(try model.checkpoint.tensor("blk.0.attn_qkv.weight").type.name == "Q4_0")
    #expect(try model.checkpoint.tensor("token_embd.weight").type.name == "Q8_0")
  }

  @Test func quantisedBasesBecomeF32Folders() throws {
    let export = try TinyExport()
    let small = try export.gguf(try MergedModel(base: TinyExport.reading(family: "llama")), type: "Q8_0")
    let path = try export.huggingFace(try MergedModel(base: TinyExport.reading(small.checkpoint.path)))
    let copy = try TinyExport.open(path)
    #expect(try copy.checkpoint.tensor("model.layers.0.self_attn.q_proj.weight").type == .f32)
    #expect(TinyExport.gap(TinyExport.answers(copy), TinyExport.answers(small)) < 1e-5)
  }

  @Test func valuesThatAreNotFiniteAreRefused() throws {
    let export = try TinyExport()
    let base = try TinyExport.reading(family: "llama")
    let adapter = try base.makeAdapter(.init(rank: 2), seed: 1)
    let pair = try #require(adapter.entries.first?.pair)
    pair.up.setValues([Float](repeating: .nan, count: pair.up.count))
    let path = "\(export.folder.path)/broken.gguf"
    let error = #expect(throws: CheckpointError.self) {
      _ = try MergedModel(base: base, adapter: adapter).writeGGUF(to: path, name: "broken")
    }
    #expect(error?.description.contains("not finite") == true)
    #expect(try export.folder.names.isEmpty)
  }
}
