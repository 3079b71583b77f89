extension GGUFVocabulary {
  /// A vocabulary that SentencePiece trained: `tokenizer.ggml.model` is `llama`.
  ///
  /// What the keys mean, and what holds where one is missing, follows llama.cpp (`llama-vocab.cpp`, `llm_tokenizer_spm`).
  func sentencePieceDefinition() throws(TokenizerError) -> TokenizerDefinition {
    guard let scores else {
      throw Self.fault("scores", "is missing", advice: "without scores nobody knows which tokens merge first")
    }
    guard scores.count == tokens.count else {
      throw Self.fault("scores", "expected \(tokens.count), as many as tokens, found \(scores.count)")
    }
    if let id = scores.firstIndex(where: { $0.isNaN }) {
      throw Self.fault("scores[\(id)]", "expected a number, found NaN")
    }
    let known = withDefaultTokens()
    var definition = TokenizerDefinition(source: Self.source, vocabulary: tokens, steps: [])
    definition.isOfCharacters = true
    definition.fallsBackToBytes = true
    definition.normalizer = .spaces(prepends: addSpacePrefix ?? true)
    definition.decoding = DecodingRules(start: addSpacePrefix ?? true ? .spaces(1) : .nothing, joinsBytes: true)
    try definition.indexSpellings { "tokenizer.ggml.tokens[\($0)]" }
    try known.addTokens(to: &definition, addsBeginning: true)
    definition.unknown = known.unknown
    definition.fusesUnknown = true
    let special = Set(definition.addedTokens.filter(\.isSpecial).map { Int($0.id) })
    let isByte = { (id: Int) in
      tokenTypes.map { $0[id] == GGUFTokenType.byte } ?? (TokenizerDefinition.byte(ofSpelling: tokens[id]) != nil)
    }
    let merges = definition.mergesByScore(scores) { !special.contains($0) && !isByte($0) }
    definition.merges = MergeTable(capacity: merges.count)
    for merge in merges {
      definition.merges.insert(left: merge.left, right: merge.right, rank: merge.rank, merged: merge.merged)
    }
    if definition.mayCutBeforeSpaces() { definition.steps = [.spaces(each: false)] }
    return definition
  }

  /// With the ids that files of this kind need not name.
  func withDefaultTokens() -> GGUFVocabulary {
    var result = self
    let id = { (id: Int32) in Int(id) < tokens.count ? id : nil }
    result.unknown = unknown ?? id(0)
    result.beginningOfSequence = beginningOfSequence ?? id(1)
    result.endOfSequence = endOfSequence ?? id(2)
    result.addBeginningOfSequence = addBeginningOfSequence ?? true
    return result
  }
}
