/// Cuts text into words as the regular expressions of byte-level vocabularies do, by hand: linear in
/// the text whatever it holds.
///
/// The text is valid UTF-8 in `bytes[..<end]`; nothing beyond `end` is looked at, so that a pattern's
/// end of text is the end of the piece.
struct WordScanner: Sendable {
  private let table = CharacterClassTable.shared

  /// The classes of ASCII, which most text is.
  private let ascii: [UInt8] = (UInt32(0)..<128).map {
    CharacterClassTable.shared.classes(of: $0).rawValue
  }

  /// The character at `index`: its classes and how many bytes it takes.
  @inline(__always)
  func character(
    _ bytes: Span<UInt8>, _ index: Int
  ) -> (classes: CharacterClass, length: Int) {
    let first = bytes[index]
    if first < 0x80 { return (CharacterClass(rawValue: ascii[Int(first)]), 1) }
    if first < 0xE0 {
      let value = UInt32(first & 0x1F) << 6 | UInt32(bytes[index + 1] & 0x3F)
      return (table.classes(of: value), 2)
    }
    if first < 0xF0 {
      let value =
        UInt32(first & 0x0F) << 12 | UInt32(bytes[index + 1] & 0x3F) << 6
        | UInt32(bytes[index + 2] & 0x3F)
      return (table.classes(of: value), 3)
    }
    let value =
      UInt32(first & 0x07) << 18 | UInt32(bytes[index + 1] & 0x3F) << 12
      | UInt32(bytes[index + 2] & 0x3F) << 6 | UInt32(bytes[index + 3] & 0x3F)
    return (table.classes(of: value), 4)
  }

  /// Where the run of characters ends, from `index`, whose classes among letter, number and space
  /// are exactly `wanted`.
  @inline(__always)
  func endOfRun(
    _ bytes: Span<UInt8>, _ index: Int, _ end: Int, of wanted: CharacterClass
  ) -> Int {
    var index = index
    while index < end {
      let (classes, length) = character(bytes, index)
      guard classes.intersection(.pattern) == wanted else { break }
      index += length
    }
    return index
  }

  /// Where a run of white space ends for `\s+(?!\S)|\s+`: the run leaves its last character to the
  /// word that follows, unless nothing follows or it is the only one.
  @inline(__always)
  func endOfSpace(_ bytes: Span<UInt8>, _ start: Int, _ end: Int) -> Int {
    var index = start
    var last = start
    while index < end {
      let (classes, length) = character(bytes, index)
      guard classes.contains(.space) else { return last > start ? last : index }
      last = index
      index += length
    }
    return index
  }

  /// Where a run of Unicode characters ends that stands before numbers are taken out one at a time.
  ///
  /// - Returns: the end of the text that precedes the first number at or after `index`, and the
  ///   number's length in bytes; `end` and 0 if there is none.
  func nextDigit(
    _ bytes: Span<UInt8>, _ index: Int, _ end: Int, as wanted: CharacterClass
  ) -> (start: Int, length: Int) {
    var index = index
    while index < end {
      let (classes, length) = character(bytes, index)
      if classes.contains(wanted) { return (index, length) }
      index += length
    }
    return (end, 0)
  }
}
