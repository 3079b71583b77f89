/// Llama: pre-norm blocks with RMSNorm, rotary positions, grouped-query attention and SwiGLU.
///
/// Touvron et al., "LLaMA" (arXiv:2302.13971), section 2.2, and "Llama 2" (arXiv:2307.09288) for grouped queries; Llama 3's stretched RoPE. SmolLM2,
/// TinyLlama and many others are of this family.
struct Llama: Architecture {
  static let names = ["llama"]

  struct Block {
    let attentionNorm, feedForwardNorm: RMSNorm
    let query, key, value, output: Linear
    let gate, up, down: Linear
  }

  let shape: ModelShape
  let embedding: Parameter
  let blocks: [Block]
  let norm: RMSNorm
  let rope: RoPE
  let head: Linear

  init(_ weights: WeightLoader) throws(CheckpointError) {
    let c = try LlamaConfiguration(weights)
    let (queries, keys) = (c.headCount * c.headWidth, c.keyValueHeadCount * c.headWidth)
    embedding = try weights.matrix("token_embd.weight", "model.embed_tokens.weight", c.vocabularyCount, c.width)
    var blocks: [Block] = []
    for i in 0..<c.layerCount {
      func name(_ gguf: String, _ huggingFace: String) -> ParameterName {
        ParameterName(gguf: "blk.\(i).\(gguf)", huggingFace: "model.layers.\(i).\(huggingFace)")
      }
      blocks.append(
        Block(
          attentionNorm: try weights.rmsNorm(name("attn_norm", "input_layernorm"), c.width, c.normEpsilon),
          feedForwardNorm: try weights.rmsNorm(
            name("ffn_norm", "post_attention_layernorm"), c.width, c.normEpsilon),
          query: try weights.linear(
            name("attn_q", "self_attn.q_proj"), queries, c.width, rotaryHeadCount: c.headCount),
          key: try weights.linear(
            name("attn_k", "self_attn.k_proj"), keys, c.width, rotaryHeadCount: c.keyValueHeadCount,
            activations: .bits16),
          value: try weights.linear(
            name("attn_v", "self_attn.v_proj"), keys, c.width, activations: .bits16),
          output: try weights.linear(name("attn_output", "self_attn.o_proj"), c.width, queries),
          gate: try weights.linear(name("ffn_gate", "mlp.gate_proj"), c.hiddenWidth, c.width),
          up: try weights.linear(name("ffn_up", "mlp.up_proj"), c.hiddenWidth, c.width),
          down: try weights.linear(name("ffn_down", "mlp.down_proj"), c.width, c.hiddenWidth)))
    }
    self.blocks = blocks
    norm = try weights.rmsNorm(
      ParameterName(gguf: "output_norm", huggingFace: "model.norm"), c.width, c.normEpsilon)
    head = try weights.head("output.weight", "lm_head.weight", tiedTo: embedding, c.vocabularyCount, c.width)
    rope = RoPE(
      headWidth: c.headWidth, pairing: weights.isGGUF ? .neighbours : .halves,
      frequencies: c.frequencies)
    shape = c.shape
  }

  func hiddenStates(_ tokens: [Int32], _ pass: Pass) -> Tensor {
    let attention = Attention(
      headCount: shape.headCount, keyValueHeadCount: shape.keyValueHeadCount, headWidth: shape.headWidth)
    var x = pass.embed(tokens, embedding)  // [tokens, width]
    for (layer, block) in blocks.enumerated() {
      let qkv = pass.apply([block.query, block.key, block.value], to: x, normalisedBy: block.attentionNorm)
      let (q, k) = (pass.rope(qkv[0], rope), pass.rope(qkv[1], rope))
      let a = pass.attention(q, k, qkv[2], attention, layer: layer)
      x = pass.apply(block.output, to: a, addedTo: x)

      let gateUp = pass.apply([block.gate, block.up], to: x, normalisedBy: block.feedForwardNorm)
      x = pass.apply(block.down, toSwiGLUOf: gateUp[0], gateUp[1], addedTo: x)
    }
    return pass.norm(x, norm)
  }
}

