extension Tokenizer {
  /// A tokenizer from the metadata of a GGUF file.
  ///
  /// - Throws: if the model is another than BPE, its pattern is unknown, or ids, tokens and merges
  ///   do not fit together.
  public convenience init(gguf: GGUFVocabulary) throws(TokenizerError) {
    try self.init(try gguf.definition())
  }
}

extension GGUFVocabulary {
  static let source = "GGUF vocabulary"

  /// What the metadata comes down to.
  func definition() throws(TokenizerError) -> TokenizerDefinition {
    guard !tokens.isEmpty else { throw Self.fault("tokens", "there are none") }
    guard tokens.count <= TokenizerDefinition.highestID + 1 else {
      throw Self.fault("tokens", "expected at most \(TokenizerDefinition.highestID + 1), found \(tokens.count)")
    }
    switch model {
    case "gpt2": return try byteLevelDefinition()
    case "llama": return try sentencePieceDefinition()
    default:
      throw Self.fault(
        "model", "expected \"gpt2\" (byte-level BPE) or \"llama\" (SentencePiece's BPE), found \"\(model)\"",
        advice: "Hearth cannot read this kind of vocabulary")
    }
  }

  static func fault(_ key: String, _ problem: String, advice: String = "") -> TokenizerError {
    TokenizerError(source: source, place: "tokenizer.ggml.\(key)", problem: problem, advice: advice)
  }

  private func byteLevelDefinition() throws(TokenizerError) -> TokenizerDefinition {
    // Files from before the key existed all are of GPT-2's pattern.
    let pre = pre ?? "gpt-2"
    guard let recipe = KnownPatterns.recipe(ggufName: pre) else {
      throw Self.fault(
        "pre", "unknown pre-tokenizer \"\(pre)\"",
        advice: "another pattern would give other ids than the model was trained with")
    }
    var definition = TokenizerDefinition(source: Self.source, vocabulary: tokens, steps: recipe.steps)
    definition.normalizer = recipe.normalizer
    definition.ignoresMerges = recipe.ignoresMerges
    try definition.indexSpellings { "tokenizer.ggml.tokens[\($0)]" }
    definition.merges = MergeTable(capacity: merges.count)
    for (rank, merge) in merges.enumerated() {
      let parts = merge.unicodeScalars.split(separator: " ", omittingEmptySubsequences: false).map { Substring($0) }
      guard parts.count == 2 else {
        throw Self.fault("merges[\(rank)]", "expected two tokens joined by one space, found \"\(merge)\"")
      }
      try definition.insertMerge(
        parts[0], parts[1], rank: rank,
        place: "tokenizer.ggml.merges[\(rank)]")
    }
    try addTokens(to: &definition, addsBeginning: recipe.addsBeginning)
    return definition
  }

  /// What the tokens mean, and what stands around a text.
  func addTokens(to definition: inout TokenizerDefinition, addsBeginning: Bool) throws(TokenizerError) {
    definition.specialTokens = try specialTokens()
    definition.addedTokens = try addedTokens(definition.specialTokens)
    if let beginning = beginningOfSequence, addBeginningOfSequence ?? addsBeginning {
      definition.prefix = [beginning]
    }
    if let end = endOfSequence, addEndOfSequence == true { definition.suffix = [end] }
  }

  private func specialTokens() throws(TokenizerError) -> SpecialTokens {
    var named: [(String, Int32?)] = [
      ("bos_token_id", beginningOfSequence), ("eos_token_id", endOfSequence),
      ("padding_token_id", padding), ("unknown_token_id", unknown),
    ]
    named += endOfTurn.map { ("eot_token_id", $0) }
    for case (let name, let id?) in named where id < 0 || Int(id) >= tokens.count {
      throw Self.fault(name, "expected an id below \(tokens.count), found \(id)")
    }
    return SpecialTokens(
      beginningOfSequence: beginningOfSequence, endOfSequence: endOfSequence,
      padding: padding, unknown: unknown, endOfGeneration: Set(endOfTurn),
      addsBeginningOfSequence: addBeginningOfSequence)
  }

  /// Control tokens are special, user-defined ones are ordinary text that is one token. A file without
  /// types has at least the tokens it names.
  private func addedTokens(_ special: SpecialTokens) throws(TokenizerError) -> [AddedToken] {
    guard let types = tokenTypes else {
      var ids = special.endOfGeneration
      for case let id? in [special.beginningOfSequence, special.padding, special.unknown] {
        ids.insert(id)
      }
      return ids.sorted().map {
        AddedToken(id: $0, content: tokens[Int($0)], isSpecial: true)
      }
    }
    guard types.count == tokens.count else {
      throw Self.fault("token_type", "expected \(tokens.count), as many as tokens, found \(types.count)")
    }
    var added: [AddedToken] = []
    for (id, type) in types.enumerated() {
      switch type {
      // In SentencePiece's files it stands in the vocabulary as `<unk>`, which no text may spell.
      case 2 where model == "llama":
        added.append(AddedToken(id: Int32(id), content: tokens[id], isSpecial: true))
      case 1, 2, 5, 6: continue
      case 3, 4:
        added.append(
          AddedToken(id: Int32(id), content: tokens[id], isSpecial: type == 3))
      default:
        throw Self.fault("token_type[\(id)]", "expected 1 to 6, found \(type)")
      }
    }
    return added
  }
}
