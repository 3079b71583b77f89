extension TokenizerDefinition {
  /// What a token is when encoding and decoding.
  struct Piece {
    /// What it stands for.
    var bytes: [UInt8]
    /// Whether a word equal to `bytes` may be it.
    var isIndexed: Bool
    /// Whether it stands for a byte, spelled `<0x0A>`.
    var isByte = false
  }

  /// What a token stands for.
  ///
  /// - Parameters:
  ///   - spelling: in the vocabulary, nil if it is not there.
  ///   - content: of the added token with this id.
  func piece(spelling: String?, content: String?) -> Piece {
    guard isOfCharacters else {
      let bytes = spelling.flatMap { ByteLevelAlphabet.bytes(of: $0) }
      // An added token's content is text, even where its letters are of the alphabet too.
      let piece = content.map { Array($0.utf8) } ?? bytes ?? spelling.map { Array($0.utf8) }
      return Piece(bytes: piece ?? [], isIndexed: bytes != nil && bytes == piece && bytes != [])
    }
    guard let text = content ?? spelling else { return Piece(bytes: [], isIndexed: false) }
    if let byte = Self.byte(ofSpelling: text), decoding.joinsBytes {
      return Piece(bytes: [byte], isIndexed: false, isByte: true)
    }
    // Texts never hold a space where tokens are looked for, but `▁`, which is the space inside Hearth.
    let isIndexed = spelling != nil && !text.isEmpty && !text.utf8.contains(UInt8(ascii: " "))
    return Piece(bytes: Array(Normalizer.spaced(text).utf8), isIndexed: isIndexed)
  }

  /// The symbols that encoding starts from.
  func alphabet() -> Alphabet {
    isOfCharacters ? .characters(characters()) : .bytes(byteLevelTokens())
  }

  private func byteLevelTokens() -> [Int32] {
    var tokens = [Int32](repeating: -1, count: 256)
    for (id, spelling) in vocabulary.enumerated() {
      guard let spelling, let bytes = ByteLevelAlphabet.bytes(of: spelling), bytes.count == 1 else { continue }
      if tokens[Int(bytes[0])] < 0 { tokens[Int(bytes[0])] = Int32(id) }
    }
    return tokens
  }

  private func characters() -> CharacterAlphabet {
    var characters: [(character: [UInt8], id: Int32)] = []
    for (id, spelling) in vocabulary.enumerated() {
      guard let spelling, spelling.unicodeScalars.count == 1, spelling != " " else { continue }
      characters.append((Array(Normalizer.spaced(spelling).utf8), Int32(id)))
    }
    var bytes: [Int32] = []
    if fallsBackToBytes {
      bytes = (UInt8.min...UInt8.max).map { id(ofSpelling: Self.spelling(ofByte: $0)) ?? -1 }
    }
    return CharacterAlphabet(
      characters: characters, byteTokens: bytes, spares: spares, firstSpare: Int32(vocabulary.count))
  }

  // MARK: Byte tokens

  /// `<0x0A>` for a line feed.
  static func spelling(ofByte byte: UInt8) -> String {
    let digits = String(byte, radix: 16, uppercase: true)
    return "<0x" + (digits.utf8.count < 2 ? "0" : "") + digits + ">"
  }

  /// The byte that a token spelled `<0x0A>` stands for.
  static func byte(ofSpelling spelling: String) -> UInt8? {
    let text = Array(spelling.utf8)
    guard text.count == 6, spelling.hasPrefix("<0x"), spelling.hasSuffix(">") else { return nil }
    var byte: UInt8 = 0
    for digit in text[3..<5] {
      guard let value = Unicode.Scalar(digit).hexadecimalValue else { return nil }
      byte = byte << 4 | UInt8(value)
    }
    return byte
  }

  /// Whether words may be taken apart before every space that follows something else: true if no token holds such a
  /// space, so that no merge crosses one.
  func mayCutBeforeSpaces() -> Bool {
    guard id(ofSpelling: "\u{2581}") != nil else { return false }
    return vocabulary.allSatisfy { spelling in
      guard let spelling else { return true }
      var sawOther = false
      for scalar in spelling.unicodeScalars {
        if scalar == "\u{2581}" {
          if sawOther { return false }
        } else {
          sawOther = true
        }
      }
      return true
    }
  }
}
