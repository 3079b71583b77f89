/// The steps around a BPE model that SentencePiece trained: characters instead of bytes, `▁` for the space, and tokens such
/// as `<0x0A>` for what has none.
extension TokenizerJSON {
  private static let mark = "\u{2581}"

  /// Whether the model is of this kind: it writes `▁` for the space, in whichever step.
  func isOfCharacters(_ model: JSONField) throws(TokenizerError) -> Bool {
    if try model.boolean("byte_fallback", or: false) { return try !hasByteLevel() }
    if let field = try root.optional("pre_tokenizer"), try field.type() == "Metaspace" { return true }
    guard let field = try root.optional("normalizer"), try !hasByteLevel() else { return false }
    for part in try parts(of: field, "normalizers") {
      if try ["Prepend", "Replace"].contains(part.type()) { return true }
    }
    return false
  }

  private func hasByteLevel() throws(TokenizerError) -> Bool {
    guard let field = try root.optional("pre_tokenizer") else { return false }
    for part in try parts(of: field, "pretokenizers") where try part.type() == "ByteLevel" { return true }
    return false
  }

  /// The steps of a `Sequence`, or the one step that stands alone.
  private func parts(of field: JSONField, _ key: String) throws(TokenizerError) -> [JSONField] {
    guard try field.type() == "Sequence" else { return [field] }
    _ = try field.members(known: ["type", key])
    return try field.required(key).elements()
  }

  /// Reads how spaces are written, at the start of a text and within.
  func readSpaces(into definition: inout TokenizerDefinition) throws(TokenizerError) {
    let normalizes = try readNormalizer(into: &definition)
    let cuts = try readMetaspace(into: &definition)
    guard normalizes || cuts else {
      throw root.fault(
        "neither the normalizer nor the pre_tokenizer writes \(Self.mark) for the space",
        advice: "Hearth reads BPE, byte-level or SentencePiece's")
    }
    definition.decoding = try decodingRules()
  }

  /// Reads `Prepend` and `Replace`, whose order makes no difference.
  ///
  /// - Returns: whether spaces become `▁`.
  private func readNormalizer(into definition: inout TokenizerDefinition) throws(TokenizerError) -> Bool {
    guard let field = try root.optional("normalizer") else { return false }
    var prepends = false
    var replaces = false
    for part in try parts(of: field, "normalizers") {
      switch try part.type() {
      case "Prepend":
        _ = try part.members(known: ["type", "prepend"])
        try require(part.required("prepend"), Self.mark)
        prepends = true
      case "Replace":
        try checkReplace(part, " ", Self.mark)
        replaces = true
      case let type: throw part.fault("the normalizer \(type) is not supported")
      }
    }
    guard replaces || !prepends else {
      throw field.fault("expected a step that replaces \" \" by \"\(Self.mark)\"")
    }
    if replaces { definition.normalizer = .spaces(prepends: prepends) }
    return replaces
  }

  /// Reads `Metaspace`.
  ///
  /// - Returns: whether it is there.
  private func readMetaspace(into definition: inout TokenizerDefinition) throws(TokenizerError) -> Bool {
    guard let field = try root.optional("pre_tokenizer") else { return false }
    let parts = try parts(of: field, "pretokenizers")
    guard parts.count <= 1 else { throw field.fault("expected Metaspace alone, found \(parts.count) steps") }
    guard let part = parts.first else { return false }
    guard try part.type() == "Metaspace" else {
      throw part.fault("the pre-tokenizer \(try part.type()) is not supported")
    }
    switch try prependScheme(part) {
    case "always": definition.steps.append(.prefixSpace)
    case "first": definition.steps.append(.firstPrefixSpace)
    default: break
    }
    if try part.boolean("split", or: true) { definition.steps.append(.spaces(each: true)) }
    if definition.normalizer == .none { definition.normalizer = .spaces(prepends: false) }
    return true
  }

  /// `first`, `always` or `never`; files of before 2024 say only whether a space is added, to every piece.
  private func prependScheme(_ field: JSONField) throws(TokenizerError) -> String {
    _ = try field.members(known: [
      "type", "replacement", "add_prefix_space", "prepend_scheme", "split", "str_rep",
    ])
    try require(field.required("replacement"), Self.mark)
    let adds = try field.boolean("add_prefix_space", or: true)
    guard let scheme = try field.optional("prepend_scheme") else { return adds ? "always" : "never" }
    let name = try scheme.string()
    guard ["first", "always", "never"].contains(name) else {
      throw scheme.fault("expected \"first\", \"always\" or \"never\", found \"\(name)\"")
    }
    return name
  }

  // MARK: Decoder

  private func decodingRules() throws(TokenizerError) -> DecodingRules {
    guard let field = try root.optional("decoder") else {
      throw root.fault("decoder is missing, so \(Self.mark) would not become a space again")
    }
    var rules = DecodingRules()
    if try field.type() == "Metaspace" {
      if try prependScheme(field) != "never" { rules.start = .firstToken }
      return rules
    }
    // Only in this order do the steps mean what they are read as here.
    let order = ["Replace", "ByteFallback", "Fuse", "Strip"]
    var done = -1
    for part in try parts(of: field, "decoders") {
      let type = try part.type()
      guard let step = order.firstIndex(of: type) else { throw part.fault("the decoder \(type) is not supported") }
      guard step > done, type != "Strip" || done == 2 else {
        throw part.fault("expected the decoders Replace, ByteFallback, Fuse, Strip in this order")
      }
      done = step
      switch type {
      case "Replace": try checkReplace(part, Self.mark, " ")
      case "ByteFallback": rules.joinsBytes = true
      case "Strip": rules.start = .spaces(try strippedCount(part))
      default: break
      }
    }
    guard try parts(of: field, "decoders").first?.type() == "Replace" else {
      throw field.fault("expected a decoder that replaces \"\(Self.mark)\" by \" \"")
    }
    return rules
  }

  private func strippedCount(_ field: JSONField) throws(TokenizerError) -> Int {
    _ = try field.members(known: ["type", "content", "start", "stop"])
    try require(field.required("content"), " ")
    let stop = try field.required("stop")
    guard try stop.integer() == 0 else { throw stop.fault("only 0 is supported") }
    let start = try field.required("start")
    let count = try start.integer()
    guard count >= 0 else { throw start.fault("expected a count, found \(count)") }
    return count
  }

  // MARK: Parts

  private func require(_ field: JSONField, _ text: String) throws(TokenizerError) {
    let found = try field.string()
    guard found.utf8.elementsEqual(text.utf8) else {
      throw field.fault("expected \"\(text)\", found \"\(found)\"")
    }
  }

  private func checkReplace(_ field: JSONField, _ from: String, _ to: String) throws(TokenizerError) {
    _ = try field.members(known: ["type", "pattern", "content"])
    try require(try field.required("pattern").required("String"), from)
    try require(field.required("content"), to)
  }
}
