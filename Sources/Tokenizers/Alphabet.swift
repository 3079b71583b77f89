/// What the symbols are that byte-pair encoding starts from, before anything has merged.
enum Alphabet: Sendable {
  /// Bytes: the token of each, or −1. Such bytes are dropped, or become the unknown token if there is one.
  case bytes([Int32])
  /// Characters, as SentencePiece has it.
  case characters(CharacterAlphabet)

  /// Appends the symbols of `text[start..<end]` to `symbols`.
  ///
  /// - Parameters:
  ///   - unknown: The id for what has no token.
  ///   - fuses: Whether neighbouring unknowns are one token.
  func symbols(
    _ text: Span<UInt8>, _ start: Int, _ end: Int, unknown: Int32?, fuses: Bool, into symbols: inout [Int32]
  ) {
    switch self {
    case .bytes(let tokens):
      var followsUnknown = false
      for index in start..<end {
        let token = tokens[Int(text[index])]
        if token >= 0 {
          symbols.append(token)
          followsUnknown = false
        } else if let unknown {
          if !(fuses && followsUnknown) { symbols.append(unknown) }
          followsUnknown = true
        }
      }
    case .characters(let characters):
      characters.symbols(text, start, end, unknown: unknown, fuses: fuses, into: &symbols)
    }
  }
}

/// The characters of a vocabulary, and the byte tokens that spell all others.
///
/// A vocabulary may hold "ab" but not "b". Such characters are symbols too, numbered from the vocabulary's end on, or "ab"
/// could not come about; those that stay alone are spelled in bytes at the end (`spelled`).
struct CharacterAlphabet: Sendable {
  /// The token of each ASCII character, or −1.
  private var ascii = [Int32](repeating: -1, count: 128)
  /// All characters that are symbols, and the symbol of each.
  private var characters: ByteStringTable
  private var tokens: [Int32] = []
  /// The token of each byte, or −1.
  private let byteTokens: [Int32]
  /// The first symbol that is no token.
  let firstSpare: Int32
  /// Characters of the symbols from `firstSpare` on.
  let spares: [[UInt8]]

  /// - Parameters:
  ///   - characters: each character that is a token, in UTF-8, with its id.
  ///   - byteTokens: the id of each byte's token or −1; empty when nothing falls back to bytes.
  ///   - spares: characters that are no tokens but parts of some.
  init(characters: [(character: [UInt8], id: Int32)], byteTokens: [Int32], spares: [[UInt8]], firstSpare: Int32) {
    self.byteTokens = byteTokens
    self.spares = spares
    self.firstSpare = firstSpare
    self.characters = ByteStringTable(capacity: characters.count + spares.count)
    let all = characters + spares.enumerated().map { ($1, firstSpare + Int32($0)) }
    for (character, id) in all {
      guard self.characters.append(character, isIndexed: true) == nil else {
        tokens.append(-1)
        continue
      }
      tokens.append(id)
      if character.count == 1, character[0] < 128 { ascii[Int(character[0])] = id }
    }
  }

  /// Appends the symbols of valid UTF-8.
  ///
  /// An unknown character waits for the next one that has a token of its own, so bytes that follow it come before it. That
  /// is how `tokenizers` does it; it shows only where some byte has no token.
  func symbols(
    _ text: Span<UInt8>, _ start: Int, _ end: Int, unknown: Int32?, fuses: Bool, into symbols: inout [Int32]
  ) {
    var index = start
    var isWaiting = false
    while index < end {
      let first = text[index]
      let length = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4
      let token = first < 0x80 ? ascii[Int(first)] : symbol(text, index, index + length)
      defer { index += length }
      if token >= 0 {
        if isWaiting, let unknown { symbols.append(unknown) }
        isWaiting = false
        symbols.append(token)
      } else if hasBytes(text, index, length) {
        for index in index..<index + length { symbols.append(byteTokens[Int(text[index])]) }
      } else if let unknown {
        if isWaiting, !fuses { symbols.append(unknown) }
        isWaiting = true
      }
    }
    if isWaiting, let unknown { symbols.append(unknown) }
  }

  private func symbol(_ text: Span<UInt8>, _ start: Int, _ end: Int) -> Int32 {
    let number = characters.number(of: text, start, end)
    return number < 0 ? -1 : tokens[Int(number)]
  }

  private func hasBytes(_ text: Span<UInt8>, _ start: Int, _ length: Int) -> Bool {
    guard !byteTokens.isEmpty else { return false }
    for index in start..<start + length where byteTokens[Int(text[index])] < 0 { return false }
    return true
  }

  /// Appends the tokens of symbols that are none: their bytes, or `unknown` for each byte without a token.
  func appendSpelled(_ symbol: Int32, unknown: Int32?, to ids: inout [Int32]) {
    for byte in spares[Int(symbol - firstSpare)] {
      let token = byteTokens.isEmpty ? -1 : byteTokens[Int(byte)]
      if token >= 0 { ids.append(token) } else if let unknown { ids.append(unknown) }
    }
  }
}
