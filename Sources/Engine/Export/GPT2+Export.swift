extension GPT2: ExportedFamily {
  var isConv1D: Bool { true }

  func ggufSettings(of model: LanguageModel) throws(CheckpointError) -> Metadata {
    var metadata = Metadata()
    metadata["gpt2.block_count"] = .count(shape.layerCount)
    metadata["gpt2.context_length"] = .count(shape.contextLength)
    metadata["gpt2.embedding_length"] = .count(shape.width)
    metadata["gpt2.feed_forward_length"] = .count(model.feedForwardWidth)
    metadata["gpt2.attention.head_count"] = .count(shape.headCount)
    metadata["gpt2.attention.layer_norm_epsilon"] = .float32(norm.epsilon)
    return metadata
  }

  func ggufExtras(of model: LanguageModel) -> [OutgoingTensor] { [] }

  func huggingFaceSettings(of model: LanguageModel) throws(CheckpointError) -> JSONObject {
    JSONObject([
      ("activation_function", .string("gelu_new")),
      ("architectures", .array([.string("GPT2LMHeadModel")])),
      ("attn_pdrop", .real(0)),
      ("embd_pdrop", .real(0)),
      ("initializer_range", .real(0.02)),
      ("layer_norm_epsilon", .short(norm.epsilon)),
      ("model_type", .string("gpt2")),
      ("n_embd", .integer(shape.width)),
      ("n_head", .integer(shape.headCount)),
      ("n_inner", .integer(model.feedForwardWidth)),
      ("n_layer", .integer(shape.layerCount)),
      ("n_positions", .integer(shape.contextLength)),
      ("resid_pdrop", .real(0)),
      ("tie_word_embeddings", .bool(model.isHeadTied)),
      ("use_cache", .bool(true)),
      ("vocab_size", .integer(shape.vocabularyCount)),
    ])
  }
}
