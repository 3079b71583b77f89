internal import Engine

/// Random values of a sensible size, and the list of tensors they become.
private struct TensorList {
  var random: SplitMix64
  private(set) var tensors: [TinyModel.Tensor] = []

  init(seed: UInt64) { random = SplitMix64(seed: seed) }

  private mutating func values(_ count: Int, around mean: Float, within bound: Float) -> [Float] {
    (0..<count).map { _ in mean + Float(2 * random.nextUnit() - 1) * bound }
  }

  /// Outputs as large as the inputs.
  mutating func matrix(
    _ gguf: String, _ huggingFace: String, _ rows: Int, _ columns: Int, rotaryHeadCount: Int = 0,
    isTransposedInFolders: Bool = false
  ) {
    let bound = (3 / Float(columns)).squareRoot()
    tensors.append(
      TinyModel.Tensor(
        gguf: gguf, huggingFace: huggingFace, shape: [rows, columns],
        values: values(rows * columns, around: 0, within: bound), rotaryHeadCount: rotaryHeadCount,
        isTransposedInFolders: isTransposedInFolders))
  }

  mutating func table(_ gguf: String, _ huggingFace: String, _ rows: Int, _ columns: Int) {
    tensors.append(
      TinyModel.Tensor(
        gguf: gguf, huggingFace: huggingFace, shape: [rows, columns],
        values: values(rows * columns, around: 0, within: 0.5)))
  }

  mutating func gain(_ gguf: String, _ huggingFace: String, _ width: Int) {
    tensors.append(
      TinyModel.Tensor(
        gguf: gguf, huggingFace: huggingFace, shape: [width], values: values(width, around: 1, within: 0.3)))
  }

  mutating func bias(_ gguf: String, _ huggingFace: String, _ width: Int, rotaryHeadCount: Int = 0) {
    tensors.append(
      TinyModel.Tensor(
        gguf: gguf, huggingFace: huggingFace, shape: [width], values: values(width, around: 0, within: 0.3),
        rotaryHeadCount: rotaryHeadCount))
  }

  mutating func constant(gguf: String, _ values: [Float]) {
    tensors.append(TinyModel.Tensor(gguf: gguf, huggingFace: nil, shape: [values.count], values: values))
  }
}

extension TinyModel {
  /// How a Llama's RoPE is stretched.
  public enum RoPEScaling: Sendable {
    case none
    case linear(Float)
    /// With Llama 3's own factors 1 and 4 for long and short waves.
    case llama3(factor: Float, originalContext: Float)
  }

  /// The sizes of a tiny model; what a family has no use for is ignored.
  public struct Sizes: Sendable {
    public var layers = 2
    public var width = 32
    public var hiddenWidth = 48
    public var heads = 4
    public var keyValueHeads = 2
    /// nil is width / heads.
    public var headWidth: Int?
    public var vocabulary = 61
    public var context = 96

    /// Sizes; without changes, two layers of width 32.
    public init(_ change: (inout Sizes) -> Void = { _ in }) { change(&self) }
  }

  /// A model of the Llama family.
  public static func llama(
    _ name: String, _ sizes: Sizes = Sizes(), isTied: Bool = true, hasBiases: Bool = false,
    scaling: RoPEScaling = .none, seed: UInt64 = 1
  ) -> TinyModel {
    let (width, headWidth) = (sizes.width, sizes.headWidth ?? sizes.width / sizes.heads)
    let base: Float = 500
    var list = TensorList(seed: seed)
    list.table("token_embd.weight", "model.embed_tokens.weight", sizes.vocabulary, width)
    for i in 0..<sizes.layers {
      let (g, h) = ("blk.\(i).", "model.layers.\(i).")
      func linear(_ gguf: String, _ huggingFace: String, _ outputs: Int, _ inputs: Int, rotary: Int = 0) {
        list.matrix(
          g + gguf + ".weight", h + huggingFace + ".weight", outputs, inputs, rotaryHeadCount: rotary)
        if hasBiases {
          list.bias(g + gguf + ".bias", h + huggingFace + ".bias", outputs, rotaryHeadCount: rotary)
        }
      }
      list.gain(g + "attn_norm.weight", h + "input_layernorm.weight", width)
      list.gain(g + "ffn_norm.weight", h + "post_attention_layernorm.weight", width)
      linear("attn_q", "self_attn.q_proj", sizes.heads * headWidth, width, rotary: sizes.heads)
      linear("attn_k", "self_attn.k_proj", sizes.keyValueHeads * headWidth, width, rotary: sizes.keyValueHeads)
      linear("attn_v", "self_attn.v_proj", sizes.keyValueHeads * headWidth, width)
      linear("attn_output", "self_attn.o_proj", width, sizes.heads * headWidth)
      linear("ffn_gate", "mlp.gate_proj", sizes.hiddenWidth, width)
      linear("ffn_up", "mlp.up_proj", sizes.hiddenWidth, width)
      linear("ffn_down", "mlp.down_proj", width, sizes.hiddenWidth)
    }
    list.gain("output_norm.weight", "model.norm.weight", width)
    if !isTied { list.table("output.weight", "lm_head.weight", sizes.vocabulary, width) }

    var configuration = [
      "num_hidden_layers": "\(sizes.layers)", "hidden_size": "\(width)", "rope_theta": "\(base)",
      "intermediate_size": "\(sizes.hiddenWidth)", "max_position_embeddings": "\(sizes.context)",
      "num_attention_heads": "\(sizes.heads)", "num_key_value_heads": "\(sizes.keyValueHeads)",
      "head_dim": "\(headWidth)", "rms_norm_eps": "1e-5", "tie_word_embeddings": "\(isTied)",
      "vocab_size": "\(sizes.vocabulary)",
    ]
    var metadata: [String: MetadataValue] = [
      "llama.block_count": .uint32(UInt32(sizes.layers)), "llama.embedding_length": .uint32(UInt32(width)),
      "llama.feed_forward_length": .uint32(UInt32(sizes.hiddenWidth)),
      "llama.context_length": .uint32(UInt32(sizes.context)),
      "llama.attention.head_count": .uint32(UInt32(sizes.heads)),
      "llama.attention.head_count_kv": .uint32(UInt32(sizes.keyValueHeads)),
      "llama.attention.key_length": .uint32(UInt32(headWidth)),
      "llama.attention.layer_norm_rms_epsilon": .float32(1e-5), "llama.rope.freq_base": .float32(base),
    ]
    switch scaling {
    case .none: break
    case .linear(let factor):
      configuration["rope_scaling"] = #"{"rope_type": "linear", "factor": \#(factor)}"#
      metadata["llama.rope.scaling.type"] = .string("linear")
      metadata["llama.rope.scaling.factor"] = .float32(factor)
    case .llama3(let factor, let original):
      configuration["rope_scaling"] = """
        {"rope_type": "llama3", "factor": \(factor), "low_freq_factor": 1, "high_freq_factor": 4,
         "original_max_position_embeddings": \(original)}
        """
      list.constant(
        gguf: "rope_freqs.weight", llama3Divisors(headWidth, base: base, factor: factor, original: original))
    }
    return TinyModel(
      name: name, architecture: "llama", configuration: configuration, metadata: metadata, tensors: list.tensors)
  }

