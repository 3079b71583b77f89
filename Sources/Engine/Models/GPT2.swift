/// GPT-2: pre-norm blocks with LayerNorm, learned positions, biases everywhere and GELU.
///
/// Radford et al., "Language Models are Unsupervised Multitask Learners" (2019), section 2.3. In Hugging Face folders the
/// weights of linear maps are stored `[inputs, outputs]` (Conv1D).
struct GPT2: Architecture {
  static let names = ["gpt2"]

  struct Block {
    let attentionNorm, feedForwardNorm: LayerNorm
    let queryKeyValue, output: Linear
    let up, down: Linear
  }

  let shape: ModelShape
  let embedding, positions: Parameter
  let blocks: [Block]
  let norm: LayerNorm
  let head: Linear

  init(_ weights: WeightLoader) throws(CheckpointError) {
    let layerCount = try weights.count("gpt2.block_count", "n_layer")
    let width = try weights.count("gpt2.embedding_length", "n_embd")
    let hiddenWidth = try weights.count("gpt2.feed_forward_length", "n_inner", default: 4 * width)
    let headCount = try weights.count("gpt2.attention.head_count", "n_head")
    let contextLength = try weights.count("gpt2.context_length", "n_positions")
    let epsilon = try weights.real("gpt2.attention.layer_norm_epsilon", "layer_norm_epsilon", default: 1e-5)
    if !weights.isGGUF {
      // Two names of GELU by tanh.
      try weights.require("activation_function", oneOf: ["gelu_new", "gelu_pytorch_tanh"])
      try weights.require("scale_attn_weights", true)
      try weights.require("scale_attn_by_inverse_layer_idx", false)
      try weights.require("add_cross_attention", false)
    }
    guard headCount > 0, width % headCount == 0 else {
      throw weights.contradiction("\(headCount) heads for a width of \(width)", expected: "a divisor")
    }
    // The first GPT-2 folders were saved without the prefix.
    let prefix = weights.hasTensor("wte.weight") ? "" : "transformer."
    let vocabularyCount = try weights.vocabularyCount("token_embd.weight", prefix + "wte.weight")

    embedding = try weights.matrix("token_embd.weight", prefix + "wte.weight", vocabularyCount, width)
    positions = try weights.matrix("position_embd.weight", prefix + "wpe.weight", contextLength, width)
    var blocks: [Block] = []
    for i in 0..<layerCount {
      func name(_ gguf: String, _ huggingFace: String) -> ParameterName {
        ParameterName(gguf: "blk.\(i).\(gguf)", huggingFace: "\(prefix)h.\(i).\(huggingFace)")
      }
      func linear(
        _ gguf: String, _ huggingFace: String, _ outputs: Int, _ inputs: Int,
        activations: ActivationPrecision = .bits8
      ) throws(CheckpointError) -> Linear {
        try weights.linear(
          name(gguf, huggingFace), outputs, inputs, bias: .required,
          isTransposed: !weights.isGGUF, activations: activations)
      }
      blocks.append(
        Block(
          attentionNorm: try weights.layerNorm(name("attn_norm", "ln_1"), width, epsilon),
          feedForwardNorm: try weights.layerNorm(name("ffn_norm", "ln_2"), width, epsilon),
          queryKeyValue: try linear("attn_qkv", "attn.c_attn", 3 * width, width, activations: .bits16),
          output: try linear("attn_output", "attn.c_proj", width, width),
          up: try linear("ffn_up", "mlp.c_fc", hiddenWidth, width),
          down: try linear("ffn_down", "mlp.c_proj", width, hiddenWidth)))
    }
    self.blocks = blocks
    norm = try weights.layerNorm(
      ParameterName(gguf: "output_norm", huggingFace: prefix + "ln_f"), width, epsilon)
    head = try weights.head("output.weight", "lm_head.weight", tiedTo: embedding, vocabularyCount, width)
    shape = ModelShape(
      layerCount: layerCount, width: width, headCount: headCount, keyValueHeadCount: headCount,
      headWidth: width / headCount, vocabularyCount: vocabularyCount, contextLength: contextLength)
  }

  func hiddenStates(_ tokens: [Int32], _ pass: Pass) -> Tensor {
    let attention = Attention(
      headCount: shape.headCount, keyValueHeadCount: shape.headCount, headWidth: shape.headWidth)
    var x = pass.add(pass.embed(tokens, embedding), pass.embed(pass.positions, positions))
    for (layer, block) in blocks.enumerated() {
      let h = pass.norm(x, block.attentionNorm)
      let qkv = pass.split(pass.apply(block.queryKeyValue, h), into: 3)
      let a = pass.attention(qkv[0], qkv[1], qkv[2], attention, layer: layer)
      x = pass.add(x, pass.apply(block.output, a))

      let f = pass.norm(x, block.feedForwardNorm)
      x = pass.add(x, pass.apply(block.down, pass.geluTanh(pass.apply(block.up, f))))
    }
    return pass.norm(x, norm)
  }
}
