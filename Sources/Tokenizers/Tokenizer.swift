/// Text to token ids and back: byte-level byte-pair encoding.
///
/// Immutable, so one instance serves any number of threads. Other algorithms (Unigram, WordPiece)
/// are refused when loading, with an error that names them.
public final class Tokenizer: Sendable {
  /// One more than the highest id.
  public let vocabularyCount: Int
  /// The ids with a meaning of their own.
  public let specialTokens: SpecialTokens
  /// Ids that the tokenizer's own post-processor puts before a text (the beginning of sequence, for
  /// the models that want one). `encode` does not add them.
  public let sequencePrefix: [Int32]
  /// Ids that it puts after a text.
  public let sequenceSuffix: [Int32]

  /// Each id's bytes; ids without a token have none.
  private let pieces: ByteStringTable
  private let isAdded: [Bool]
  private let isSpecial: [Bool]
  /// Whether a word equal to this id's piece is encoded as it: what lets most words do without
  /// merging.
  private let isWhole: [Bool]
  private let encoding: BytePairEncoding
  private let preTokenizer: PreTokenizer
  private let normalizer: Normalizer
  /// Added tokens that are looked for in the text as it is.
  private let verbatim: AddedTokenMatcher
  /// Added tokens that are looked for in normalised text.
  private let normalized: AddedTokenMatcher
  private let addedTokens: [AddedToken]

  /// - Throws: if the definition contradicts itself.
  init(_ definition: TokenizerDefinition) throws(TokenizerError) {
    let added = try definition.checkedAddedTokens()
    var count = definition.vocabulary.count
    for token in added { count = max(count, Int(token.id) + 1) }
    var contents = [String?](repeating: nil, count: count)
    for token in added { contents[Int(token.id)] = token.content }

    var pieces = ByteStringTable(capacity: count)
    var byteTokens = [Int32](repeating: -1, count: 256)
    for id in 0..<count {
      let spelling = id < definition.vocabulary.count ? definition.vocabulary[id] : nil
      let bytes = spelling.flatMap { ByteLevelAlphabet.bytes(of: $0) }
      if let bytes, bytes.count == 1, byteTokens[Int(bytes[0])] < 0 {
        byteTokens[Int(bytes[0])] = Int32(id)
      }
      // An added token's content is text, even where its letters are of the alphabet too.
      let piece = contents[id].map { Array($0.utf8) } ?? bytes ?? spelling.map { Array($0.utf8) }
      pieces.append(piece ?? [], isIndexed: bytes != nil && bytes == piece && bytes != [])
    }
    vocabularyCount = count
    self.pieces = pieces
    addedTokens = added
    specialTokens = definition.specialTokens
    sequencePrefix = definition.prefix
    sequenceSuffix = definition.suffix
    var isAdded = [Bool](repeating: false, count: count)
    var isSpecial = isAdded
    for token in added {
      isAdded[Int(token.id)] = true
      isSpecial[Int(token.id)] = token.isSpecial
    }
    self.isAdded = isAdded
    self.isSpecial = isSpecial
    normalizer = definition.normalizer
    preTokenizer = PreTokenizer(steps: definition.steps)
    verbatim = AddedTokenMatcher(added.filter { !$0.isNormalized })
    normalized = AddedTokenMatcher(
      added.filter(\.isNormalized).map { token in
        var token = token
        token.content = definition.normalizer.normalize(token.content)
        return token
      })
    let encoding = BytePairEncoding(
      byteTokens: byteTokens, merges: definition.merges, unknown: definition.unknown,
      fusesUnknown: definition.fusesUnknown)
    self.encoding = encoding
    isWhole = Self.wholes(
      pieces, encoding, count: definition.vocabulary.count, always: definition.ignoresMerges)
  }

  /// Which pieces come out whole when they are words.
  ///
  /// - Parameter always: whether all do (`ignore_merges`), even those that no merges lead to.
  private static func wholes(
    _ pieces: ByteStringTable, _ encoding: BytePairEncoding, count: Int, always: Bool
  ) -> [Bool] {
    if always { return [Bool](repeating: true, count: count) }
    var scratch = BytePairEncoding.Scratch()
    var ids: [Int32] = []
    let bytes = pieces.bytes.span
    return (0..<count).map { id in
      let range = pieces.range(of: id)
      // Longer ones are not worth their place in the reader's patience at load.
      guard range.count <= BytePairEncoding.longestScannedWord else { return false }
      ids.removeAll(keepingCapacity: true)
      encoding.encode(bytes, range.lowerBound, range.upperBound, scratch: &scratch, into: &ids)
      return ids.count == 1 && ids[0] == Int32(id)
    }
  }

