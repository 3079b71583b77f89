extension Tokenizer {
  private static let ggufSource = "GGUF vocabulary"

  /// A tokenizer from the metadata of a GGUF file.
  ///
  /// - Throws: if the model is not byte-level BPE, its pattern is unknown, or ids, tokens and merges
  ///   do not fit together.
  public convenience init(gguf: GGUFVocabulary) throws(TokenizerError) {
    guard gguf.model == "gpt2" else {
      throw TokenizerError(
        source: Self.ggufSource, place: "tokenizer.ggml.model",
        problem: "expected \"gpt2\" (byte-level BPE), found \"\(gguf.model)\"",
        advice: "Hearth cannot read this kind of vocabulary")
    }
    // Files from before the key existed all are of GPT-2's pattern.
    let pre = gguf.pre ?? "gpt-2"
    guard let recipe = KnownPatterns.recipe(ggufName: pre) else {
      throw TokenizerError(
        source: Self.ggufSource, place: "tokenizer.ggml.pre",
        problem: "unknown pre-tokenizer \"\(pre)\"",
        advice: "another pattern would give other ids than the model was trained with")
    }
    guard !gguf.tokens.isEmpty else {
      throw TokenizerError(
        source: Self.ggufSource, place: "tokenizer.ggml.tokens", problem: "there are none")
    }
    guard gguf.tokens.count <= TokenizerDefinition.highestID + 1 else {
      throw TokenizerError(
        source: Self.ggufSource, place: "tokenizer.ggml.tokens",
        problem:
          "expected at most \(TokenizerDefinition.highestID + 1), found \(gguf.tokens.count)")
    }
    var definition = TokenizerDefinition(
      source: Self.ggufSource, vocabulary: gguf.tokens, steps: recipe.steps)
    definition.normalizer = recipe.normalizer
    definition.ignoresMerges = recipe.ignoresMerges
    try definition.indexSpellings { "tokenizer.ggml.tokens[\($0)]" }
    definition.merges = MergeTable(capacity: gguf.merges.count)
    for (rank, merge) in gguf.merges.enumerated() {
      let parts = merge.split(separator: " ", omittingEmptySubsequences: false)
      guard parts.count == 2 else {
        throw TokenizerError(
          source: Self.ggufSource, place: "tokenizer.ggml.merges[\(rank)]",
          problem: "expected two tokens joined by one space, found \"\(merge)\"")
      }
      try definition.insertMerge(
        parts[0], parts[1], rank: rank,
        place: "tokenizer.ggml.merges[\(rank)]")
    }
    definition.specialTokens = try Self.specialTokens(gguf)
    definition.addedTokens = try Self.addedTokens(gguf, definition.specialTokens)
    if let beginning = gguf.beginningOfSequence, gguf.addBeginningOfSequence ?? recipe.addsBeginning {
      definition.prefix = [beginning]
    }
    if let end = gguf.endOfSequence, gguf.addEndOfSequence == true { definition.suffix = [end] }
    try self.init(definition)
  }

  private static func specialTokens(_ gguf: GGUFVocabulary) throws(TokenizerError) -> SpecialTokens {
    var named: [(String, Int32?)] = [
      ("bos_token_id", gguf.beginningOfSequence), ("eos_token_id", gguf.endOfSequence),
      ("padding_token_id", gguf.padding), ("unknown_token_id", gguf.unknown),
    ]
    named += gguf.endOfTurn.map { ("eot_token_id", $0) }
    for case (let name, let id?) in named where id < 0 || Int(id) >= gguf.tokens.count {
      throw TokenizerError(
        source: ggufSource, place: "tokenizer.ggml.\(name)",
        problem: "expected an id below \(gguf.tokens.count), found \(id)")
    }
    return SpecialTokens(
      beginningOfSequence: gguf.beginningOfSequence, endOfSequence: gguf.endOfSequence,
      padding: gguf.padding, unknown: gguf.unknown, endOfGeneration: Set(gguf.endOfTurn),
      addsBeginningOfSequence: gguf.addBeginningOfSequence)
  }

  /// Control tokens are special, user-defined ones are ordinary text that is one token. A file without
  /// types has at least the tokens it names.
  private static func addedTokens(
    _ gguf: GGUFVocabulary, _ special: SpecialTokens
  ) throws(TokenizerError) -> [AddedToken] {
    guard let types = gguf.tokenTypes else {
      var ids = special.endOfGeneration
      for case let id? in [special.beginningOfSequence, special.padding, special.unknown] {
        ids.insert(id)
      }
      return ids.sorted().map {
        AddedToken(id: $0, content: gguf.tokens[Int($0)], isSpecial: true)
      }
    }
    guard types.count == gguf.tokens.count else {
      throw TokenizerError(
        source: ggufSource, place: "tokenizer.ggml.token_type",
        problem: "expected \(gguf.tokens.count), as many as tokens, found \(types.count)")
    }
    var added: [AddedToken] = []
    for (id, type) in types.enumerated() {
      switch type {
      case 1, 2, 5, 6: continue
      case 3, 4:
        added.append(
          AddedToken(id: Int32(id), content: gguf.tokens[id], isSpecial: type == 3))
      default:
        throw TokenizerError(
          source: ggufSource, place: "tokenizer.ggml.token_type[\(id)]",
          problem: "expected 1 to 6, found \(type)")
      }
    }
    return added
  }
}
