/// What every kind of tokenizer file comes down to, before it is made fast.
struct TokenizerDefinition {
  /// More ids than any vocabulary has; a damaged file must not have us allocate for more.
  static let highestID = (1 << 22) - 1

  /// The file, for messages.
  var source: String
  /// Each id's spelling, in the byte-level alphabet if the vocabulary is; nil where an id has none.
  var vocabulary: [String?]
  /// Ids by spelling, once the vocabulary is checked.
  private(set) var spellings = ByteStringTable(capacity: 0)
  var merges = MergeTable(capacity: 0)
  var addedTokens: [AddedToken] = []
  /// Whether spellings are characters with `▁` for the space (SentencePiece), rather than bytes in the byte-level alphabet.
  var isOfCharacters = false
  /// Whether characters without a token are spelled in tokens such as `<0x0A>`.
  var fallsBackToBytes = false
  /// Characters that are parts of tokens without being one; they are symbols numbered from the vocabulary's end on.
  var spares: [[UInt8]] = []
  var decoding = DecodingRules.none
  var steps: [PreTokenizer.Step]
  var normalizer = Normalizer.none
  /// The id for bytes that have no token.
  var unknown: Int32?
  var fusesUnknown = false
  /// Whether a word that is in the vocabulary is its token, whatever the merges say.
  var ignoresMerges = false
  var prefix: [Int32] = []
  var suffix: [Int32] = []
  var specialTokens = SpecialTokens()

  /// Makes ids findable by spelling.
  ///
  /// - Parameter place: where in the file an id's spelling stands.
  /// - Throws: if two ids have the same spelling.
  mutating func indexSpellings(_ place: (Int) -> String) throws(TokenizerError) {
    var table = ByteStringTable(capacity: vocabulary.count)
    for (id, spelling) in vocabulary.enumerated() {
      let text = spelling ?? ""
      if let other = table.append(Array(text.utf8), isIndexed: !text.isEmpty) {
        throw TokenizerError(
          source: source, place: place(id),
          problem: "the token \"\(text)\" of id \(id) is that of id \(other) too")
      }
    }
    spellings = table
  }

  /// The id of the token spelled `content` in the vocabulary, or nil.
  func id(ofSpelling content: String) -> Int32? { id(ofSpelling: Array(content.utf8)) }

  /// The same of its bytes.
  func id(ofSpelling bytes: [UInt8]) -> Int32? { spellings.number(of: bytes) }

  /// Adds the merge of the tokens spelled `left` and `right`.
  ///
  /// - Throws: if either or both together are no tokens.
  mutating func insertMerge(
    _ left: Substring, _ right: Substring, rank: Int,
    place: @autoclosure () -> String
  ) throws(TokenizerError) {
    var ids: [Int32] = []
    for part in [Array(left.utf8), Array(right.utf8), Array(left.utf8) + Array(right.utf8)] {
      guard let id = spellings.number(of: part) else {
        throw TokenizerError(
          source: source, place: place(),
          problem:
            "expected tokens of the vocabulary, found \"\(String(decoding: part, as: UTF8.self))\"",
          advice: "the file is damaged, or its merges belong to another vocabulary")
      }
      ids.append(id)
    }
    merges.insert(left: ids[0], right: ids[1], rank: rank, merged: ids[2])
  }

  /// The added tokens, once they are known to make sense.
  ///
  /// - Throws: if two share an id or a content, or one has none.
  func checkedAddedTokens() throws(TokenizerError) -> [AddedToken] {
    var ids: Set<Int32> = []
    var contents: Set<[UInt8]> = []
    for token in addedTokens {
      let name = "added token \"\(token.content)\""
      guard !token.content.isEmpty else {
        throw TokenizerError(
          source: source, place: "added token \(token.id)", problem: "its content is empty")
      }
      guard token.id >= 0, Int(token.id) <= Self.highestID else {
        throw TokenizerError(
          source: source, place: name, problem: "its id \(token.id) is not in 0...\(Self.highestID)"
        )
      }
      guard ids.insert(token.id).inserted else {
        throw TokenizerError(
          source: source, place: name, problem: "another has the same id \(token.id)")
      }
      guard contents.insert(Array(token.content.utf8)).inserted else {
        throw TokenizerError(source: source, place: name, problem: "it stands twice")
      }
    }
    return addedTokens
  }
}
