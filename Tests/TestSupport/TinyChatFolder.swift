internal import Engine
public import Foundation

/// A Hugging Face folder with a model that talks nonsense: random weights, a real tokenizer, ChatML.
public enum TinyChatFolder {
  /// Longest sequence of the model, in tokens.
  public static let contextLength = 128

  /// Writes the folder under a new name in the temporary folder; whoever asked removes it.
  public static func make() throws -> URL {
    let folder = FileManager.default.temporaryDirectory.appending(path: "tiny-chat-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    try FileManager.default.copyItem(
      atPath: Fixtures.path("tokenizers/smollm.json"), toPath: folder.appending(path: "tokenizer.json").path)
    try write(
      [
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "hidden_size": hiddenWidth,
        "intermediate_size": feedForwardWidth, "max_position_embeddings": contextLength, "num_attention_heads": 4,
        "num_hidden_layers": 1, "num_key_value_heads": 2, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "tie_word_embeddings": true, "vocab_size": vocabularyCount, "eos_token_id": 2,
      ], to: folder.appending(path: "config.json"))
    try write(
      [
        "bos_token": "<|im_start|>", "eos_token": "<|im_end|>",
        "chat_template": "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}"
          + "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
      ], to: folder.appending(path: "tokenizer_config.json"))
    var writer = SafetensorsWriter()
    var state: UInt64 = 1
    func add(_ name: String, _ shape: Int..., one: Bool = false) {
      let values = (0..<shape.reduce(1, *)).map { _ -> Float in
        // Knuth's linear congruential generator; its high bits are random enough for weights.
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return one ? 1 : Float(Int64(bitPattern: state) >> 40) / Float(1 << 23) * 0.5
      }
      writer.add(OutgoingTensor(name: name, values: values, shape: shape))
    }
    add("model.embed_tokens.weight", vocabularyCount, hiddenWidth)
    add("model.norm.weight", hiddenWidth, one: true)
    let layer = "model.layers.0."
    add(layer + "input_layernorm.weight", hiddenWidth, one: true)
    add(layer + "post_attention_layernorm.weight", hiddenWidth, one: true)
    add(layer + "self_attn.q_proj.weight", hiddenWidth, hiddenWidth)
    add(layer + "self_attn.k_proj.weight", hiddenWidth / 2, hiddenWidth)
    add(layer + "self_attn.v_proj.weight", hiddenWidth / 2, hiddenWidth)
    add(layer + "self_attn.o_proj.weight", hiddenWidth, hiddenWidth)
    add(layer + "mlp.gate_proj.weight", feedForwardWidth, hiddenWidth)
    add(layer + "mlp.up_proj.weight", feedForwardWidth, hiddenWidth)
    add(layer + "mlp.down_proj.weight", hiddenWidth, feedForwardWidth)
    try writer.write(to: folder.appending(path: "model.safetensors").path)
    return folder
  }

  private static let hiddenWidth = 32
  private static let feedForwardWidth = 64
  /// Of the tokenizer.
  private static let vocabularyCount = 384

  private static func write(_ object: [String: Any], to file: URL) throws {
    try JSONSerialization.data(withJSONObject: object).write(to: file)
  }
}
