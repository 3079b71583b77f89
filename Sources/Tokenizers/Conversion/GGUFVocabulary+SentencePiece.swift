extension GGUFVocabulary {
  private static let mark = "\u{2581}"

  // MARK: To tokenizer.json

  /// A SentencePiece vocabulary as `tokenizer.json`, as `transformers` converts one.
  func sentencePieceJSON() throws(TokenizerError) -> String {
    let known = withDefaultTokens()
    var definition = try definition()
    let special = Set(definition.addedTokens.filter(\.isSpecial).map { Int($0.id) })
    let merges = definition.mergesByScore(scores ?? []) { id in
      !special.contains(id) && TokenizerDefinition.byte(ofSpelling: tokens[id]) == nil
    }
    if let merge = merges.first(where: { Int(max($0.left, $0.right)) >= tokens.count }) {
      throw Self.fault(
        "tokens[\(merge.merged)]", "\"\(tokens[Int(merge.merged)])\" has characters that are no tokens themselves",
        advice: "tokenizer.json cannot say so")
    }
    let length = { (id: Int32) in tokens[Int(id)].unicodeScalars.count }
    // Within a rank as `transformers` sorts them (`generate_merges`): longer left parts first, then longer right ones.
    let sorted = merges.sorted { left, right in
      (left.rank, -length(left.left), -length(left.right), left.merged)
        < (right.rank, -length(right.left), -length(right.right), right.merged)
    }
    let spaces = #"{"type": "Replace", "pattern": {"String": " "}, "content": "\#(Self.mark)"}"#
    let prepend = #"{"type": "Prepend", "prepend": "\#(Self.mark)"}"#
    let adds = addSpacePrefix ?? true
    let normalizer = (adds ? [prepend, spaces] : [spaces]).joined(separator: ", ")
    var decoder = [
      #"{"type": "Replace", "pattern": {"String": "\#(Self.mark)"}, "content": " "}"#, #"{"type": "ByteFallback"}"#,
      #"{"type": "Fuse"}"#,
    ]
    if adds { decoder.append(#"{"type": "Strip", "content": " ", "start": 1, "stop": 0}"#) }
    return known.document(
      normalizer: #"{"type": "Sequence", "normalizers": [\#(normalizer)]}"#, preTokenizer: "null",
      postProcessor: known.postProcessor(addsBeginning: true) ?? "null",
      decoder: #"{"type": "Sequence", "decoders": [\#(decoder.joined(separator: ", "))]}"#,
      unknown: known.unknown.map { tokens[Int($0)] }, fallsBackToBytes: true, ignoresMerges: false,
      merges: sorted.map { tokens[Int($0.left)] + " " + tokens[Int($0.right)] })
  }

  // MARK: From tokenizer.json

  /// A SentencePiece vocabulary from a `tokenizer.json` of one.
  ///
  /// The file ranks pairs, GGUF scores tokens. A token's score is taken from the first pair that makes it, and then the
  /// scores must give back the pairs: those of vocabularies that SentencePiece trained do.
  ///
  /// - Throws: `TokenizerError` when GGUF would give other ids.
  static func sentencePiece(
    _ definition: TokenizerDefinition, merges: [String], tokens: [String?], types: [Int32]
  ) throws(TokenizerError) -> GGUFVocabulary {
    func refusal(_ place: String, _ problem: String) -> TokenizerError {
      TokenizerError(
        source: definition.source, place: place, problem: problem, advice: "export as safetensors instead")
    }
    guard definition.steps.allSatisfy({ $0 == .spaces(each: false) }) else {
      throw refusal("pre_tokenizer", "GGUF has no word for what this Metaspace does to the start of texts")
    }
    guard definition.fallsBackToBytes, !definition.ignoresMerges else {
      throw refusal("model", "GGUF has no word for byte_fallback false or ignore_merges true beside \(mark)")
    }
    var (types, scores) = (types, [Float](repeating: 0, count: tokens.count))
    for id in types.indices where types[id] == GGUFTokenType.normal {
      if TokenizerDefinition.byte(ofSpelling: tokens[id] ?? "") != nil { types[id] = GGUFTokenType.byte }
    }
    if let unknown = definition.unknown { types[Int(unknown)] = GGUFTokenType.unknown }
    for byte in UInt8.min...UInt8.max {
      guard definition.id(ofSpelling: TokenizerDefinition.spelling(ofByte: byte)) != nil else {
        throw refusal("model.vocab", "has no token for the byte \(byte), which GGUF wants")
      }
    }
    let isText = { (id: Int) in types[id] == GGUFTokenType.normal || types[id] == GGUFTokenType.userDefined }
    var ranks: [Int32: Int] = [:]
    // Bytes, since Swift takes canonically equivalent texts for equal.
    var listed: Set<[UInt8]> = []
    var previous: Int32?
    for (rank, merge) in merges.enumerated() {
      let bytes = Array(merge.utf8)
      let product = bytes.filter { $0 != UInt8(ascii: " ") }
      guard let id = definition.id(ofSpelling: product), isText(Int(id)) else { continue }
      guard ranks[id] == nil || previous == id else {
        throw refusal("model.merges[\(rank)]", "the merges into \"\(tokens[Int(id)] ?? "")\" do not stand together")
      }
      if ranks[id] == nil { ranks[id] = rank }
      previous = id
      listed.insert(bytes)
    }
    for (id, rank) in ranks { scores[Int(id)] = -Float(rank) }
    var check = definition
    for merge in check.mergesByScore(scores, isText: { isText($0) && $0 < definition.vocabulary.count }) {
      let parts = [merge.left, merge.right].map { Int($0) < definition.vocabulary.count ? tokens[Int($0)] ?? "" : "" }
      guard listed.remove(Array(parts.joined(separator: " ").utf8)) != nil else {
        throw refusal(
          "model.merges", "\"\(tokens[Int(merge.merged)] ?? "")\" lacks a merge that SentencePiece would give it")
      }
    }
    guard listed.isEmpty else {
      throw refusal("model.merges", "there are merges that SentencePiece would not have")
    }
    let special = definition.specialTokens
    return GGUFVocabulary(
      model: "llama", pre: "default", tokens: tokens.enumerated().map { $1 ?? "[PAD\($0)]" }, merges: [],
      scores: scores, addSpacePrefix: definition.normalizer == .spaces(prepends: true), tokenTypes: types,
      beginningOfSequence: special.beginningOfSequence, endOfSequence: special.endOfSequence, padding: special.padding,
      unknown: definition.unknown ?? special.unknown,
      addBeginningOfSequence: !definition.prefix.isEmpty
        && definition.prefix == special.beginningOfSequence.map { [$0] },
      addEndOfSequence: definition.suffix.isEmpty ? false : definition.suffix == special.endOfSequence.map { [$0] },
      endOfTurn: special.endOfGeneration.subtracting(special.endOfSequence.map { [$0] } ?? []).sorted())
  }
}
