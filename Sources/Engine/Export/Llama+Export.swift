extension Llama: ExportedFamily {
  var isConv1D: Bool { false }

  func ggufSettings(of model: LanguageModel) throws(CheckpointError) -> Metadata {
    let rope = try model.checkpoint.ropeSettings()
    var metadata = Metadata()
    metadata["llama.block_count"] = .count(shape.layerCount)
    metadata["llama.context_length"] = .count(shape.contextLength)
    metadata["llama.embedding_length"] = .count(shape.width)
    metadata["llama.feed_forward_length"] = .count(model.feedForwardWidth)
    metadata["llama.attention.head_count"] = .count(shape.headCount)
    metadata["llama.attention.head_count_kv"] = .count(shape.keyValueHeadCount)
    metadata["llama.attention.key_length"] = .count(shape.headWidth)
    metadata["llama.attention.value_length"] = .count(shape.headWidth)
    metadata["llama.attention.layer_norm_rms_epsilon"] = .float32(norm.epsilon)
    metadata["llama.rope.dimension_count"] = .count(shape.headWidth)
    metadata["llama.rope.freq_base"] = .float32(Float(rope.base))
    metadata["llama.vocab_size"] = .count(shape.vocabularyCount)
    if case .linear(let factor) = rope.scaling {
      metadata["llama.rope.scaling.type"] = .string("linear")
      metadata["llama.rope.scaling.factor"] = .float32(Float(factor))
    }
    return metadata
  }

  func ggufExtras(of model: LanguageModel) throws(CheckpointError) -> [OutgoingTensor] {
    let rope = try model.checkpoint.ropeSettings()
    guard let divisors = Llama.divisors(rope, headWidth: shape.headWidth) else { return [] }
    return [OutgoingTensor(name: "rope_freqs.weight", values: divisors, shape: [divisors.count])]
  }

  func huggingFaceSettings(of model: LanguageModel) throws(CheckpointError) -> JSONObject {
    let hasAttentionBias = blocks.contains { $0.attention.query.bias != nil }
    let hasFeedForwardBias = blocks.contains { $0.up.bias != nil }
    let rope = try ropeFromGGUF(model.checkpoint)
    let parameters = JSONObject([("rope_theta", .real(rope.base))] + Llama.scalingMembers(rope.scaling))
    let scaling: JSONValue = rope.scaling == .none ? .null : .object(JSONObject(Llama.scalingMembers(rope.scaling)))
    return JSONObject([
      ("architectures", .array([.string("LlamaForCausalLM")])),
      ("attention_bias", .bool(hasAttentionBias)),
      ("attention_dropout", .real(0)),
      ("head_dim", .integer(shape.headWidth)),
      ("hidden_act", .string("silu")),
      ("hidden_size", .integer(shape.width)),
      ("initializer_range", .real(0.02)),
      ("intermediate_size", .integer(model.feedForwardWidth)),
      ("max_position_embeddings", .integer(shape.contextLength)),
      ("mlp_bias", .bool(hasFeedForwardBias)),
      ("model_type", .string("llama")),
      ("num_attention_heads", .integer(shape.headCount)),
      ("num_hidden_layers", .integer(shape.layerCount)),
      ("num_key_value_heads", .integer(shape.keyValueHeadCount)),
      ("rms_norm_eps", .short(norm.epsilon)),
      // transformers 5 reads the first, transformers 4 the other two.
      ("rope_parameters", .object(parameters)),
      ("rope_scaling", scaling),
      ("rope_theta", .real(rope.base)),
      ("tie_word_embeddings", .bool(model.isHeadTied)),
      ("use_cache", .bool(true)),
      ("vocab_size", .integer(shape.vocabularyCount)),
    ])
  }

  private static func scalingMembers(_ scaling: RoPESettings.Scaling) -> [(String, JSONValue)] {
    switch scaling {
    case .none: [("rope_type", .string("default"))]
    case .linear(let factor): [("factor", .real(factor)), ("rope_type", .string("linear"))]
    case .llama3(let factor, let low, let high, let original):
      [
        ("factor", .real(factor)), ("high_freq_factor", .real(high)), ("low_freq_factor", .real(low)),
        ("original_max_position_embeddings", .integer(original)), ("rope_type", .string("llama3")),
      ]
    }
  }

  // MARK: Llama 3's stretching

  /// What GGUF files divide each frequency by; nil when there is no such scaling.
  private static func divisors(_ rope: RoPESettings, headWidth: Int) -> [Float]? {
    guard case .llama3(let factor, let low, let high, let original) = rope.scaling else { return nil }
    let frequencies = RoPE.frequencies(headWidth: headWidth, base: Float(rope.base))
    let stretched = RoPE.llama3(
      frequencies, factor: Float(factor), lowFrequencyFactor: Float(low), highFrequencyFactor: Float(high),
      originalContext: Float(original))
    return zip(frequencies, stretched).map { $0 / $1 }
  }

  /// The settings behind a GGUF file's divisors: there, Llama 3's scaling is only its result.
  ///
  /// The longest wave is stretched by the whole factor; 1 and 4 are the bounds of every Llama 3 so far; the original context is searched
  /// among powers of two. What is found must give the divisors again.
  private func ropeFromGGUF(_ checkpoint: Checkpoint) throws(CheckpointError) -> RoPESettings {
    var rope = try checkpoint.ropeSettings()
    guard let tensor = try checkpoint.tensorIfPresent("rope_freqs.weight") else { return rope }
    let divisors = try tensor.float32Values()
    guard let factor = divisors.last, divisors.contains(where: { $0 != 1 }) else { return rope }
    for exponent in 4...20 {
      rope.scaling = .llama3(
        factor: Double(factor), lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContextLength: 1 << exponent)
      let found = Llama.divisors(rope, headWidth: shape.headWidth) ?? []
      if found.count == divisors.count, zip(found, divisors).allSatisfy({ abs($0 - $1) <= 1e-4 * $1 }) { return rope }
    }
    throw CheckpointError(
      .unsupported, file: checkpoint.path, place: .tensor("rope_freqs.weight"),
      "stretches positions in a way that config.json has no settings for",
      expected: "Llama 3's scaling by \(factor)", advice: "Export as gguf instead")
  }
}

extension JSONValue {
  /// A 32-bit number with no more digits than tell it from its neighbours: 1e-05, not 9.999999747378752e-06.
  static func short(_ value: Float) -> JSONValue { .real(Double("\(value)") ?? Double(value)) }
}
