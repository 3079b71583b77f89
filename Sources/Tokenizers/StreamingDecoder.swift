/// Decodes ids as they come, and never emits half a character.
///
/// What `append` and `finish` return, joined, equals `decode` of all the ids. Of a byte-level vocabulary at most three
/// bytes are held back, those that begin a character whose rest may follow. Of one that falls back to bytes, a run of byte
/// tokens is held back whole: as in `tokenizers`, only its end tells whether all of it is text.
public struct StreamingDecoder: Sendable {
  private let tokenizer: Tokenizer
  private let skipSpecial: Bool
  private var joiner: PieceJoiner

  /// - Parameter skipSpecial: whether special tokens are left out.
  public init(_ tokenizer: Tokenizer, skipSpecial: Bool = false) {
    self.tokenizer = tokenizer
    self.skipSpecial = skipSpecial
    joiner = tokenizer.joiner
  }

  /// The text that `id` completes; often empty, when a character is still in the making.
  public mutating func append(_ id: Int32) -> String {
    if skipSpecial, tokenizer.isSpecial(id) { return "" }
    return tokenizer.append(id, to: &joiner)
  }

  /// The text of the bytes held back, U+FFFD where they are no character. The decoder is then empty.
  public mutating func finish() -> String { joiner.finish() }

  /// How many bytes at the end of `bytes` begin a character without ending it.
  ///
  /// The Unicode Standard, table 3-7 "Well-Formed UTF-8 Byte Sequences": a lead byte whose
  /// continuation is impossible is wrong at once and not held back.
  static func unfinishedCount(_ bytes: [UInt8]) -> Int {
    for count in 1..<4 where count <= bytes.count {
      let lead = bytes[bytes.count - count]
      if lead & 0xC0 == 0x80 { continue }
      let length =
        switch lead {
        case 0xC2...0xDF: 2
        case 0xE0...0xEF: 3
        case 0xF0...0xF4: 4
        default: 1
        }
      guard count < length else { return 0 }
      guard count > 1 else { return 1 }
      let second = bytes[bytes.count - count + 1]
      let isPossible =
        switch lead {
        case 0xE0: second >= 0xA0
        case 0xED: second <= 0x9F
        case 0xF0: second >= 0x90
        case 0xF4: second <= 0x8F
        default: true
        }
      return isPossible ? count : 0
    }
    return 0
  }
}
