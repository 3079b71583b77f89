import Foundation
import TestSupport
import Testing

@testable import Engine

/// Adapters that are damaged, of another model, or of a kind that Hearth does not compute.
@Suite struct MalformedAdapterTests {
  static func model() throws -> LanguageModel {
    try LanguageModel(
      Checkpoint.open(Fixtures.path("models/llama")), precision: .reference, pool: WorkerPool(threadCount: 1))
  }
  private static let folder = Fixtures.path("models/llama/adapter")

  /// A change to the text of the configuration, and words of the error.
  static let configurations: [(name: String, from: String, to: String, words: [String])] = [
    ("DoRA without lengths", #""use_dora": false"#, #""use_dora": true"#, ["lora_magnitude_vector", "not there"]),
    (
      "a base that was changed", #""init_lora_weights": true"#, #""init_lora_weights": "pissa_niter_4""#,
      ["key init_lora"]
    ),
    ("a bias beside B", #""lora_bias": false"#, #""lora_bias": true"#, ["key lora_bias"]),
    ("QALoRA", #""use_qalora": false"#, #""use_qalora": true"#, ["key use_qalora"]),
    ("trained biases", #""bias": "none""#, #""bias": "all""#, ["key bias", "none", #"found "all""#]),
    (
      "whole modules", #""modules_to_save": null"#, #""modules_to_save": ["lm_head", "embed"]"#,
      ["key modules_to_save", #"found ["lm_head", "embed"]"#]
    ),
    ("trained tokens", #""trainable_token_indices": null"#, #""trainable_token_indices": [1]"#, ["trainable_token"]),
    ("an activated adapter", #""alora_invocation_tokens": null"#, #""alora_invocation_tokens": [5]"#, ["alora"]),
    ("replicated layers", #""layer_replication": null"#, #""layer_replication": [[0, 2]]"#, ["layer_replication"]),
    ("other ranks", #""rank_pattern": {}"#, #""rank_pattern": {"q_proj": 2}"#, ["tensor base_model", "[2, ", "[4, "]),
    ("a rank of text", #""rank_pattern": {}"#, #""rank_pattern": {"q_proj": "2"}"#, ["key rank_pattern", "1 to 4096"]),
    (
      "a pattern", #""alpha_pattern": {}"#, #""alpha_pattern": {"(q|k)_proj": 2}"#,
      ["key alpha_pattern", "names of mod"]
    ),
    ("an alpha of text", #""alpha_pattern": {}"#, #""alpha_pattern": {"q_proj": "a"}"#, ["key alpha_pattern"]),
    ("another method", #""peft_type": "LORA""#, #""peft_type": "IA3""#, ["key peft_type", "LORA", "IA3"]),
    ("no method", #""peft_type": "LORA","#, "", ["key peft_type", "nothing"]),
    ("no rank", #""r": 4,"#, "", ["key r", "1 to 4096"]),
    ("a rank of nothing", #""r": 4"#, #""r": 0"#, ["key r", "1 to 4096"]),
    ("a negative rank", #""r": 4"#, #""r": -4"#, ["key r"]),
    ("a huge rank", #""r": 4"#, #""r": 4000000000000"#, ["key r"]),
    ("half a rank", #""r": 4"#, #""r": 4.5"#, ["key r"]),
    ("a rank as text", #""r": 4"#, #""r": "4""#, ["key r"]),
    ("another rank", #""r": 4"#, #""r": 8"#, ["tensor base_model", "[8, ", "[4, "]),
    ("no alpha", #""lora_alpha": 8,"#, "", ["key lora_alpha"]),
    ("an alpha that is no number", #""lora_alpha": 8"#, #""lora_alpha": NaN"#, ["key lora_alpha"]),
    ("an infinite alpha", #""lora_alpha": 8"#, #""lora_alpha": Infinity"#, ["key lora_alpha"]),
    ("a dropout of one", #""lora_dropout": 0.0"#, #""lora_dropout": 1.0"#, ["key lora_dropout"]),
    ("a key twice", #""r": 4"#, #""r": 4, "r": 8"#, ["twice"]),
    ("a cut-off configuration", #""use_rslora": false,"#, "\u{0}", ["adapter_config.json", "byte"]),
  ]

  @Test(arguments: configurations.indices) func refusesAConfiguration(_ index: Int) throws {
    let fault = Self.configurations[index]
    let text = try String(contentsOfFile: Self.folder + "/adapter_config.json", encoding: .utf8)
    #expect(text.contains(fault.from), "\(fault.name)")
    try expectRefusal(fault.words, config: Array(text.replacing(fault.from, with: fault.to).utf8))
  }

  @Test func refusesWhatIsNoConfiguration() throws {
    try expectRefusal(["adapter_config.json", "empty"], config: [])
    try expectRefusal(["adapter_config.json", "an object", "a list"], config: Array("[]".utf8))
    try expectRefusal(["adapter_config.json"], config: [0xFF, 0xFE])
    let folder = try TemporaryFolder()
    EngineTests.expectRefusal(["No such file"], file: folder.path) { _ = try PEFTAdapter.settings(folder.path) }
    try FileManager.default.createDirectory(
      atPath: folder.path + "/adapter_config.json", withIntermediateDirectories: false)
    EngineTests.expectRefusal(["Is a directory"], file: folder.path) { _ = try PEFTAdapter.settings(folder.path) }
  }

  private func expectRefusal(_ words: [String], config: [UInt8]? = nil, weights: [UInt8]? = nil) throws {
    let folder = try TemporaryFolder()
    func original(_ name: String) throws -> [UInt8] {
      [UInt8](try Data(contentsOf: URL(filePath: Self.folder + "/" + name)))
    }
    try folder.write(config ?? original("adapter_config.json"), as: "adapter_config.json")
    try folder.write(weights ?? original("adapter_model.safetensors"), as: "adapter_model.safetensors")
    let model = try Self.model()
    EngineTests.expectRefusal(words, file: folder.path) { _ = try PEFTAdapter.read(folder.path, for: model) }
  }

  /// The weights with the header's text changed; the data stays.
  private func weights(_ change: (String) -> String) throws -> [UInt8] {
    let bytes = [UInt8](try Data(contentsOf: URL(filePath: Self.folder + "/adapter_model.safetensors")))
    let length = bytes.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
    let header = change(String(decoding: bytes[8..<8 + length], as: UTF8.self))
    var result: [UInt8] = []
    result.append(integer: UInt64(header.utf8.count))
    return result + header.utf8 + bytes[(8 + length)...]
  }

  @Test func refusesWeights() throws {
    let q = "base_model.model.model.layers.0.self_attn.q_proj"
    try expectRefusal(["adapter_model.safetensors", "empty"], weights: [])
    try expectRefusal(
      ["tensor \(q).lora_A.weight", "not there"], weights: weights { $0.replacing(q + ".lora_A", with: q + ".lora_C") })
    try expectRefusal(
      ["tensor \(q).lora_B.weight", "not there"], weights: weights { $0.replacing(q + ".lora_B", with: q + ".lora_C") })
    try expectRefusal(
      ["layers.7.self_attn", "belongs to no linear map", "another model"],
      weights: weights { $0.replacing("layers.0.self_attn.q_proj", with: "layers.7.self_attn.q_proj") })
    try expectRefusal(
      ["x_proj", "belongs to no linear map"],
      weights: weights { $0.replacing("self_attn.q_proj", with: "self_attn.x_proj") })
    let vector = #""x.lora_magnitude_vector":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"#
    try expectRefusal(
      ["lora_magnitude_vector", "belongs to no linear map"],
      weights: weights { $0.replacing(#"{"format":"pt"},"#, with: #"{"format":"pt"},"# + vector) })
    try expectRefusal(
      ["wrong shape", "[4, 32]", "[32, 4]"], weights: weights { $0.replacing("[4,32]", with: "[32,4]") })
    try expectRefusal(["of I8"], weights: weights { $0.replacing("\"F32\"", with: "\"I8\"") })
    // A whole adapter of the other family.
    let other = [UInt8](
      try Data(contentsOf: URL(filePath: Fixtures.path("models/gpt2/adapter/adapter_model.safetensors"))))
    try expectRefusal(["belongs to no linear map", "another model"], weights: other)
  }

  @Test(arguments: [Float.nan, .infinity, -.infinity]) func refusesNumbersThatAreNotFinite(_ number: Float) throws {
    var bytes = try weights { $0 }
    bytes.replaceSubrange(
      bytes.count - 4..<bytes.count, with: withUnsafeBytes(of: number.bitPattern.littleEndian) { Array($0) })
    try expectRefusal(["tensor base_model", "not finite", "\(number)"], weights: bytes)
  }

  @Test func damageNeverTraps() throws {
    let names = ["adapter_config.json", "adapter_model.safetensors"]
    let seeds = try names.map { [UInt8](try Data(contentsOf: URL(filePath: Self.folder + "/" + $0))) }
    let model = try Self.model()
    let folder = try TemporaryFolder()
    var random = Damage(seed: 4)
    for round in Damage.rounds(300) {
      for (index, name) in names.enumerated() {
        try folder.write(round % 2 == index ? random.damaged(seeds[index]) : seeds[index], as: name)
      }
      do { _ = try PEFTAdapter.read(folder.path, for: model) } catch {
        #expect("\(error)".hasPrefix(folder.path))
      }
    }
  }
}
