public import Foundation

extension Tokenizer {
  /// The tokenizer of a Hugging Face folder: `tokenizer.json`, and the files beside it that say which
  /// tokens begin and end a text.
  ///
  /// - Throws: if a file is damaged, asks for something unsupported, or names a token that is not in
  ///   the vocabulary.
  public convenience init(folder: URL) throws(TokenizerError) {
    let url = folder.appending(path: "tokenizer.json")
    let configuration = try TokenizerConfiguration(folder: folder)
    var definition = try TokenizerJSON(Array(try Self.read(url)), source: url.path).definition()
    try definition.apply(configuration)
    try self.init(definition)
  }
}

extension TokenizerDefinition {
  /// Takes over what the other files of a folder say.
  mutating func apply(_ configuration: TokenizerConfiguration) throws(TokenizerError) {
    let known = Set(addedTokens.map(\.id))
    for token in configuration.addedTokens where !known.contains(token.id) {
      let spelling = vocabulary.indices.contains(Int(token.id)) ? vocabulary[Int(token.id)] : nil
      if let spelling, !spelling.utf8.elementsEqual(token.content.utf8) {
        throw TokenizerError(
          source: source, place: "vocabulary",
          problem: "the id \(token.id) is \"\(spelling)\", but tokenizer_config.json says "
            + "\"\(token.content)\"",
          advice: "the two files belong to different models")
      }
      addedTokens.append(token)
    }
    let beginning = try specialID(configuration.beginningOfSequence, "bos_token")
    let end = try specialID(configuration.endOfSequence, "eos_token")
    // Padding and unknown may name tokens that the model never had; nothing is encoded with them.
    let padding = configuration.padding.flatMap { id(of: $0) }
    let unknown = configuration.unknown.flatMap { id(of: $0) }
    let idCount = max(vocabulary.count, (addedTokens.map { Int($0.id) }.max() ?? -1) + 1)
    specialTokens = SpecialTokens(
      beginningOfSequence: beginning, endOfSequence: end, padding: padding,
      unknown: unknown ?? specialTokens.unknown,
      // A configuration may name ids of a larger embedding; they never are generated as text.
      endOfGeneration: Set(configuration.endOfGeneration.filter { Int($0) < idCount }),
      addsBeginningOfSequence: prefix.first.map { $0 == beginning })
  }

  /// The id of a token that has a meaning; from then on it is special.
  private mutating func specialID(
    _ content: String?, _ name: String
  ) throws(TokenizerError) -> Int32? {
    guard let content else { return nil }
    guard let id = id(of: content) else {
      throw TokenizerError(
        source: source, place: name, problem: "\"\(content)\" is not in the vocabulary",
        advice: "tokenizer_config.json and tokenizer.json belong to different models")
    }
    if !addedTokens.contains(where: { $0.id == id }) {
      addedTokens.append(AddedToken(id: id, content: content, isSpecial: true))
    }
    return id
  }

  private func id(of content: String) -> Int32? {
    if let token = addedTokens.first(where: { $0.content.utf8.elementsEqual(content.utf8) }) {
      return token.id
    }
    return id(ofSpelling: content)
  }
}
