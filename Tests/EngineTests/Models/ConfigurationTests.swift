import Foundation
import TestSupport
import Testing

@testable import Engine

/// Settings that change what a model computes are computed or refused, never passed over.
@Suite struct ConfigurationTests {
  /// Log-probabilities of a few tokens, and how long a sequence may be.
  private func run(_ model: LanguageModel) -> (values: [Float], context: Int) {
    var values: [Float] = []
    model.logProbabilities(of: (0..<40).map { Int32($0 * 7 % 61) }) { _, row in values += Array(row) }
    return (values, model.contextLength)
  }

  private func folder(
    _ changes: [String: String?] = [:], of model: TinyModel = .llama("tiny"), architecture: String? = nil
  ) throws -> (values: [Float], context: Int) {
    try withFolder(changes, of: model, architecture: architecture) { path in
      run(try LanguageModel(try Checkpoint.open(path), precision: .reference, pool: WorkerPool(threadCount: 1)))
    }
  }

  /// A nil value takes the member away.
  private func withFolder<Result>(
    _ changes: [String: String?], of model: TinyModel, architecture: String? = nil, _ use: (String) throws -> Result
  ) throws -> Result {
    var model = model
    for (key, value) in changes { model.configuration[key] = value }
    if let architecture { model.architecture = architecture }
    let folder = try TemporaryFolder()
    try model.writeFolder(to: folder.path)
    return try use(folder.path)
  }

  private func expectRefused(
    _ changes: [String: String?], of model: TinyModel = .llama("tiny"), architecture: String? = nil, _ words: [String]
  ) throws {
    try withFolder(changes, of: model, architecture: architecture) { path in
      expectRefusal(words, file: path) {
        _ = try LanguageModel(try Checkpoint.open(path), precision: .reference, pool: WorkerPool(threadCount: 1))
      }
    }
  }