  /// A model of the GPT-2 family.
  public static func gpt2(
    _ name: String, _ sizes: Sizes = Sizes(), isTied: Bool = true, seed: UInt64 = 1
  ) -> TinyModel {
    let width = sizes.width
    var list = TensorList(seed: seed)
    list.table("token_embd.weight", "transformer.wte.weight", sizes.vocabulary, width)
    list.table("position_embd.weight", "transformer.wpe.weight", sizes.context, width)
    for i in 0..<sizes.layers {
      let (g, h) = ("blk.\(i).", "transformer.h.\(i).")
      func linear(_ gguf: String, _ huggingFace: String, _ outputs: Int, _ inputs: Int) {
        list.matrix(
          g + gguf + ".weight", h + huggingFace + ".weight", outputs, inputs, isTransposedInFolders: true)
        list.bias(g + gguf + ".bias", h + huggingFace + ".bias", outputs)
      }
      for (gguf, huggingFace) in [("attn_norm", "ln_1"), ("ffn_norm", "ln_2")] {
        list.gain(g + gguf + ".weight", h + huggingFace + ".weight", width)
        list.bias(g + gguf + ".bias", h + huggingFace + ".bias", width)
      }
      linear("attn_qkv", "attn.c_attn", 3 * width, width)
      linear("attn_output", "attn.c_proj", width, width)
      linear("ffn_up", "mlp.c_fc", sizes.hiddenWidth, width)
      linear("ffn_down", "mlp.c_proj", width, sizes.hiddenWidth)
    }
    list.gain("output_norm.weight", "transformer.ln_f.weight", width)
    list.bias("output_norm.bias", "transformer.ln_f.bias", width)
    if !isTied { list.table("output.weight", "lm_head.weight", sizes.vocabulary, width) }
    return TinyModel(
      name: name, architecture: "gpt2",
      configuration: [
        "n_layer": "\(sizes.layers)", "n_embd": "\(width)", "n_inner": "\(sizes.hiddenWidth)",
        "n_head": "\(sizes.heads)", "n_positions": "\(sizes.context)", "vocab_size": "\(sizes.vocabulary)",
        "layer_norm_epsilon": "1e-5", "activation_function": "\"gelu_new\"", "tie_word_embeddings": "\(isTied)",
      ],
      metadata: [
        "gpt2.block_count": .uint32(UInt32(sizes.layers)), "gpt2.embedding_length": .uint32(UInt32(width)),
        "gpt2.feed_forward_length": .uint32(UInt32(sizes.hiddenWidth)),
        "gpt2.attention.head_count": .uint32(UInt32(sizes.heads)),
        "gpt2.context_length": .uint32(UInt32(sizes.context)),
        "gpt2.attention.layer_norm_epsilon": .float32(1e-5),
      ], tensors: list.tensors)
  }

  /// What Llama 3 divides RoPE's frequencies by, as llama.cpp's converter writes it into `rope_freqs.weight`.
  private static func llama3Divisors(
    _ headWidth: Int, base: Float, factor: Float, original: Float
  ) -> [Float] {
    RotaryWaves.lengths(headWidth: headWidth, base: base).map { wave in
      let turns = original / wave
      if turns < 1 { return factor }
      if turns > 4 { return 1 }
      let smooth = (turns - 1) / 3
      return 1 / ((1 - smooth) / factor + smooth)
    }
  }
}
