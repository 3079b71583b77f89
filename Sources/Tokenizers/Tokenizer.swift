/// What stands before a text that is encoded. Vocabularies of SentencePiece put a space before the first word of a text, and
/// some of them before every text that follows a special token.
public enum TextPlace: Sendable {
  /// Nothing: the text begins here.
  case start
  /// A special or other added token.
  case afterToken
  /// Text, of which this is the rest.
  case continued
}

/// Text to token ids and back: byte-pair encoding, of bytes or, as SentencePiece does, of characters.
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
  /// Keeps messages from spelling special tokens.
  public let forgeryGuard: ForgeryGuard
  private let isOfCharacters: Bool
  /// Whether an id is a byte token (`<0x0A>`) of a vocabulary of characters.
  private let isByte: [Bool]
  private let decoding: DecodingRules

  /// - Throws: if the definition contradicts itself.
  init(_ definition: TokenizerDefinition) throws(TokenizerError) {
    let added = try definition.checkedAddedTokens()
    var count = definition.vocabulary.count
    for token in added { count = max(count, Int(token.id) + 1) }
    var contents = [String?](repeating: nil, count: count)
    for token in added {
      // As `tokenizers` (0.23): a token that is found in normalised text is that text.
      contents[Int(token.id)] =
        token.isNormalized && definition.isOfCharacters
        ? definition.normalizer.normalize(token.content) : token.content
    }

    var pieces = ByteStringTable(capacity: count)
    var isByte = [Bool](repeating: false, count: count)
    for id in 0..<count {
      let spelling = id < definition.vocabulary.count ? definition.vocabulary[id] : nil
      let piece = definition.piece(spelling: spelling, content: contents[id])
      pieces.append(piece.bytes, isIndexed: piece.isIndexed)
      isByte[id] = piece.isByte
    }
    self.isByte = isByte
    isOfCharacters = definition.isOfCharacters
    decoding = definition.decoding
    vocabularyCount = count
    self.pieces = pieces
    addedTokens = added
    forgeryGuard = ForgeryGuard(added.filter(\.isSpecial).map(\.content))
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
      alphabet: definition.alphabet(), merges: definition.merges, unknown: definition.unknown,
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
  ///   - place: what stands before the text.
  /// - Returns: no beginning or end of sequence; see `sequencePrefix`.
  public func encode(_ text: String, special: Bool = false, at place: TextPlace = .start) -> [Int32] {
    encode(text, special: special, marks: [], at: place)
  }

  /// The ids of a rendered conversation: special tokens are recognised where the template wrote them, and nowhere else.
  ///
  /// - Parameter place: what stands before the text.
  public func encode(_ rendered: RenderedText, at place: TextPlace = .start) -> [Int32] {
    encode(rendered.text, special: true, marks: rendered.marks, at: place)
  }

  private func encode(_ text: String, special: Bool, marks: [Int], at place: TextPlace) -> [Int32] {
    var ids: [Int32] = []
    var scratch = BytePairEncoding.Scratch()
    guard verbatim.canMatch(special: special) else {
      encodeVerbatim(text, special: special, marks, place, scratch: &scratch, into: &ids)
      return ids
    }
    var text = text
    text.makeContiguousUTF8()
    let bytes = text.utf8.span
    for piece in verbatim.pieces(bytes, 0, bytes.count, special: special, marks: marks) {
      let place = piece.start == 0 ? place : .afterToken
      if let id = piece.id {
        ids.append(id)
      } else if normalizer == .none, !normalized.canMatch(special: special) {
        encodeText(bytes, piece.start, piece.end, place, scratch: &scratch, into: &ids)
      } else {
        let part = String(decoding: Self.copy(bytes, piece.start, piece.end), as: UTF8.self)
        let marks = marks.filter { $0 >= piece.start && $0 < piece.end }.map { $0 - piece.start }
        encodeVerbatim(part, special: special, marks, place, scratch: &scratch, into: &ids)
      }
    }
    return ids
  }

  /// Encodes text that holds no token to be found before normalising.
  private func encodeVerbatim(
    _ text: String, special: Bool, _ marks: [Int], _ place: TextPlace, scratch: inout BytePairEncoding.Scratch,
    into ids: inout [Int32]
  ) {
    let normalizer = place == .continued ? normalizer.continued : normalizer
    let original = text
    var text = normalizer.normalize(text)
    text.makeContiguousUTF8()
    let bytes = text.utf8.span
    guard normalized.canMatch(special: special) else {
      return encodeText(bytes, 0, bytes.count, place, scratch: &scratch, into: &ids)
    }
    let marks = Self.moved(marks, in: original, by: normalizer)
    for piece in normalized.pieces(bytes, 0, bytes.count, special: special, marks: marks) {
      if let id = piece.id {
        ids.append(id)
      } else {
        let place = piece.start == 0 ? place : .afterToken
        encodeText(bytes, piece.start, piece.end, place, scratch: &scratch, into: &ids)
      }
    }
  }

  /// Where marks in `text` lie once it is normalised.
  private static func moved(_ marks: [Int], in text: String, by normalizer: Normalizer) -> [Int] {
    var (moved, from, offset) = ([Int](), 0, 0)
    for mark in marks {
      let part = String(decoding: text.utf8.dropFirst(from).prefix(mark - from), as: UTF8.self)
      offset += (from == 0 ? normalizer : normalizer.continued).normalize(part).utf8.count
      from = mark
      moved.append(offset)
    }
    return moved
  }

  /// Encodes text that holds no added token.
  private func encodeText(
    _ bytes: Span<UInt8>, _ start: Int, _ end: Int, _ place: TextPlace,
    scratch: inout BytePairEncoding.Scratch, into ids: inout [Int32]
  ) {
    preTokenizer.forEachWord(bytes, start, end, place) { word, start, end in
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
    var joiner = joiner
    guard decoding == .none else {
      var text = ""
      for id in ids where !(skipSpecial && isSpecial(id)) { text += append(id, to: &joiner) }
      return text + joiner.finish()
    }
    var bytes: [UInt8] = []
    for id in ids where !(skipSpecial && isSpecial(id)) { bytes += self.bytes(of: id) }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// What puts tokens together to text.
  var joiner: PieceJoiner { PieceJoiner(decoding) }

  /// The text that `id` completes; an id without a token is passed over.
  func append(_ id: Int32, to joiner: inout PieceJoiner) -> String {
    let piece = bytes(of: id)
    return piece.isEmpty ? "" : joiner.append(piece, isByte: isByte[Int(id)] && decoding.joinsBytes)
  }

  /// How `id` is spelled for display: as in the vocabulary file, with `Ġ` or `▁` for a space; nil outside
  /// the vocabulary.
  public func spelling(of id: Int32) -> String? {
    guard id >= 0, Int(id) < vocabularyCount else { return nil }
    let bytes = pieces.string(Int(id))
    if isAdded[Int(id)] { return String(decoding: bytes, as: UTF8.self) }
    guard isOfCharacters else { return ByteLevelAlphabet.spelling(of: bytes) }
    if isByte[Int(id)], let byte = bytes.first { return TokenizerDefinition.spelling(ofByte: byte) }
    var spelling = String.UnicodeScalarView()
    for scalar in String(decoding: bytes, as: UTF8.self).unicodeScalars {
      spelling.append(scalar == " " ? "\u{2581}" : scalar)
    }
    return String(spelling)
  }

  /// Whether `id` is an added token, one that is looked for in the text itself.
  public func isAdded(_ id: Int32) -> Bool { id >= 0 && Int(id) < vocabularyCount && isAdded[Int(id)] }

  /// Whether `id` is a special token, one that steers the model and is not text.
  public func isSpecial(_ id: Int32) -> Bool {
    id >= 0 && Int(id) < vocabularyCount && isSpecial[Int(id)]
  }

  /// The id of the added or special token written `content` (`<|im_start|>`), or nil.
  public func id(ofSpecial content: String) -> Int32? {
    addedTokens.first { $0.content.utf8.elementsEqual(content.utf8) }?.id
  }
}
