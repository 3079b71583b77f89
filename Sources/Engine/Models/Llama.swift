/// Llama: pre-norm blocks with RMSNorm, rotary positions, grouped-query attention and SwiGLU.
///
/// Touvron et al., "LLaMA" (arXiv:2302.13971), section 2.2, and "Llama 2" (arXiv:2307.09288) for grouped queries; Llama 3's stretched RoPE. SmolLM2,
/// TinyLlama and many others are of this family. So is Mistral, Jiang et al., "Mistral 7B" (arXiv:2310.06825), as long as a sequence is
/// no longer than the window that attention slides over it.
struct Llama: Architecture {
  static let names = ["llama", "mistral"]

  struct Block {
    let attentionNorm, feedForwardNorm: RMSNorm
    let attention: AttentionMaps
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
    let attentionBias = try weights.bias("attention_bias")
    let feedForwardBias = try weights.bias("mlp_bias")
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
          attention: AttentionMaps(
            query: try weights.linear(
              name("attn_q", "self_attn.q_proj"), queries, c.width, bias: attentionBias, rotaryHeadCount: c.headCount),
            key: try weights.linear(
              name("attn_k", "self_attn.k_proj"), keys, c.width, bias: attentionBias,
              rotaryHeadCount: c.keyValueHeadCount, activations: .bits16),
            value: try weights.linear(
              name("attn_v", "self_attn.v_proj"), keys, c.width, bias: attentionBias, activations: .bits16),
            output: try weights.linear(
              name("attn_output", "self_attn.o_proj"), c.width, queries, bias: attentionBias)),
          gate: try weights.linear(name("ffn_gate", "mlp.gate_proj"), c.hiddenWidth, c.width, bias: feedForwardBias),
          up: try weights.linear(name("ffn_up", "mlp.up_proj"), c.hiddenWidth, c.width, bias: feedForwardBias),
          down: try weights.linear(
            name("ffn_down", "mlp.down_proj"), c.width, c.hiddenWidth, bias: feedForwardBias)))
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
      x = pass.attentionLayer(
        block.attention, attention, turnedBy: rope, normalisedBy: block.attentionNorm, x, layer: layer)
      if layer == blocks.count - 1 { x = pass.selectWanted(x, before: block.gate, block.up, block.down) }
      x = pass.feedForward(block.gate, block.up, block.down, normalisedBy: block.feedForwardNorm, x)
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
    try LlamaConfiguration.refuseOthers(weights)
    let longest = try weights.count("llama.context_length", "max_position_embeddings")
    // Up to its own length a sliding window hides nothing, so that far the family computes what the model does.
    contextLength = min(longest, try LlamaConfiguration.slidingWindow(weights) ?? longest)
    headCount = try weights.count("llama.attention.head_count", "num_attention_heads")
    keyValueHeadCount = try weights.count(
      "llama.attention.head_count_kv", "num_key_value_heads", default: headCount)
    headWidth = try weights.count(
      "llama.attention.key_length", "head_dim", default: headCount > 0 ? width / headCount : 0)
    normEpsilon = try weights.real(
      "llama.attention.layer_norm_rms_epsilon", "rms_norm_eps", default: weights.isGGUF ? 1e-5 : 1e-6)
    vocabularyCount = try weights.vocabularyCount("token_embd.weight", "model.embed_tokens.weight")
    guard keyValueHeadCount > 0, headCount % keyValueHeadCount == 0 else {
      throw weights.contradiction(
        "\(headCount) query heads for \(keyValueHeadCount) key heads", expected: "a multiple")
    }
    guard headWidth % 2 == 0 else {
      throw weights.contradiction("heads of width \(headWidth)", expected: "an even width, as RoPE turns pairs")
    }
    var frequencies = RoPE.frequencies(headWidth: headWidth, try weights.checkpoint.ropeSettings())
    // Llama 3's stretching comes in GGUF as the divisors themselves.
    if weights.isGGUF, let factors = try weights.vectorIfPresent("rope_freqs.weight", headWidth / 2) {
      frequencies = zip(frequencies, factors).map { $0 / $1 }
    }
    self.frequencies = frequencies
    try LlamaConfiguration.requireWholeHeads(weights, headWidth)
  }

  /// Refuses what relatives that go by the same name compute otherwise.
  private static func refuseOthers(_ weights: WeightLoader) throws(CheckpointError) {
    guard weights.isGGUF else {
      try weights.require("hidden_act", oneOf: ["silu", "swish"])
      return try weights.require("layer_types", onlyOf: "full_attention")
    }
    // Mixtral, and Granite's scales.
    try weights.require("llama.expert_count", 0)
    for scale in ["embedding_scale", "residual_scale", "logit_scale", "attention.scale"] {
      try weights.require("llama.\(scale)", scale == "attention.scale" ? 0 : 1)
    }
    try weights.require("llama.use_parallel_residual", false)
  }

  /// Refuses heads of which only a part is turned, or whose values have another width.
  private static func requireWholeHeads(_ weights: WeightLoader, _ headWidth: Int) throws(CheckpointError) {
    if weights.isGGUF {
      try weights.require("llama.rope.dimension_count", Double(headWidth))
      try weights.require("llama.attention.value_length", Double(headWidth))
    } else {
      for key in ["partial_rotary_factor", "rope_parameters.partial_rotary_factor"] { try weights.require(key, 1) }
    }
  }

  /// How far attention looks back; nil is all the way.
  private static func slidingWindow(_ weights: WeightLoader) throws(CheckpointError) -> Int? {
    switch weights.checkpoint.source {
    case .gguf:
      let window = try weights.checkpoint.integerIfPresent("llama.attention.sliding_window")
      return window.flatMap { $0 > 0 ? $0 : nil }
    case .huggingFace(let folder):
      guard folder.value("model_type") == .string("mistral") else { return nil }
      switch folder.value("sliding_window") {
      case .null?: return nil
      // What transformers takes where nothing is said.
      case nil: return 4096
      default: return try weights.count("", "sliding_window")
      }
    }
  }
}