/// A Llama checkpoint's configuration, from GGUF metadata or `config.json`.
struct LlamaConfiguration {
  let layerCount, width, hiddenWidth, vocabularyCount, contextLength: Int
  let headCount, keyValueHeadCount, headWidth: Int
  let normEpsilon: Float
  /// RoPE's angles per position, `[headWidth / 2]`.
  let frequencies: [Float]

  var shape: ModelShape {
    ModelShape(
      layerCount: layerCount, width: width, headCount: headCount, keyValueHeadCount: keyValueHeadCount,
      headWidth: headWidth, vocabularyCount: vocabularyCount, contextLength: contextLength)
  }

  init(_ weights: WeightLoader) throws(CheckpointError) {
    layerCount = try weights.count("llama.block_count", "num_hidden_layers")
    width = try weights.count("llama.embedding_length", "hidden_size")
    hiddenWidth = try weights.count("llama.feed_forward_length", "intermediate_size")
    contextLength = try weights.count("llama.context_length", "max_position_embeddings")
    headCount = try weights.count("llama.attention.head_count", "num_attention_heads")
    keyValueHeadCount = try weights.count(
      "llama.attention.head_count_kv", "num_key_value_heads", default: headCount)
    headWidth = try weights.count(
      "llama.attention.key_length", "head_dim", default: headCount > 0 ? width / headCount : 0)
    normEpsilon = try weights.real("llama.attention.layer_norm_rms_epsilon", "rms_norm_eps", default: 1e-5)
    vocabularyCount = try weights.vocabularyCount("token_embd.weight", "model.embed_tokens.weight")
    guard keyValueHeadCount > 0, headCount % keyValueHeadCount == 0 else {
      throw weights.contradiction(
        "\(headCount) query heads for \(keyValueHeadCount) key heads", expected: "a multiple")
    }
    guard headWidth % 2 == 0 else {
      throw weights.contradiction("heads of width \(headWidth)", expected: "an even width, as RoPE turns pairs")
    }
    frequencies = try LlamaConfiguration.frequencies(weights, headWidth: headWidth)
  }

  /// RoPE's angles with the checkpoint's scaling, whichever way it is spelled.
  private static func frequencies(
    _ weights: WeightLoader, headWidth: Int
  ) throws(CheckpointError) -> [Float] {
    if weights.isGGUF {
      let base = try weights.real("llama.rope.freq_base", "", default: 10_000)
      var frequencies = RoPE.frequencies(headWidth: headWidth, base: base)
      // Llama 3's stretching comes as the divisors themselves.
      if let factors = try weights.vectorIfPresent("rope_freqs.weight", headWidth / 2) {
        frequencies = zip(frequencies, factors).map { $0 / $1 }
      }
      switch try weights.string("llama.rope.scaling.type", "", default: "none") {
      case "none": return frequencies
      case "linear":
        let factor = try weights.real("llama.rope.scaling.factor", "", default: 1)
        return frequencies.map { $0 / factor }
      case let other:
        throw weights.contradiction("RoPE scaling \(other)", expected: "none, linear or llama3")
      }
    }
    // transformers 5 writes `rope_parameters`; older folders `rope_theta` and `rope_scaling`.
    let scaling = weights.checkpoint.contains("rope_parameters") ? "rope_parameters" : "rope_scaling"
    let base = try weights.real(
      "", "rope_parameters.rope_theta", default: try weights.real("", "rope_theta", default: 10_000))
    let frequencies = RoPE.frequencies(headWidth: headWidth, base: base)
    let kind = try weights.string(
      "", "\(scaling).rope_type", default: try weights.string("", "\(scaling).type", default: "default"))
    switch kind {
    case "default": return frequencies
    case "linear":
      let factor = try weights.real("", "\(scaling).factor")
      return frequencies.map { $0 / factor }
    case "llama3":
      return RoPE.llama3(
        frequencies, factor: try weights.real("", "\(scaling).factor"),
        lowFrequencyFactor: try weights.real("", "\(scaling).low_freq_factor"),
        highFrequencyFactor: try weights.real("", "\(scaling).high_freq_factor"),
        originalContext: try weights.real("", "\(scaling).original_max_position_embeddings"))
    default:
      throw weights.contradiction("RoPE scaling \(kind)", expected: "default, linear or llama3")
    }
  }
}
