public import Foundation

extension GGUFVocabulary {
  /// The tokenizer of a Hugging Face folder, in the words of GGUF.
  ///
  /// - Parameters:
  ///   - folder: Holds `tokenizer.json` and the files beside it.
  ///   - count: Rows of the model's token table: ids without a token are filled up with unused ones, as llama.cpp wants one token a row.
  /// - Throws: `TokenizerError` when the tokenizer is damaged, or does something that GGUF has no name for.
  public init(folder: URL, count: Int) throws(TokenizerError) {
    let url = folder.appending(path: "tokenizer.json")
    let json = try TokenizerJSON(Array(try Tokenizer.read(url)), source: url.path)
    var definition = try json.definition()
    let configuration = try TokenizerConfiguration(folder: folder)
    try definition.apply(configuration)
    let highest = max(definition.vocabulary.count - 1, Int(definition.addedTokens.map(\.id).max() ?? -1))
    guard highest < count else {
      throw TokenizerError(
        source: url.path, place: "vocabulary", problem: "has the id \(highest), but the model has \(count) rows",
        advice: "the tokenizer belongs to another model")
    }
    var tokens = definition.vocabulary + [String?](repeating: nil, count: count - definition.vocabulary.count)
    var types = tokens.map { Int32($0 == nil ? GGUFTokenType.unused : GGUFTokenType.normal) }
    for token in definition.addedTokens {
      tokens[Int(token.id)] = token.content
      types[Int(token.id)] = token.isSpecial ? GGUFTokenType.control : GGUFTokenType.userDefined
    }
    if definition.isOfCharacters {
      self = try Self.sentencePiece(definition, merges: json.mergeTexts(), tokens: tokens, types: types)
      return
    }
    guard let pre = KnownPatterns.ggufName(of: definition) else {
      throw TokenizerError(
        source: url.path, place: "pre_tokenizer", problem: "cuts text in a way that GGUF has no name for",
        advice: "export as safetensors instead")
    }
    let special = definition.specialTokens
    self.init(
      model: "gpt2", pre: pre, tokens: tokens.enumerated().map { $1 ?? "[PAD\($0)]" },
      merges: try json.mergeTexts(), tokenTypes: types, beginningOfSequence: special.beginningOfSequence,
      endOfSequence: special.endOfSequence, padding: special.padding, unknown: special.unknown,
      addBeginningOfSequence: !definition.prefix.isEmpty
        && definition.prefix == special.beginningOfSequence.map { [$0] },
      addEndOfSequence: definition.suffix.isEmpty ? nil : definition.suffix == special.endOfSequence.map { [$0] },
      endOfTurn: special.endOfGeneration.subtracting(special.endOfSequence.map { [$0] } ?? []).sorted())
  }

  /// The added tokens of a folder that GGUF has no word for: those that take white space along, stand alone only, or are looked for in
  /// normalised text that differs.
  ///
  /// - Throws: `TokenizerError` when the tokenizer is damaged.
  public static func lost(folder: URL) throws(TokenizerError) -> [String] {
    let url = folder.appending(path: "tokenizer.json")
    var definition = try TokenizerJSON(Array(try Tokenizer.read(url)), source: url.path).definition()
    try definition.apply(TokenizerConfiguration(folder: folder))
    return definition.addedTokens.filter { token in
      token.stripsLeft || token.stripsRight || token.isSingleWord
        || (token.isNormalized && definition.normalizer != .none)
    }.map(\.content)
  }
}

/// Kinds of token in a GGUF vocabulary. llama.cpp, `enum llama_token_type`.
enum GGUFTokenType {
  static let normal: Int32 = 1
  static let unknown: Int32 = 2
  static let control: Int32 = 3
  static let userDefined: Int32 = 4
  static let unused: Int32 = 5
  static let byte: Int32 = 6
}

extension KnownPatterns {
  /// The name under which llama.cpp knows how this tokenizer cuts text; nil if under none.
  static func ggufName(of definition: TokenizerDefinition) -> String? {
    // One name for each recipe, the one that llama.cpp's converter writes.
    ["gpt-2", "smollm", "llama-bpe", "smaug-bpe", "qwen2", "deepseek-r1-qwen"].first { name in
      guard let recipe = recipe(ggufName: name) else { return false }
      return recipe.steps == definition.steps && recipe.normalizer == definition.normalizer
        && recipe.ignoresMerges == definition.ignoresMerges
    }
  }
}

extension TokenizerJSON {
  /// The merges, each as two tokens joined by a space.
  func mergeTexts() throws(TokenizerError) -> [String] {
    var texts: [String] = []
    for merge in try root.required("model").required("merges").elements() {
      switch merge.value {
      case .string(let text): texts.append(text)
      case .array:
        let parts = try merge.elements()
        guard parts.count == 2 else { throw merge.fault("expected two tokens, found \(parts.count)") }
        texts.append(try parts[0].string() + " " + parts[1].string())
      default: throw merge.fault("expected two tokens, found \(merge.value.kind)")
      }
    }
    return texts
  }
}
