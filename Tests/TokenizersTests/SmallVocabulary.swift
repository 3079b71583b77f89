import Tokenizers

/// A vocabulary of all bytes and a few merges, to show behaviour that does not hang on what was learnt.
enum SmallVocabulary {
  static let special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]

  /// How a byte is spelled in byte-level vocabularies.
  static func spelling(_ byte: UInt8) -> String {
    let printable = (UInt32(0x21)...0x7E).contains(UInt32(byte)) || (byte >= 0xA1 && byte != 0xAD)
    if printable { return String(Unicode.Scalar(byte)) }
    let moved = (UInt8.min..<byte).filter {
      !((UInt8(0x21)...0x7E).contains($0) || ($0 >= 0xA1 && $0 != 0xAD))
    }.count
    return Unicode.Scalar(0x100 + UInt32(moved)).map { String($0) } ?? ""
  }

  /// Three special tokens, the bytes of `bytes`, and what the merges make.
  static func gguf(
    pre: String? = "gpt-2", bytes: some Sequence<UInt8> = UInt8.min...UInt8.max,
    merges: [String] = ["h e", "l l", "he ll", "hell o", "Ġ w", "o r", "Ġw or", "Ã ©"]
  ) -> GGUFVocabulary {
    var tokens = special + bytes.map { spelling($0) }
    tokens += merges.map { $0.replacing(" ", with: "") }
    return GGUFVocabulary(
      model: "gpt2", pre: pre, tokens: tokens, merges: merges,
      tokenTypes: tokens.indices.map { $0 < special.count ? 3 : 1 }, beginningOfSequence: 1,
      endOfSequence: 2)
  }
}
