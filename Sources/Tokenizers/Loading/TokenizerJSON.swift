/// Reads Hugging Face's `tokenizer.json`: a BPE model, byte-level or SentencePiece's, and the steps around it.
///
/// A setting that is not understood is an error: passing over it would change the ids unnoticed.
struct TokenizerJSON {
  let root: JSONField

  /// - Throws: if `bytes` is not JSON or not an object.
  init(_ bytes: [UInt8], source: String) throws(TokenizerError) {
    root = JSONField(
      value: try JSONReader.read(bytes, source: source), source: source, place: "")
    // How texts are cut or filled up in batches (`truncation`, `padding`) is the caller's business.
    _ = try root.members(known: [
      "version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer",
      "post_processor", "decoder", "model",
    ])
  }

  /// The whole file.
  func definition() throws(TokenizerError) -> TokenizerDefinition {
    let model = try root.required("model")
    // Files of before 2020 give no type; they are told apart by their keys.
    let type = try model.optional("type")?.string() ?? "BPE"
    guard type == "BPE" else {
      throw try model.required("type").fault(
        "the model \(type) is not supported", advice: "Hearth reads BPE, byte-level or SentencePiece's")
    }
    var definition = TokenizerDefinition(source: root.source, vocabulary: [], steps: [])
    definition.isOfCharacters = try isOfCharacters(model)
    if definition.isOfCharacters {
      try readSpaces(into: &definition)
    } else {
      try checkDecoder()
      definition.steps = try preTokenizerSteps()
      definition.normalizer = try normalizer()
    }
    try readModel(model, into: &definition)
    definition.addedTokens = try addedTokens(definition)
    try readPostProcessor(into: &definition)
    return definition
  }

  // MARK: Model

  private func readModel(
    _ model: JSONField, into definition: inout TokenizerDefinition
  ) throws(TokenizerError) {
    _ = try model.members(known: [
      "type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix",
      "fuse_unk", "byte_fallback", "ignore_merges", "vocab", "merges",
    ])
    if let dropout = try model.optional("dropout") {
      switch dropout.value {
      case .integer(0): break
      case .real(let rate) where rate == 0: break
      default: throw dropout.fault("merge dropout is not supported", advice: "set it to null")
      }
    }
    for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
      if let affix = try model.optional(key), try affix.string() != "" {
        throw affix.fault("not supported")
      }
    }
    definition.fallsBackToBytes = try model.boolean("byte_fallback", or: false)
    if definition.fallsBackToBytes, !definition.isOfCharacters {
      throw try model.required("byte_fallback").fault("not supported in a byte-level model")
    }
    definition.fusesUnknown = try model.boolean("fuse_unk", or: false)
    definition.ignoresMerges = try model.boolean("ignore_merges", or: false)
    try readVocabulary(try model.required("vocab"), into: &definition)
    try readMerges(try model.required("merges"), into: &definition)
    if let unknown = try model.optional("unk_token") {
      let content = try unknown.string()
      definition.unknown = definition.id(ofSpelling: content)
      guard definition.unknown != nil || content.isEmpty else {
        throw unknown.fault("\"\(content)\" is not in the vocabulary")
      }
      definition.specialTokens.unknown = definition.unknown
    }
    // Words are short and many of them tokens, so cutting where no merge crosses makes encoding quick.
    if definition.isOfCharacters, definition.steps.allSatisfy({ $0 != .spaces(each: true) }),
      !definition.ignoresMerges, definition.mayCutBeforeSpaces()
    {
      definition.steps.append(.spaces(each: false))
    }
  }

  private func readVocabulary(
    _ field: JSONField, into definition: inout TokenizerDefinition
  ) throws(TokenizerError) {
    let members = try field.members()
    guard !members.isEmpty else { throw field.fault("the vocabulary is empty") }
    var vocabulary = [String?](repeating: nil, count: members.count)
    for member in members {
      let entry = JSONField(
        value: member.value, source: field.source, place: "\(field.place)[\"\(member.key)\"]")
      let id = try entry.integer()
      guard id >= 0, id <= TokenizerDefinition.highestID else {
        throw entry.fault(
          "expected an id in 0...\(TokenizerDefinition.highestID), found \(id)")
      }
      if id >= vocabulary.count {
        vocabulary += [String?](repeating: nil, count: id - vocabulary.count + 1)
      }
      guard vocabulary[id] == nil else {
        throw entry.fault("the id \(id) is that of \"\(vocabulary[id] ?? "")\" too")
      }
      vocabulary[id] = member.key
    }
    definition.vocabulary = vocabulary
    try definition.indexSpellings { "\(field.place)[\"\(vocabulary[$0] ?? "")\"]" }
  }

  private func readMerges(
    _ field: JSONField, into definition: inout TokenizerDefinition
  ) throws(TokenizerError) {
    guard case .array(let merges) = field.value else {
      throw field.fault("expected an array, found \(field.value.kind)")
    }
    definition.merges = MergeTable(capacity: merges.count)
    for (rank, merge) in merges.enumerated() {
      let parts: [Substring]
      switch merge {
      // By code points: a space and a combining mark after it are one `Character`.
      case .string(let text):
        parts = text.unicodeScalars.split(separator: " ", omittingEmptySubsequences: false).map { Substring($0) }
      case .array(let pair):
        parts = pair.compactMap { if case .string(let text) = $0 { Substring(text) } else { nil } }
      default: parts = []
      }
      guard parts.count == 2 else {
        throw TokenizerError(
          source: field.source, place: "\(field.place)[\(rank)]",
          problem: "expected two tokens, as \"a b\" or [\"a\", \"b\"], found \(merge.kind)")
      }
      try definition.insertMerge(
        parts[0], parts[1], rank: rank, place: "\(field.place)[\(rank)]")
    }
  }

  // MARK: Added tokens

  private func addedTokens(
    _ definition: TokenizerDefinition
  ) throws(TokenizerError) -> [AddedToken] {
    guard let field = try root.optional("added_tokens") else { return [] }
    let vocabulary = definition.vocabulary
    var added: [AddedToken] = []
    for token in try field.elements() {
      _ = try token.members(known: [
        "id", "content", "single_word", "lstrip", "rstrip", "normalized", "special",
      ])
      let idField = try token.required("id")
      let id = try idField.integer()
      guard id >= 0, id <= TokenizerDefinition.highestID else {
        throw idField.fault("expected an id in 0...\(TokenizerDefinition.highestID), found \(id)")
      }
      let content = try token.required("content").string()
      if id < vocabulary.count, let spelling = vocabulary[id] {
        guard spelling.utf8.elementsEqual(content.utf8) else {
          throw idField.fault(
            "the id \(id) of \"\(content)\" is that of \"\(spelling)\" in the vocabulary")
        }
      } else if let other = definition.id(ofSpelling: content) {
        throw idField.fault("\"\(content)\" has the id \(other) in the vocabulary, not \(id)")
      }
      added.append(try AddedToken(id: Int32(id), content: content, flags: token))
    }
    return added
  }
}

extension AddedToken {
  /// A token with the flags of an object that describes it.
  init(id: Int32, content: String, flags: JSONField) throws(TokenizerError) {
    let isSpecial = try flags.boolean("special", or: false)
    self.init(
      id: id, content: content, isSpecial: isSpecial,
      isSingleWord: try flags.boolean("single_word", or: false),
      stripsLeft: try flags.boolean("lstrip", or: false),
      stripsRight: try flags.boolean("rstrip", or: false),
      isNormalized: try flags.boolean("normalized", or: !isSpecial))
  }
}
