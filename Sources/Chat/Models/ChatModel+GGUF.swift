public import Engine
internal import Foundation
public import Tokenizers

extension Tokenizer {
  /// The tokenizer in a GGUF file's metadata.
  ///
  /// - Throws: `CheckpointError` when the metadata is missing or of the wrong type, `TokenizerError` when it makes no tokenizer.
  public convenience init(gguf checkpoint: Checkpoint) throws {
    try self.init(gguf: GGUFVocabulary(checkpoint))
  }
}

extension GGUFVocabulary {
  /// What a GGUF file's metadata says, not yet checked.
  ///
  /// - Throws: `CheckpointError` when the metadata is missing or of the wrong type.
  init(_ checkpoint: Checkpoint) throws(CheckpointError) {
    func id(_ key: String) throws(CheckpointError) -> Int32? {
      guard let value = try checkpoint.integerIfPresent("tokenizer.ggml." + key) else { return nil }
      return Int32(exactly: value) ?? -1
    }
    self.init(
      model: try checkpoint.string("tokenizer.ggml.model"),
      pre: try checkpoint.stringIfPresent("tokenizer.ggml.pre"),
      tokens: try checkpoint.stringsIfPresent("tokenizer.ggml.tokens") ?? [],
      merges: try checkpoint.stringsIfPresent("tokenizer.ggml.merges") ?? [],
      scores: try checkpoint.realsIfPresent("tokenizer.ggml.scores")?.map { Float($0) },
      addSpacePrefix: try checkpoint.boolIfPresent("tokenizer.ggml.add_space_prefix"),
      tokenTypes: try checkpoint.integersIfPresent("tokenizer.ggml.token_type")?.map { Int32(clamping: $0) },
      beginningOfSequence: try id("bos_token_id"), endOfSequence: try id("eos_token_id"),
      padding: try id("padding_token_id"), unknown: try id("unknown_token_id"),
      addBeginningOfSequence: try checkpoint.boolIfPresent("tokenizer.ggml.add_bos_token"),
      addEndOfSequence: try checkpoint.boolIfPresent("tokenizer.ggml.add_eos_token"),
      endOfTurn: [try id("eot_token_id"), try id("eom_token_id")].compactMap { $0 })
  }
}

extension ChatModel {
  /// Loads a GGUF file with the tokenizer and template that it carries.
  ///
  /// - Parameter room: nil for a model whose weights stay in their file.
  static func load(
    gguf checkpoint: Checkpoint, name: String, precision: Precision, pool: WorkerPool, room: Room?
  ) throws -> ChatModel {
    try load(checkpoint, name: name, precision: precision, pool: pool, room: room) {
      let tokenizer = try Tokenizer(gguf: checkpoint)
      let special = tokenizer.specialTokens
      let template = try checkpoint.stringIfPresent("tokenizer.chat_template").map { source in
        try ChatTemplate(
          source, bosToken: special.beginningOfSequence.flatMap { tokenizer.spelling(of: $0) },
          eosToken: special.endOfSequence.flatMap { tokenizer.spelling(of: $0) })
      }
      return (tokenizer, template)
    }
  }
}
