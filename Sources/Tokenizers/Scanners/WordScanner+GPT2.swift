extension WordScanner {
  /// Where the word that begins at `start` ends, by GPT-2's pattern:
  ///
  ///     's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
  ///
  /// Radford et al., "Language Models are Unsupervised Multitask Learners" (2019), released code.
  func endOfGPT2Word(_ bytes: Span<UInt8>, _ start: Int, _ end: Int) -> Int {
    let first = bytes[start]
    if first == UInt8(ascii: "'") {
      let length = contraction(bytes, start, end, ignoresCase: false)
      if length > 0 { return start + length }
    }
    var (classes, length) = character(bytes, start)
    var next = start + length
    if first == UInt8(ascii: " "), next < end {
      let (following, followingLength) = character(bytes, next)
      if !following.contains(.space) {
        classes = following
        next += followingLength
      }
    }
    if classes.contains(.space) { return endOfSpace(bytes, start, end) }
    return endOfRun(bytes, next, end, of: classes.intersection(.pattern))
  }

  /// The bytes that an English contraction takes after the apostrophe at `start`, with it; 0 if there
  /// is none: 's 't 're 've 'm 'll 'd.
  func contraction(_ bytes: Span<UInt8>, _ start: Int, _ end: Int, ignoresCase: Bool) -> Int {
    // ASCII letters differ from their small ones in this bit alone.
    let mask: UInt8 = ignoresCase ? 0x20 : 0
    guard start + 1 < end else { return 0 }
    switch bytes[start + 1] | mask {
    case UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "d"): return 2
    case UInt8(ascii: "r"), UInt8(ascii: "v"):
      return start + 2 < end && bytes[start + 2] | mask == UInt8(ascii: "e") ? 3 : 0
    case UInt8(ascii: "l"):
      return start + 2 < end && bytes[start + 2] | mask == UInt8(ascii: "l") ? 3 : 0
    case 0xC5 | mask:
      // The long s, U+017F, is an s when case does not count.
      return ignoresCase && bytes[start + 1] == 0xC5 && bytes[start + 2] == 0xBF ? 3 : 0
    default: return 0
    }
  }
}
