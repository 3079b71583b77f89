import Foundation
import TestSupport
import Testing

@testable import Engine

/// rsLoRA, DoRA and patterns against PEFT (Scripts/fixtures/adapters.py).
@Suite struct GoldenAdapterTests {
  static let kinds = ["llama-rslora", "llama-dora", "gpt2-dora", "llama3-patterns"]

  private struct Golden {
    let folder: String
    let model: LanguageModel
    let adapter: Adapter
    let file: SafetensorsFile
    let ids, labels: [[Int32]]

    init(_ kind: String) throws {
      folder = Fixtures.path("adapters/\(kind)")
      model = try TinyExport.open(Fixtures.path("models/\(kind.prefix { $0 != "-" })"))
      adapter = try PEFTAdapter.read(folder, for: model)
      file = try SafetensorsFile(path: folder + "/golden.safetensors")
      ids = try GoldenModelTests.Golden.integers("ids", file)
      labels = try GoldenModelTests.Golden.integers("labels", file)
    }

    func values(_ name: String) throws -> [Float] {
      try #require(try file.tensorIfPresent(name), "\(name) in the golden file").float32Values()
    }

    var batch: TrainingBatch {
      var batch = TrainingBatch()
      for (ids, labels) in zip(ids, labels) { batch.append(ids, supervised: labels.map { $0 >= 0 }) }
      return batch
    }

    /// Log-probabilities after each token of both texts.
    func answers(_ model: LanguageModel, _ adapter: Adapter?) -> [[Float]] {
      ids.flatMap { ids in
        var rows: [[Float]] = []
        model.logProbabilities(of: ids, adapter: adapter) { _, row in rows.append(Array(row)) }
        return rows
      }
    }

    /// The same, of the reference's logits.
    func expected() throws -> [[Float]] {
      let logits = try values("logits")
      return stride(from: 0, to: logits.count, by: model.vocabularyCount).map { start in
        let row = logits[start..<start + model.vocabularyCount].map(Double.init)
        let largest = row.max() ?? 0
        let sum = row.reduce(0) { $0 + exp($1 - largest) }
        return row.map { Float($0 - largest - log(sum)) }
      }
    }
  }

  @Test(arguments: kinds) func logitsAreThoseOfPEFT(_ kind: String) throws {
    let golden = try Golden(kind)
    #expect(golden.adapter.entries.count == golden.model.linears.count)
    let expected = try golden.expected()
    #expect(TinyExport.gap(golden.answers(golden.model, golden.adapter), expected) < 3e-5)
    #expect(TinyExport.gap(golden.answers(golden.model, nil), expected) > 0.05, "the adapter is seen")
  }

  @Test(arguments: kinds) func gradientsAndStepsAreThoseOfPEFT(_ kind: String) throws {
    let golden = try Golden(kind)
    let trainer = Trainer(golden.model, adapter: golden.adapter, settings: .init(maximumGradientNorm: 1))
    let batch = golden.batch
    _ = trainer.accumulate(batch, scale: 1 / Float(batch.targets.count), pass: 0)
    for parameter in golden.adapter.parameters {
      let expected = try golden.values("gradient.\(parameter.name.huggingFace)")
      let size = expected.map(abs).max() ?? 0
      #expect(largestGap(parameter.gradientValues, expected) < 1e-5 + 1e-4 * size, "\(parameter.name.huggingFace)")
      parameter.zeroGradient()
    }
    for expected in try golden.values("losses") {
      #expect(abs(try trainer.step([batch], learningRate: 1e-2).loss - Double(expected)) < 1e-4)
    }
    for parameter in golden.adapter.parameters {
      let expected = try golden.values("final.\(parameter.name.huggingFace)")
      let gaps = zip(parameter.values(golden.model.pool), expected).map { abs($0 - $1) }
      #expect(gaps.reduce(0, +) / Float(gaps.count) < 5e-5, "\(parameter.name.huggingFace)")
    }
  }

  /// What is written is what PEFT wrote, tensor by tensor, and means the same again when read.
  @Test(arguments: kinds) func foldersReadAsTheyWereWritten(_ kind: String) throws {
    let golden = try Golden(kind)
    let folder = try TemporaryFolder()
    try PEFTAdapter.write(golden.adapter, of: golden.model, to: folder.path, baseName: "someone/tiny")
    let (ours, theirs) = (
      try SafetensorsFile(path: folder.path + "/adapter_model.safetensors"),
      try SafetensorsFile(path: golden.folder + "/adapter_model.safetensors")
    )
    #expect(Set(ours.tensors.map(\.name)) == Set(theirs.tensors.map(\.name)))
    for entry in theirs.tensors {
      let (a, b) = (
        try #require(try ours.tensorIfPresent(entry.name)), try #require(try theirs.tensorIfPresent(entry.name))
      )
      #expect(a.shape == b.shape)
      #expect(try a.float32Values() == b.float32Values(), "\(entry.name)")
    }
    let copy = try PEFTAdapter.read(folder.path, for: golden.model)
    #expect(golden.answers(golden.model, copy) == golden.answers(golden.model, golden.adapter))
    for (a, b) in zip(copy.entries, golden.adapter.entries) {
      #expect(a.pair.rank == b.pair.rank && a.pair.scale == b.pair.scale)
    }
  }