  // MARK: Text to ids

  /// The ids of `text`.
  ///
  /// - Parameters:
  ///   - special: whether special tokens written in the text (`<|im_end|>`) become their ids. Leave
  ///     it false for what people type, or they can end the conversation for the model.
  /// - Returns: no beginning or end of sequence; see `sequencePrefix`.
  public func encode(_ text: String, special: Bool = false) -> [Int32] {
    var ids: [Int32] = []
    var scratch = BytePairEncoding.Scratch()
    guard verbatim.canMatch(special: special) else {
      encodeVerbatim(text, special: special, scratch: &scratch, into: &ids)
      return ids
    }
    var text = text
    text.makeContiguousUTF8()
    let bytes = text.utf8.span
    for piece in verbatim.pieces(bytes, 0, bytes.count, special: special) {
      if let id = piece.id {
        ids.append(id)
      } else if normalizer == .none, !normalized.canMatch(special: special) {
        encodeText(bytes, piece.start, piece.end, scratch: &scratch, into: &ids)
      } else {
        let part = String(decoding: Self.copy(bytes, piece.start, piece.end), as: UTF8.self)
        encodeVerbatim(part, special: special, scratch: &scratch, into: &ids)
      }
    }
    return ids
  }

  /// Encodes text that holds no token to be found before normalising.
  private func encodeVerbatim(
    _ text: String, special: Bool, scratch: inout BytePairEncoding.Scratch, into ids: inout [Int32]
  ) {
    var text = normalizer.normalize(text)
    text.makeContiguousUTF8()
    let bytes = text.utf8.span
    guard normalized.canMatch(special: special) else {
      return encodeText(bytes, 0, bytes.count, scratch: &scratch, into: &ids)
    }
    for piece in normalized.pieces(bytes, 0, bytes.count, special: special) {
      if let id = piece.id {
        ids.append(id)
      } else {
        encodeText(bytes, piece.start, piece.end, scratch: &scratch, into: &ids)
      }
    }
  }

  /// Encodes text that holds no added token.
  private func encodeText(
    _ bytes: Span<UInt8>, _ start: Int, _ end: Int,
    scratch: inout BytePairEncoding.Scratch, into ids: inout [Int32]
  ) {
    preTokenizer.forEachWord(bytes, start, end) { word, start, end in
      let whole = pieces.number(of: word, start, end)
      if whole >= 0, isWhole[Int(whole)] {
        ids.append(whole)
      } else {
        encoding.encode(word, start, end, scratch: &scratch, into: &ids)
      }
    }
  }

  private static func copy(_ bytes: Span<UInt8>, _ start: Int, _ end: Int) -> [UInt8] {
    var copy: [UInt8] = []
    copy.reserveCapacity(end - start)
    for index in start..<end { copy.append(bytes[index]) }
    return copy
  }

  // MARK: Ids to text

  /// The bytes that `id` stands for; none for an id outside the vocabulary.
  public func bytes(of id: Int32) -> ArraySlice<UInt8> {
    guard id >= 0, Int(id) < vocabularyCount else { return [] }
    return pieces.string(Int(id))
  }

  /// The text of `ids`; bytes that form no character become U+FFFD, ids outside the vocabulary
  /// nothing.
  ///
  /// - Parameter skipSpecial: whether special tokens are left out.
  public func decode(_ ids: some Sequence<Int32>, skipSpecial: Bool = false) -> String {
    var bytes: [UInt8] = []
    for id in ids {
      guard id >= 0, Int(id) < vocabularyCount, !(skipSpecial && isSpecial[Int(id)]) else {
        continue
      }
      bytes += pieces.string(Int(id))
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// How `id` is spelled for display: as in the vocabulary file, with `Ġ` for a space; nil outside
  /// the vocabulary.
  public func spelling(of id: Int32) -> String? {
    guard id >= 0, Int(id) < vocabularyCount else { return nil }
    let bytes = pieces.string(Int(id))
    if isAdded[Int(id)] { return String(decoding: bytes, as: UTF8.self) }
    return ByteLevelAlphabet.spelling(of: bytes)
  }

  /// Whether `id` is a special token, one that steers the model and is not text.
  public func isSpecial(_ id: Int32) -> Bool {
    id >= 0 && Int(id) < vocabularyCount && isSpecial[Int(id)]
  }

  /// The id of the added or special token written `content` (`<|im_start|>`), or nil.
  public func id(ofSpecial content: String) -> Int32? {
    addedTokens.first { $0.content.utf8.elementsEqual(content.utf8) }?.id
  }
}
