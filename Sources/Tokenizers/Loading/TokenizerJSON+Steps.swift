extension TokenizerJSON {
  /// The `normalizer`.
  func normalizer() throws(TokenizerError) -> Normalizer {
    guard let field = try root.optional("normalizer") else { return .none }
    switch try field.type() {
    case "NFC":
      _ = try field.members(known: ["type"])
      return .composed
    case "Sequence":
      _ = try field.members(known: ["type", "normalizers"])
      var result = Normalizer.none
      for part in try field.required("normalizers").elements() {
        guard try part.type() == "NFC" else {
          throw part.fault("the normalizer \(try part.type()) is not supported")
        }
        result = .composed
      }
      return result
    case let type: throw field.fault("the normalizer \(type) is not supported")
    }
  }

  /// The `pre_tokenizer`: any number of cuts and, last, the byte level.
  func preTokenizerSteps() throws(TokenizerError) -> [PreTokenizer.Step] {
    guard let field = try root.optional("pre_tokenizer") else {
      throw root.fault(
        "pre_tokenizer is missing, so the model is not byte-level",
        advice: "Hearth reads BPE, byte-level or SentencePiece's")
    }
    var steps: [PreTokenizer.Step] = []
    var isByteLevel = false
    let parts: [JSONField]
    if try field.type() == "Sequence" {
      _ = try field.members(known: ["type", "pretokenizers"])
      parts = try field.required("pretokenizers").elements()
    } else {
      parts = [field]
    }
    for part in parts {
      guard !isByteLevel else { throw part.fault("expected nothing after ByteLevel") }
      switch try part.type() {
      case "ByteLevel":
        _ = try part.members(known: ["type", "add_prefix_space", "trim_offsets", "use_regex"])
        isByteLevel = true
        if try part.boolean("add_prefix_space", or: true) { steps.append(.prefixSpace) }
        if try part.boolean("use_regex", or: true) { steps.append(.gpt2) }
      case "Digits":
        _ = try part.members(known: ["type", "individual_digits"])
        steps.append(.digits(alone: try part.boolean("individual_digits", or: false)))
      case "Split": steps.append(try split(part))
      case let type: throw part.fault("the pre-tokenizer \(type) is not supported")
      }
    }
    guard isByteLevel else {
      throw field.fault(
        "expected ByteLevel at the end", advice: "Hearth reads BPE, byte-level or SentencePiece's")
    }
    return steps
  }

  private func split(_ field: JSONField) throws(TokenizerError) -> PreTokenizer.Step {
    _ = try field.members(known: ["type", "pattern", "behavior", "invert"])
    let pattern = try field.required("pattern")
    let text = try pattern.required("Regex").string()
    guard let step = KnownPatterns.step(regularExpression: text) else {
      throw pattern.fault(
        "no scanner for the regular expression \(text)",
        advice:
          "Hearth cuts text by hand-written scanners and knows those of GPT-2, Llama 3, Qwen 2")
    }
    let behavior = try field.required("behavior")
    let isInverted = try field.boolean("invert", or: false)
    // Patterns that match every character leave nothing between matches, so removing what lies between
    // them (`invert`) isolates the matches too.
    let coversEverything =
      switch step {
      case .gpt2, .llama3: true
      default: false
      }
    switch try behavior.string() {
    case "Isolated" where !isInverted || coversEverything: return step
    case "Removed" where isInverted && coversEverything: return step
    case let name:
      throw behavior.fault(
        "the behavior \(name)\(isInverted ? " (inverted)" : "") is not supported",
        advice: "Hearth knows Isolated")
    }
  }

  /// Checks that the `decoder` undoes the byte level.
  func checkDecoder() throws(TokenizerError) {
    guard let field = try root.optional("decoder") else {
      throw root.fault("decoder is missing, so the model is not byte-level")
    }
    guard try field.type() == "ByteLevel" else {
      throw field.fault("the decoder \(try field.type()) is not supported")
    }
    _ = try field.members(known: ["type", "add_prefix_space", "trim_offsets", "use_regex"])
  }

  /// The `post_processor`: what stands before and after a text.
  func readPostProcessor(into definition: inout TokenizerDefinition) throws(TokenizerError) {
    guard let field = try root.optional("post_processor") else { return }
    if try field.type() == "Sequence" {
      _ = try field.members(known: ["type", "processors"])
      for part in try field.required("processors").elements() {
        try readProcessor(part, into: &definition)
      }
    } else {
      try readProcessor(field, into: &definition)
    }
  }

  private func readProcessor(
    _ field: JSONField, into definition: inout TokenizerDefinition
  ) throws(TokenizerError) {
    switch try field.type() {
    // It changes offsets into the text, which Hearth does not give.
    case "ByteLevel": break
    case "TemplateProcessing": try readTemplate(field, into: &definition)
    case "RobertaProcessing", "BertProcessing":
      definition.prefix = [try pairedID(try field.required("cls"), definition)]
      definition.suffix = [try pairedID(try field.required("sep"), definition)]
    case let type: throw field.fault("the post-processor \(type) is not supported")
    }
  }

  /// The id of `["<s>", 0]`.
  private func pairedID(
    _ field: JSONField, _ definition: TokenizerDefinition
  ) throws(TokenizerError) -> Int32 {
    let pair = try field.elements()
    guard pair.count == 2 else { throw field.fault("expected a token and its id") }
    return try checkedID(pair[1], definition)
  }

  private func checkedID(
    _ field: JSONField, _ definition: TokenizerDefinition
  ) throws(TokenizerError) -> Int32 {
    let id = try field.integer()
    let isKnown =
      definition.vocabulary.indices.contains(id) && definition.vocabulary[id] != nil
      || definition.addedTokens.contains { Int($0.id) == id }
    guard isKnown, let result = Int32(exactly: id) else {
      throw field.fault("the id \(id) is not in the vocabulary")
    }
    return result
  }

  private func readTemplate(
    _ field: JSONField, into definition: inout TokenizerDefinition
  ) throws(TokenizerError) {
    _ = try field.members(known: ["type", "single", "pair", "special_tokens"])
    let special = try field.required("special_tokens")
    var seesText = false
    for part in try field.required("single").elements() {
      if let sequence = try part.optional("Sequence") {
        guard !seesText, try sequence.required("id").string() == "A" else {
          throw part.fault("expected the sequence A, once")
        }
        seesText = true
        continue
      }
      let name = try part.required("SpecialToken").required("id").string()
      for id in try special.required(name).required("ids").elements() {
        let id = try checkedID(id, definition)
        if seesText { definition.suffix.append(id) } else { definition.prefix.append(id) }
      }
    }
    guard seesText else { throw field.fault("the template has no place for the text") }
  }
}
