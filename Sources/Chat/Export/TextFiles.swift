internal import Engine
internal import Foundation
internal import Tokenizers

/// A model's text layer in the other format's files.
enum TextFiles {
  // MARK: From a folder to GGUF

  /// `tokenizer.*` of a GGUF file.
  static func metadata(of folder: URL, rows: Int) throws -> Metadata {
    let vocabulary = try GGUFVocabulary(folder: folder, count: rows)
    var metadata = Metadata()
    metadata["tokenizer.ggml.model"] = .string(vocabulary.model)
    metadata["tokenizer.ggml.pre"] = vocabulary.pre.map { .string($0) }
    metadata["tokenizer.ggml.tokens"] = .array(.string(vocabulary.tokens))
    metadata["tokenizer.ggml.token_type"] = vocabulary.tokenTypes.map { .array(.int32($0)) }
    if let scores = vocabulary.scores {
      metadata["tokenizer.ggml.scores"] = .array(.float32(scores))
      metadata["tokenizer.ggml.add_space_prefix"] = vocabulary.addSpacePrefix.map { .bool($0) }
    } else {
      metadata["tokenizer.ggml.merges"] = .array(.string(vocabulary.merges))
    }
    let ids: [(String, Int32?)] = [
      ("bos_token_id", vocabulary.beginningOfSequence), ("eos_token_id", vocabulary.endOfSequence),
      ("eot_token_id", vocabulary.endOfTurn.first), ("eom_token_id", vocabulary.endOfTurn.dropFirst().first),
      ("padding_token_id", vocabulary.padding), ("unknown_token_id", vocabulary.unknown),
    ]
    for case (let key, let id?) in ids { metadata["tokenizer.ggml." + key] = .uint32(UInt32(clamping: id)) }
    metadata["tokenizer.ggml.add_bos_token"] = vocabulary.addBeginningOfSequence.map { .bool($0) }
    metadata["tokenizer.ggml.add_eos_token"] = vocabulary.addEndOfSequence.map { .bool($0) }
    let templates = try TokenizerConfiguration(folder: folder).chatTemplates
    metadata["tokenizer.chat_template"] = templates.first.map { .string($0.source) }
    return metadata
  }

  // MARK: From GGUF to a folder

  /// Writes `tokenizer.json` and `tokenizer_config.json`.
  static func write(_ vocabulary: GGUFVocabulary, template: String?, contextLength: Int, to folder: String) throws {
    try AtomicFile.write(try vocabulary.tokenizerJSON(), to: folder + "/tokenizer.json")
    func token(_ id: Int32?) -> JSONValue {
      id.map { .string(vocabulary.tokens[Int($0)]) } ?? .null
    }
    // Of SentencePiece's vocabularies tokenizer.json alone says it.
    var members: [(String, JSONValue)] = vocabulary.model == "llama" ? [] : [("add_prefix_space", .bool(false))]
    members += [
      ("added_tokens_decoder", .object(addedTokens(vocabulary))),
      ("bos_token", token(vocabulary.beginningOfSequence)),
    ]
    if let template { members.append(("chat_template", .string(template))) }
    members += [
      ("clean_up_tokenization_spaces", .bool(false)),
      ("eos_token", token(vocabulary.endOfSequence)),
      ("model_max_length", .integer(contextLength)),
      ("pad_token", token(vocabulary.padding)),
      // The class that takes tokenizer.json as it is; those named after a family rebuild it in their own way.
      ("tokenizer_class", .string("PreTrainedTokenizerFast")),
      ("unk_token", token(vocabulary.unknown)),
    ]
    try AtomicFile.write(
      JSONText.pretty(.object(JSONObject(members))), to: folder + "/tokenizer_config.json")
  }

  private static func addedTokens(_ vocabulary: GGUFVocabulary) -> JSONObject {
    JSONObject(
      vocabulary.addedIDs.map { id in
        let flags: [(String, JSONValue)] = [
          ("content", .string(vocabulary.tokens[id])), ("lstrip", .bool(false)), ("normalized", .bool(false)),
          ("rstrip", .bool(false)), ("single_word", .bool(false)), ("special", .bool(vocabulary.isSpecial(id))),
        ]
        return ("\(id)", .object(JSONObject(flags)))
      })
  }

  /// `bos_token_id`, `eos_token_id` and `pad_token_id`, for `config.json`.
  static func configTokens(_ vocabulary: GGUFVocabulary) -> [(String, JSONValue)] {
    let ids: [(String, Int32?)] = [
      ("bos_token_id", vocabulary.beginningOfSequence), ("eos_token_id", vocabulary.endOfSequence),
      ("pad_token_id", vocabulary.padding),
    ]
    return ids.map { ($0.0, $0.1.map { .integer(Int($0)) } ?? .null) }
  }

  /// Writes `generation_config.json`: where answers end.
  static func writeGeneration(_ vocabulary: GGUFVocabulary, ends: Set<Int32>, to folder: String) throws {
    let all = ends.sorted().map { JSONValue.integer(Int($0)) }
    let members = configTokens(vocabulary).map { name, value in
      (name, name == "eos_token_id" && all.count > 1 ? JSONValue.array(all) : value)
    }
    try AtomicFile.write(
      JSONText.pretty(.object(JSONObject(members))), to: folder + "/generation_config.json")
  }

  /// What a folder's text layer may consist of, taken over as it is.
  static let names = [
    "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json", "vocab.json", "merges.txt", "chat_template.jinja", "chat_template.json", "LICENSE",
  ]

  /// Copies the files of a folder that are there.
  static func copy(from source: String, to target: String) throws {
    for name in names {
      guard let data = FileManager.default.contents(atPath: source + "/" + name) else { continue }
      try AtomicFile.write(Array(data), to: target + "/" + name)
    }
  }
}