  static let refused: [(key: String, value: String, words: [String])] = [
    ("hidden_act", #""gelu""#, ["hidden_act", "silu", "gelu"]),
    ("hidden_act", "7", ["hidden_act", "a string"]),
    ("layer_types", #"["full_attention", "sliding_attention"]"#, ["layer_types", "sliding_attention"]),
    ("partial_rotary_factor", "0.5", ["partial_rotary_factor", "0.5"]),
    ("rope_parameters", #"{"partial_rotary_factor": 0.5}"#, ["partial_rotary_factor", "0.5"]),
    ("rope_parameters", #"{"full_attention": {"rope_theta": 1e6}}"#, ["rope_parameters", "full_attention"]),
    ("rope_scaling", #"{"rope_type": "yarn", "factor": 4}"#, ["rope_type", "yarn"]),
    ("rope_scaling", #"{"type": "dynamic", "factor": 2}"#, ["dynamic"]),
    ("rope_scaling", #"{"type": "longrope", "short_factor": [1]}"#, ["longrope"]),
    ("rope_scaling", #"{"factor": 2}"#, ["rope_scaling.rope_type", "missing"]),
    ("rope_theta", "0", ["rope_theta", "above 0"]),
    ("tie_word_embeddings", "false", ["lm_head.weight", "missing"]),
  ]

  @Test(arguments: refused.indices) func llamaRefuses(index: Int) throws {
    let (key, value, words) = Self.refused[index]
    try expectRefused([key: value], words)
  }

  @Test(arguments: [
    ("activation_function", #""relu""#), ("scale_attn_weights", "false"), ("scale_attn_by_inverse_layer_idx", "true"),
    ("add_cross_attention", "true"),
  ]) func gpt2Refuses(key: String, value: String) throws {
    try expectRefused([key: value], of: .gpt2("tiny"), [key])
  }

  @Test func otherNamesOfTheSameAreTheSame() throws {
    let plain = try folder()
    for changes in [
      ["hidden_act": #""silu""#], ["hidden_act": #""swish""#], ["rope_scaling": "null"], ["attention_bias": "false"],
      ["mlp_bias": "true"], ["layer_types": #"["full_attention", "full_attention"]"#], ["partial_rotary_factor": "1.0"],
      ["rope_parameters": #"{"rope_type": "default", "rope_theta": 500}"#],
    ] { #expect(try folder(changes) == plain, "\(changes)") }
    let gpt2 = try folder(of: .gpt2("tiny"))
    #expect(try folder(["activation_function": #""gelu_pytorch_tanh""#], of: .gpt2("tiny")) == gpt2)
    #expect(try folder(["rms_norm_eps": nil]).values == folder(["rms_norm_eps": "1e-6"]).values)
  }

  @Test func bothSpellingsOfRoPEScalingAreOne() throws {
    let plain = try folder()
    for kind in [
      #""linear", "factor": 4"#,
      #""llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4, "original_max_position_embeddings": 32"#,
    ] {
      let old = try folder(["rope_scaling": "{\"type\": \(kind)}"])
      #expect(try folder(["rope_scaling": "{\"rope_type\": \(kind)}"]) == old)
      #expect(
        try folder(["rope_theta": nil, "rope_parameters": "{\"rope_theta\": 500, \"rope_type\": \(kind)}"]) == old)
      #expect(old.values != plain.values)
    }
  }

  @Test func biasesThatTheConfigurationDeniesAreRefused() throws {
    let biased = TinyModel.llama("biased", hasBiases: true)
    _ = try folder(["attention_bias": "true", "mlp_bias": "true"], of: biased)
    try expectRefused(["attention_bias": "false"], of: biased, ["self_attn", "bias"])
    try expectRefused(["mlp_bias": "false"], of: biased, ["mlp", "bias"])
  }

  /// Within its window Mistral is a Llama; beyond, it is not run.
  @Test func mistralGoesAsFarAsItsWindow() throws {
    let llama = try folder()
    #expect(try folder(["sliding_window": "null"], architecture: "mistral") == llama)
    #expect(try folder(architecture: "mistral") == llama)
    let windowed = try folder(["sliding_window": "48"], architecture: "mistral")
    #expect(windowed.values == llama.values)
    #expect(windowed.context == 48 && llama.context == 96)
    let long = try folder(["max_position_embeddings": "32768"], architecture: "mistral")
    #expect(long.context == 4096)
    try expectRefused(["sliding_window": "0"], architecture: "mistral", ["sliding_window"])
  }

  @Test(arguments: [
    ("llama.expert_count", MetadataValue.uint32(8)), ("llama.logit_scale", .float32(0.5)),
    ("llama.attention.scale", .float32(0.1)), ("llama.rope.dimension_count", .uint32(4)),
    ("llama.attention.value_length", .uint32(16)), ("llama.rope.scaling.type", .string("yarn")),
  ]) func ggufOfRelativesIsRefused(key: String, value: MetadataValue) throws {
    var model = TinyModel.llama("tiny")
    model.metadata[key] = value
    let folder = try TemporaryFolder()
    let path = folder.path + "/tiny.gguf"
    try model.writeGGUF(to: path)
    expectRefusal([key], file: path) {
      _ = try LanguageModel(try Checkpoint.open(path), precision: .reference, pool: WorkerPool(threadCount: 1))
    }
  }

  @Test func ggufSettingsThatChangeNothingAreRead() throws {
    func read(_ metadata: [String: MetadataValue]) throws -> (values: [Float], context: Int) {
      var model = TinyModel.llama("tiny")
      model.metadata.merge(metadata) { $1 }
      let folder = try TemporaryFolder()
      let path = folder.path + "/tiny.gguf"
      try model.writeGGUF(to: path)
      return run(try LanguageModel(try Checkpoint.open(path), precision: .reference, pool: WorkerPool(threadCount: 1)))
    }
    let plain = try read([:])
    let same: [String: MetadataValue] = [
      "llama.expert_count": .uint32(0), "llama.rope.dimension_count": .uint32(8),
      "llama.attention.value_length": .uint32(8), "llama.rope.scaling.type": .string("none"),
    ]
    #expect(try read(same) == plain)
    #expect(try read(["llama.attention.sliding_window": .uint32(50)]).context == 50)
    let linear = try read(["llama.rope.scaling.type": .string("linear"), "llama.rope.scaling.factor": .float32(4)])
    #expect(try read(["llama.rope.scale_linear": .float32(4)]) == linear)
    #expect(linear.values != plain.values)
  }
}