  @Test(arguments: kinds) func mergedModelsAnswerAsTheAdapterDoes(_ kind: String) throws {
    let golden = try Golden(kind)
    let export = try TinyExport()
    let base = try TinyExport.reading(family: String(kind.prefix { $0 != "-" }))
    let merged = try MergedModel(base: base, adapter: PEFTAdapter.read(golden.folder, for: base))
    let expected = golden.answers(golden.model, golden.adapter)
    #expect(TinyExport.gap(golden.answers(try export.gguf(merged), nil), expected) < 2e-5)
    let folder = try TinyExport.open(try export.huggingFace(merged))
    #expect(TinyExport.gap(golden.answers(folder, nil), expected) < 2e-5)
  }

  @Test func adapterFilesOfLlamaCppHoldTheScaleOfEachMap() throws {
    let folder = try TemporaryFolder()
    let path = folder.path + "/a.gguf"
    let dora = try Golden("llama-dora")
    #expect(throws: AdapterError.self) { try GGUFAdapter.write(dora.adapter, of: dora.model, to: path, name: "a") }

    // Patterns without DoRA: other scales for other maps.
    let model = try TinyExport.open(Fixtures.path("models/llama"))
    try FileManager.default.copyItem(
      atPath: Fixtures.path("models/llama/adapter/adapter_model.safetensors"),
      toPath: folder.path + "/adapter_model.safetensors")
    let config = try String(contentsOfFile: Fixtures.path("models/llama/adapter/adapter_config.json"), encoding: .utf8)
    try Data(config.replacing(#""alpha_pattern": {}"#, with: #""alpha_pattern": {"q_proj": 2}"#).utf8)
      .write(to: URL(filePath: folder.path + "/adapter_config.json"))
    let adapter = try PEFTAdapter.read(folder.path, for: model)
    _ = try GGUFAdapter.write(adapter, of: model, to: path, name: "a")
    let file = try GGUFFile(path: path)
    #expect(file.metadata["adapter.lora.alpha"] == .float32(0))
    for entry in adapter.entries where entry.linear.weight.rotaryHeadCount == 0 {
      let up = try #require(try file.tensorIfPresent(entry.linear.weight.name.gguf + ".lora_b")).float32Values()
      #expect(up == entry.pair.up.values(model.pool).map { $0 * entry.pair.scale })
    }
    #expect(Set(adapter.entries.map(\.pair.scale)) == [0.5, 2])
  }
}

@Suite struct ModulePatternTests {
  @Test func matchesAsPEFTDoes() throws {
    // (pattern, path, re.match(rf"(.*\.)?({pattern})$", path) is not None)
    let cases: [(String, String, Bool)] = [
      ("q_proj", "model.layers.0.self_attn.q_proj", true), ("proj", "model.layers.0.self_attn.q_proj", false),
      ("q_proj", "q_proj", true), ("self_attn.q_proj", "model.layers.0.self_attn.q_proj", true),
      (#"layers\.1\.mlp.*"#, "model.layers.1.mlp.up_proj", true),
      (#"layers\.1\.mlp.*"#, "model.layers.11.mlp.up_proj", false), ("layers.1.*", "model.layers.11.mlp.up_proj", true),
      (#"layers\.\d+\.mlp\.up_proj"#, "model.layers.12.mlp.up_proj", true),
      ("layers.[0-9]+.mlp.up_proj", "model.layers.x.mlp.up_proj", false),
      ("^model.layers.1.*", "model.layers.1.mlp", true), ("^layers.1.*", "model.layers.1.mlp", false),
      (".*q_proj", "model.q_proj", true), (".*", "", true), ("a.*b.*c", "x.a12b34c", true),
      ("a.*b.*c", "x.a12b34", false),
    ]
    for (pattern, path, expected) in cases {
      #expect(try #require(ModulePattern(pattern)).matches(path) == expected, "\(pattern), \(path)")
    }
    for pattern in ["(q|k)_proj", "q_proj$", "[a-z]", "a+", "", "ü"] {
      #expect(ModulePattern(pattern) == nil, "\(pattern)")
    }
    let hostile = try #require(ModulePattern(String(repeating: ".*a", count: 50)))
    #expect(!hostile.matches(String(repeating: "a", count: 49)))
  }
}
