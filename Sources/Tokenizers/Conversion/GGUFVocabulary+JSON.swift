extension GGUFVocabulary {
  /// The vocabulary as Hugging Face's `tokenizer.json`.
  ///
  /// GGUF stores only the name of how text is cut; the steps behind it are written out, such as the digits that SmolLM2 takes one by
  /// one, so that `tokenizers` gives the same ids.
  ///
  /// - Throws: `TokenizerError` when the vocabulary is not BPE or its name is unknown.
  public func tokenizerJSON() throws(TokenizerError) -> String {
    // Reading it checks ids, types and merges, so that what follows may index.
    _ = try Tokenizer(gguf: self)
    if model == "llama" { return try sentencePieceJSON() }
    guard let recipe = KnownPatterns.recipe(ggufName: pre ?? "gpt-2") else {
      throw TokenizerError(source: "GGUF vocabulary", place: "tokenizer.ggml.pre", problem: "unknown pre-tokenizer")
    }
    return document(
      normalizer: recipe.normalizer == .composed ? #"{"type": "NFC"}"# : "null",
      preTokenizer: Self.preTokenizer(recipe.steps),
      postProcessor: postProcessor(addsBeginning: recipe.addsBeginning) ?? Self.byteLevel(usesPattern: true),
      decoder: Self.byteLevel(usesPattern: true), unknown: nil, fallsBackToBytes: false,
      ignoresMerges: recipe.ignoresMerges, merges: merges)
  }

  /// The file from its parts, each as JSON.
  func document(
    normalizer: String, preTokenizer: String, postProcessor: String, decoder: String, unknown: String?,
    fallsBackToBytes: Bool, ignoresMerges: Bool, merges: [String]
  ) -> String {
    let added = addedIDs
    let inVocabulary = vocabularyIDs(added: added)
    var text = "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n  \"added_tokens\": ["
    text += lines(added) { addedToken($0) }
    text += "],\n  \"normalizer\": \(normalizer),\n  \"pre_tokenizer\": \(preTokenizer)"
    text += ",\n  \"post_processor\": \(postProcessor),\n  \"decoder\": \(decoder)"
    text += ",\n  \"model\": {\n    \"type\": \"BPE\",\n    \"dropout\": null,\n"
    text += "    \"unk_token\": \(unknown.map { Self.quoted($0) } ?? "null"),\n"
    text += "    \"continuing_subword_prefix\": null,\n    \"end_of_word_suffix\": null,\n"
    text += "    \"fuse_unk\": \(unknown != nil),\n"
    text += "    \"byte_fallback\": \(fallsBackToBytes),\n    \"ignore_merges\": \(ignoresMerges),\n    \"vocab\": {"
    text += lines(inVocabulary) { "\(Self.quoted(tokens[$0])): \($0)" }
    text += "},\n    \"merges\": ["
    text += lines(merges.indices) { Self.quoted(merges[$0]) }
    return text + "]\n  }\n}\n"
  }

  // MARK: Tokens

  /// The ids of tokens that are looked for in the text itself.
  ///
  /// Of a SentencePiece vocabulary the unknown token too.
  public var addedIDs: [Int] {
    guard let tokenTypes else {
      let known = model == "llama" ? withDefaultTokens() : self
      return Set(
        [known.beginningOfSequence, known.endOfSequence, padding, known.unknown].compactMap { $0 } + endOfTurn
      ).sorted().map(Int.init)
    }
    return tokenTypes.indices.filter { isAdded(tokenTypes[$0]) }
  }

  private func isAdded(_ type: Int32) -> Bool {
    type == GGUFTokenType.control || type == GGUFTokenType.userDefined
      || (type == GGUFTokenType.unknown && model == "llama")
  }

  /// Whether an added token steers the model rather than being text.
  public func isSpecial(_ id: Int) -> Bool { tokenTypes.map { $0[id] != GGUFTokenType.userDefined } ?? true }

  /// Which ids stand in the model's vocabulary.
  ///
  /// `tokenizers` numbers added tokens that the vocabulary lacks from its end on, so these must follow without a gap; all others have to
  /// be in it. Unused ids at the end are left out.
  private func vocabularyIDs(added: [Int]) -> Range<Int> {
    let isText = { (id: Int) in
      guard let types = tokenTypes else { return !added.contains(id) }
      return types[id] != GGUFTokenType.unused && !isAdded(types[id])
    }
    let end = (tokens.indices.last(where: isText) ?? -1) + 1
    let behind = added.filter { $0 >= end }
    return behind == Array(end..<end + behind.count) ? 0..<end : 0..<(added.last ?? -1) + 1
  }

  /// An entry of `added_tokens`.
  private func addedToken(_ id: Int) -> String {
    #"{"id": \#(id), "content": \#(Self.quoted(tokens[id])), "#
      + #""single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": \#(isSpecial(id))}"#
  }

  // MARK: Steps

  private static func preTokenizer(_ steps: [PreTokenizer.Step]) -> String {
    var parts: [String] = []
    var usesPattern = false
    for step in steps {
      switch step {
      case .digits(let alone): parts.append(#"{"type": "Digits", "individual_digits": \#(alone)}"#)
      case .gpt2: usesPattern = true
      case .llama3(let count): parts.append(split(KnownPatterns.llama3Expression(digitCount: count)))
      case .numbers(let count): parts.append(split(count == Int.max ? #"\p{N}+"# : #"\p{N}{1,\#(count)}"#))
      case .prefixSpace, .firstPrefixSpace, .spaces: break
      }
    }
    parts.append(byteLevel(usesPattern: usesPattern))
    return parts.count == 1
      ? parts[0] : #"{"type": "Sequence", "pretokenizers": [\#(parts.joined(separator: ", "))]}"#
  }

  private static func split(_ expression: String) -> String {
    #"{"type": "Split", "pattern": {"Regex": \#(quoted(expression))}, "behavior": "Isolated", "invert": false}"#
  }

  private static func byteLevel(usesPattern: Bool) -> String {
    #"{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": \#(usesPattern)}"#
  }

  /// What stands before and after a text; nil when nothing does.
  func postProcessor(addsBeginning: Bool) -> String? {
    let prefix = (addBeginningOfSequence ?? addsBeginning) ? beginningOfSequence : nil
    let suffix = addEndOfSequence == true ? endOfSequence : nil
    guard prefix != nil || suffix != nil else { return nil }
    func sequence(_ name: String, _ type: Int) -> [String] {
      let token = { (id: Int32) in
        #"{"SpecialToken": {"id": \#(Self.quoted(tokens[Int(id)])), "type_id": \#(type)}}"#
      }
      return (prefix.map { [token($0)] } ?? []) + [#"{"Sequence": {"id": "\#(name)", "type_id": \#(type)}}"#]
        + (suffix.map { [token($0)] } ?? [])
    }
    let special = Set([prefix, suffix].compactMap { $0 }).sorted().map { id in
      let token = Self.quoted(tokens[Int(id)])
      return #"\#(token): {"id": \#(token), "ids": [\#(id)], "tokens": [\#(token)]}"#
    }
    let single = sequence("A", 0).joined(separator: ", ")
    let pair = (sequence("A", 0) + sequence("B", 1)).joined(separator: ", ")
    return #"{"type": "TemplateProcessing", "single": [\#(single)], "pair": [\#(pair)], "#
      + #""special_tokens": {\#(special.joined(separator: ", "))}}"#
  }

  // MARK: Text

  private func lines(_ ids: some Collection<Int>, _ line: (Int) -> String) -> String {
    ids.isEmpty ? "" : "\n" + ids.map { "      " + line($0) }.joined(separator: ",\n") + "\n    "
  }

  private static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\0"..<" ":
        let digits = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}

extension KnownPatterns {
  /// The regular expression of Llama 3's words, for a `Split` step.
  static func llama3Expression(digitCount: Int) -> String {
    let digits = digitCount == 1 ? #"\p{N}"# : #"\p{N}{1,\#(digitCount)}"#
    return "(?i:'s|'t|'re|'ve|'m|'ll|'d)" + #"|[^\r\n\p{L}\p{N}]?\p{L}+|"# + digits
      + #"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
  }
}
