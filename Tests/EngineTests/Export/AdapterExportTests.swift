import Foundation
import TestSupport
import Testing

@testable import Engine

/// What was learned, merged or on its own.
@Suite("Adapter export") struct AdapterExportTests {
  @Test(arguments: TinyExport.families) func mergedModelsAnswerAsTheAdapterDoes(_ family: String) throws {
    let export = try TinyExport()
    let model = try TinyExport.base(family)
    let truth = TinyExport.answers(model, try TinyExport.adapter(family, for: model))
    #expect(TinyExport.gap(truth, TinyExport.answers(model)) > 1e-2)

    let base = try TinyExport.reading(family: family)
    let merged = try MergedModel(base: base, adapter: TinyExport.adapter(family, for: base))
    #expect(TinyExport.gap(TinyExport.answers(try export.gguf(merged)), truth) < 1e-5)
    let folder = try TinyExport.open(try export.huggingFace(merged))
    #expect(TinyExport.gap(TinyExport.answers(folder), truth) < 1e-5)
  }

  @Test(arguments: TinyExport.families) func adaptersOnGGUFBasesMergeTheSameWay(_ family: String) throws {
    let export = try TinyExport()
    let base = try export.gguf(try MergedModel(base: TinyExport.reading(family: family)))
    let truth = TinyExport.answers(base, try TinyExport.adapter(family, for: base))
    let reading = try TinyExport.reading(base.checkpoint.path)
    let merged = try MergedModel(base: reading, adapter: TinyExport.adapter(family, for: reading))
    #expect(TinyExport.gap(TinyExport.answers(try export.gguf(merged)), truth) < 1e-5)
    let folder = try TinyExport.open(try export.huggingFace(merged))
    #expect(TinyExport.gap(TinyExport.answers(folder), truth) < 1e-5)
  }

  @Test func whatTrainingLeftAloneStaysByteForByte() throws {
    let export = try TinyExport()
    let small = try export.gguf(try MergedModel(base: TinyExport.reading(family: "llama")), type: "Q8_0")
    let base = try TinyExport.reading(small.checkpoint.path)
    let adapter = try base.makeAdapter(.init(rank: 2, targets: ["q_proj", "v_proj"]), seed: 3)
    // B of all but one map is still zero.
    let (linear, pair) = try #require(adapter.entries.first)
    pair.up.setValues((0..<pair.up.count).map { Float($0 % 5) / 50 })
    let path = "\(export.folder.path)/merged.gguf"
    let summary = try MergedModel(base: base, adapter: adapter).writeGGUF(to: path, name: "merged")
    #expect(summary.converted == 1)
    let merged = try GGUFFile(path: path)
    for name in base.checkpoint.tensorNames {
      let old = try base.checkpoint.tensor(name)
      let new = try #require(try merged.tensorIfPresent(name))
      if name == linear.weight.name.gguf {
        // What it changed is not quantised a second time.
        #expect(new.type == .f16)
      } else {
        #expect(new.type == old.type)
        #expect(new.withBytes { Array($0) } == old.withBytes { Array($0) })
      }
    }
    #expect(merged.metadata["general.name"] == .string("merged"))
  }

  @Test(arguments: TinyExport.families) func fullFineTuningIsExported(_ family: String) throws {
    let export = try TinyExport()
    let model = try TinyExport.base(family)
    for parameter in model.parameters {
      parameter.setValues(parameter.values(model.pool).enumerated().map { $1 + Float($0 % 7 - 3) / 200 })
    }
    let checkpoint = "\(export.folder.path)/step-1"
    try FileManager.default.createDirectory(atPath: checkpoint, withIntermediateDirectories: true)
    try model.writeParameters(to: checkpoint)
    let truth = try TinyExport.base(family)
    try truth.readParameters(from: checkpoint)
    let answers = TinyExport.answers(truth)

    let merged = try MergedModel(base: TinyExport.reading(family: family), trainedFolder: checkpoint)
    #expect(TinyExport.gap(TinyExport.answers(try export.gguf(merged)), answers) < 5e-6)
    #expect(TinyExport.answers(try TinyExport.open(try export.huggingFace(merged))) == answers)

    let other = try TinyExport.reading(family: family == "gpt2" ? "llama" : "gpt2")
    #expect(throws: CheckpointError.self) { try MergedModel(base: other, trainedFolder: checkpoint) }
  }

  @Test(arguments: TinyExport.families, [false, true]) func ggufAdaptersHoldTheSameTerm(
    _ family: String, _ isRankStabilised: Bool
  ) throws {
    let export = try TinyExport()
    let base = try TinyExport.reading(family: family)
    let adapter = try base.makeAdapter(
      .init(rank: 4, alpha: 6, targets: [], isRankStabilised: isRankStabilised), seed: 9)
    for (index, entry) in adapter.entries.enumerated() {
      entry.pair.up.setValues((0..<entry.pair.up.count).map { Float(($0 * 7 + index) % 11 - 5) / 40 })
    }
    let path = "\(export.folder.path)/adapter.gguf"
    #expect(try GGUFAdapter.write(adapter, of: base, to: path, name: "tiny") == 2 * adapter.mapCount)
    let file = try GGUFFile(path: path)
    #expect(file.metadata["general.type"] == .string("adapter"))
    #expect(file.metadata["adapter.type"] == .string("lora"))
    #expect(file.metadata["general.architecture"] == .string(base.checkpoint.architecture))
    guard case .float32(let alpha)? = file.metadata["adapter.lora.alpha"] else {
      Issue.record("adapter.lora.alpha is missing")
      return
    }
    // llama.cpp's arithmetic: W + alpha / rank · B·A, in the order of the GGUF base.
    let plain = try export.gguf(try MergedModel(base: base))
    let merged = try export.gguf(try MergedModel(base: base, adapter: adapter))
    for entry in adapter.entries {
      let name = entry.linear.weight.name.gguf
      let down = try #require(try file.tensorIfPresent(name + ".lora_a"))
      let up = try #require(try file.tensorIfPresent(name + ".lora_b"))
      #expect(down.shape == [4, entry.linear.inputs])
      #expect(up.shape == [entry.linear.outputs, 4])
      let (a, b) = (try down.float32Values(), try up.float32Values())
      let (before, after) = (
        try plain.checkpoint.tensor(name).float32Values(), try merged.checkpoint.tensor(name).float32Values()
      )
      var largest: Float = 0
      for row in 0..<entry.linear.outputs {
        for column in 0..<entry.linear.inputs {
          var term: Float = 0
          for k in 0..<4 { term += b[row * 4 + k] * a[k * entry.linear.inputs + column] }
          let place = row * entry.linear.inputs + column
          largest = max(largest, abs(before[place] + alpha / 4 * term - after[place]))
        }
      }
      #expect(largest < 1e-6, "\(name)")
    }
  }

  @Test(arguments: TinyExport.families) func peftFoldersReadAsTheyWereWritten(_ family: String) throws {
    let export = try TinyExport()
    let base = try TinyExport.base(family)
    let adapter = try TinyExport.adapter(family, for: base)
    try PEFTAdapter.write(adapter, of: base, to: export.folder.path, baseName: "someone/tiny")
    let copy = try PEFTAdapter.read(export.folder.path, for: base)
    #expect(TinyExport.answers(base, copy) == TinyExport.answers(base, adapter))
  }
}
