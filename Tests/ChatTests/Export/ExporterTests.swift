import Foundation
import TestSupport
import Testing
import Tokenizers

@testable import Chat
@testable import Engine

/// Whole exports of the tiny models, with a tokenizer of fifty bytes beside them.
@Suite("Exporter") struct ExporterTests {
  static let families = ["llama", "llama3", "gpt2"]
  static let template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
  private let text = "HELLO, (WORLD) 12345"

  /// A folder with a model that Hearth opens, in a folder for what comes of it.
  private func withModel(_ family: String, _ use: (_ base: String, _ folder: String) throws -> Void) throws {
    try withFile("", named: "keep") { path in
      let folder = URL(filePath: path).deletingLastPathComponent().standardizedFileURL.path
      let base = folder + "/base"
      try FileManager.default.createDirectory(atPath: base, withIntermediateDirectories: true)
      for name in ["config.json", "model.safetensors"] {
        try FileManager.default.copyItem(
          atPath: Fixtures.path("models/\(family)/\(name)"), toPath: base + "/\(name)")
      }
      let bytes = (0x21...0x52).compactMap { Unicode.Scalar($0).map { String($0) } }
      let vocabulary = GGUFVocabulary(
        model: "gpt2", pre: "gpt-2", tokens: ["<u>", "<s>", "</s>"] + bytes + ["LL"], merges: ["L L"],
        tokenTypes: [3, 3, 3] + [Int32](repeating: 1, count: bytes.count + 1), beginningOfSequence: 1, endOfSequence: 2)
      try TextFiles.write(vocabulary, template: ExporterTests.template, contextLength: 128, to: base)
      try TextFiles.writeGeneration(vocabulary, ends: [2], to: base)
      try use(base, folder)
    }
  }

  private func export(
    _ model: String, _ format: ExportFormat, to output: String, type: String? = nil, replaces: Bool = false
  ) throws -> ExportResult {
    try Exporter(ModelStore.Location(path: model, name: "tiny"), pool: WorkerPool(threadCount: 2)).export(
      format, to: output, type: type.flatMap { StorageType(name: $0) }, replaces: replaces)
  }

  private func answers(_ path: String) throws -> (ids: [Int32], values: [Float], model: ChatModel) {
    let model = try ChatModel.open(path: path, precision: .reference, pool: WorkerPool(threadCount: 2))
    let ids = model.prompt(raw: text)
    var values: [Float] = []
    model.engine.logProbabilities(of: ids, adapter: model.adapter) { _, row in values += Array(row) }
    return (ids, values, model)
  }

  private func gap(_ a: [Float], _ b: [Float]) -> Float {
    a.count == b.count ? zip(a, b).map { abs($0 - $1) }.max() ?? 0 : .infinity
  }

  @Test(arguments: families) func modelsKeepTextAndAnswersOnTheWayThereAndBack(_ family: String) throws {
    try withModel(family) { base, folder in
      let truth = try answers(base)
      let result = try export(base, .gguf, to: folder + "/a.gguf")
      #expect(result.type == "F32")
      #expect(result.size_bytes > 10_000)
      let gguf = try answers(folder + "/a.gguf")
      #expect(gguf.ids == truth.ids)
      #expect(gap(gguf.values, truth.values) < 1e-5)
      #expect(gguf.model.template?.template.source == ExporterTests.template)
      #expect(gguf.model.endTokens == [2])

      _ = try export(folder + "/a.gguf", .safetensors, to: folder + "/b")
      let back = try answers(folder + "/b")
      #expect(back.ids == truth.ids)
      #expect(back.values == truth.values)
      #expect(back.model.fingerprint == truth.model.fingerprint)
    }
  }

  @Test(arguments: families) func runsAreExportedInEveryFormat(_ family: String) throws {
    try withModel(family) { base, folder in
      let model = try ChatModel.open(path: base, precision: .reference, pool: WorkerPool(threadCount: 2))
      let run = folder + "/run"
      try FileManager.default.createDirectory(atPath: run + "/best", withIntermediateDirectories: true)
      let adapter = try PEFTAdapter.read(Fixtures.path("models/\(family)/adapter"), for: model.engine)
      try PEFTAdapter.write(
        adapter, of: model.engine, to: run + "/best", baseName: "base",
        metadata: [BaseCheck.metadataKey: model.weightsFingerprint()])
      let record = TunedModel(base: base, baseName: "base", method: "lora", fingerprint: model.fingerprint)
      try JSONEncoder().encode(record).write(to: URL(filePath: run + "/" + TunedModel.recordName))
      let truth = try answers(run)

      _ = try export(run, .gguf, to: folder + "/merged.gguf")
      #expect(gap(try answers(folder + "/merged.gguf").values, truth.values) < 1e-5)
      _ = try export(run, .safetensors, to: folder + "/merged")
      #expect(gap(try answers(folder + "/merged").values, truth.values) < 1e-5)
      let peft = try export(run, .peft, to: folder + "/peft")
      #expect(peft.files.map(\.name) == ["README.md", "adapter_config.json", "adapter_model.safetensors"])
      let written = try Data(contentsOf: URL(filePath: folder + "/peft/adapter_model.safetensors"))
      let trained = try Data(contentsOf: URL(filePath: run + "/best/adapter_model.safetensors"))
      #expect(written == trained)
      let loose = try export(run, .ggufAdapter, to: folder + "/adapter.gguf")
      #expect(loose.tensors_converted == 2 * adapter.mapCount)
      #expect(try GGUFFile(path: folder + "/adapter.gguf").tensors.count == 2 * adapter.mapCount)

      // Nothing is left beside the results.
      let names = try FileManager.default.contentsOfDirectory(atPath: folder)
      #expect(!names.contains { $0.hasPrefix(".") })
      #expect(throws: ExportError.self) { try export(run, .safetensors, to: base, replaces: true) }
    }
  }

  @Test func aModelWithoutAdapterHasNoneToExport() throws {
    try withModel("llama") { base, folder in
      for format in [ExportFormat.peft, .ggufAdapter] {
        let error = #expect(throws: ExportError.self) { try export(base, format, to: folder + "/x") }
        #expect(error?.description.contains("has no adapter") == true)
      }
      let error = #expect(throws: ExportError.self) {
        try export(base, .safetensors, to: folder + "/x", type: "Q4_1")
      }
      #expect(error?.description.contains("F32, F16, BF16") == true)
      let names = try FileManager.default.contentsOfDirectory(atPath: folder)
      #expect(names.sorted() == ["base", "keep"])
    }
  }

  @Test func quantisingReportsWhatItCost() throws {
    try withModel("llama") { base, folder in
      let location = ModelStore.Location(path: base, name: "tiny")
      let quantization = Quantization(location, precision: .reference, pool: WorkerPool(threadCount: 2))
      let type = try #require(StorageType(name: "Q8_0"))
      let report = try quantization.run(type, to: folder + "/q.gguf", measures: false)
      #expect(report.relative_rms_error > 1e-4 && report.relative_rms_error < 0.01)
      #expect(report.classes.contains { $0.tensor == "attn_q.weight" && $0.types == ["Q8_0"] })
      #expect(report.classes.reduce(0) { $0 + $1.parameters } > 10_000)
      #expect(report.perplexity == nil)
    }
  }
}
