/// How positions are turned into rotation angles, from whichever spelling the model's files use.
public struct RoPESettings: Sendable, Equatable {
  /// How frequencies are stretched to reach beyond the context the model was first trained with.
  public enum Scaling: Sendable, Equatable {
    case none
    /// All positions divided by `factor`.
    case linear(factor: Double)
    /// Low frequencies divided by `factor`, high ones kept, those between blended: Meta, Llama 3.1
    /// (github.com/meta-llama/llama-models, `apply_scaling`).
    case llama3(
      factor: Double, lowFrequencyFactor: Double, highFrequencyFactor: Double,
      originalContextLength: Int)
  }

  /// The base θ of the frequencies θ^(−2i/headWidth).
  public var base: Double
  /// The stretching.
  public var scaling: Scaling

  /// Settings from their parts.
  public init(base: Double = 10_000, scaling: Scaling = .none) {
    self.base = base
    self.scaling = scaling
  }
}

extension Checkpoint {
  /// The rotary position settings: `<architecture>.rope.…` of a GGUF file; of `config.json`
  /// `rope_parameters` (transformers 5) or `rope_theta` and `rope_scaling` (transformers 4).
  ///
  /// A GGUF file stores Llama 3's scaling not as settings but as the tensor `rope_freqs.weight`, a
  /// divisor for each frequency; it is for the model to apply.
  ///
  /// - Throws: `CheckpointError` if a value has the wrong type or is not positive, or the scaling
  ///   is of a kind Hearth does not have.
  public func ropeSettings() throws(CheckpointError) -> RoPESettings {
    if case .gguf = source { return try ropeSettingsFromGGUF() }
    let modern = "rope_parameters."
    for kind in ["full_attention", "sliding_attention"] where contains(modern + kind) {
      throw CheckpointError(
        .unsupported, file: Fields(source).file, place: .key("rope_parameters"),
        "turns the layers of a model in several ways", expected: "one rope_theta for all layers", found: kind,
        advice: "Use another model")
    }
    let base = try positiveIfPresent(modern + "rope_theta", "rope_theta") ?? 10_000
    for prefix in [modern, "rope_scaling."] {
      for key in [prefix + "rope_type", prefix + "type"] {
        guard let name = try stringIfPresent(key) else { continue }
        return RoPESettings(base: base, scaling: try scaling(name, prefix: prefix))
      }
    }
    // A stretching that names no kind would pass unnoticed.
    for prefix in [modern, "rope_scaling."] where contains(prefix + "factor") {
      throw Fields(source).missing(prefix + "rope_type")
    }
    return RoPESettings(base: base)
  }

  private func ropeSettingsFromGGUF() throws(CheckpointError) -> RoPESettings {
    let prefix = "\(architecture).rope."
    let base = try positiveIfPresent(prefix + "freq_base") ?? 10_000
    // The key of files from before general scaling types.
    if let factor = try positiveIfPresent(prefix + "scale_linear"), factor != 1 {
      return RoPESettings(base: base, scaling: .linear(factor: factor))
    }
    switch try stringIfPresent(prefix + "scaling.type") {
    case nil, "none": return RoPESettings(base: base)
    case "linear":
      return RoPESettings(
        base: base, scaling: .linear(factor: try positive(prefix + "scaling.factor")))
    case let name?: throw unsupportedScaling(name, key: prefix + "scaling.type")
    }
  }

  private func scaling(
    _ name: String, prefix: String
  ) throws(CheckpointError) -> RoPESettings.Scaling {
    switch name {
    case "default": return .none
    case "linear": return .linear(factor: try positive(prefix + "factor"))
    case "llama3":
      return .llama3(
        factor: try positive(prefix + "factor"),
        lowFrequencyFactor: try positive(prefix + "low_freq_factor"),
        highFrequencyFactor: try positive(prefix + "high_freq_factor"),
        originalContextLength: try integer(
          prefix + "original_max_position_embeddings", in: 1...Int(Int32.max)))
    default: throw unsupportedScaling(name, key: prefix + "rope_type")
    }
  }

  private func unsupportedScaling(_ name: String, key: String) -> CheckpointError {
    CheckpointError(
      .unsupported, file: Fields(source).file, place: .key(key),
      "names a position scaling that Hearth does not have", expected: "default, linear or llama3",
      found: printable(name), advice: "Use another model")
  }

  private func positive(_ key: String) throws(CheckpointError) -> Double {
    guard let value = try positiveIfPresent(key) else { throw Fields(source).missing(key) }
    return value
  }

  /// The first of `keys` that is present.
  private func positiveIfPresent(_ keys: String...) throws(CheckpointError) -> Double? {
    for key in keys {
      guard let value = try realIfPresent(key) else { continue }
      guard value > 0 else {
        throw Fields(source).mismatch(key, "a number above 0", .real(value))
      }
      return value
    }
    return nil
  }

  /// The ids of the tokens that end an answer: of a GGUF file the end of sequence and end of turn;
  /// of a folder `eos_token_id` (one or a list) of `generation_config.json`, or else of
  /// `config.json`.
  ///
  /// Empty if the files name none.
  ///
  /// - Throws: `CheckpointError` if a value is neither an integer nor a list of them, or negative.
  public func stopTokenIds() throws(CheckpointError) -> [Int] {
    var ids: [Int] = []
    let key: String
    switch source {
    case .gguf:
      key = "tokenizer.ggml.eos_token_id"
      for name in [key, "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"] {
        ids += try integersIfPresent(name) ?? []
      }
    case .huggingFace(let folder):
      key = "eos_token_id"
      if let generationIds = try folder.generationStopIds() {
        ids = generationIds
      } else {
        ids = try integersIfPresent(key) ?? []
      }
    }
    if let bad = ids.first(where: { $0 < 0 || $0 > Int(Int32.max) }) {
      throw CheckpointError(
        .mismatch, file: path, place: .key(key), "is not a token id", expected: "0 or more",
        found: "\(bad)")
    }
    var seen: Set<Int> = []
    return ids.filter { seen.insert($0).inserted }
  }
}

extension HuggingFaceFolder {
  /// `eos_token_id` of `generation_config.json`, nil if it has none.
  func generationStopIds() throws(CheckpointError) -> [Int]? {
    switch generationValue("eos_token_id") {
    case nil, .null?: return nil
    case .integer(let id)?: return [id]
    case .array(let values)?:
      let ids = values.compactMap(\.integer)
      if ids.count == values.count { return ids }
    default: break
    }
    throw CheckpointError(
      .mismatch, file: joined(path, "generation_config.json"), place: .key("eos_token_id"),
      "has the wrong type", expected: "an integer or a list of integers",
      found: generationValue("eos_token_id")?.typeName)
  }
}
