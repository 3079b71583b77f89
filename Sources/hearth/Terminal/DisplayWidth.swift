/// How many cells a terminal gives a character.
///
/// East Asian wide and fullwidth characters (Unicode Standard Annex 11) and emoji take two, combining marks and joiners none.
enum DisplayWidth {
  /// Of a character as a person sees it: the widest of its scalars, or two when it asks for an emoji.
  static func of(_ character: Character) -> Int {
    if character == "\t" { return tabWidth }
    var width = 0
    for scalar in character.unicodeScalars {
      width = max(width, scalar.value == 0xFE0F ? 2 : of(scalar))
    }
    return width
  }

  static func of(_ text: some Sequence<Character>) -> Int { text.reduce(0) { $0 + of($1) } }

  /// A tab is shown as this many spaces.
  static let tabWidth = 4

  private static func of(_ scalar: Unicode.Scalar) -> Int {
    let value = scalar.value
    if value < 0x300 { return value < 0x20 || (0x7F..<0xA0).contains(value) ? 0 : 1 }
    // Vowels and finals of Hangul that join the syllable before them.
    if (0x1160...0x11FF).contains(value) { return 0 }
    switch scalar.properties.generalCategory {
    case .nonspacingMark, .enclosingMark, .format, .control, .lineSeparator, .paragraphSeparator: return 0
    default: break
    }
    if scalar.properties.isEmojiPresentation || (0x1F1E6...0x1F1FF).contains(value) { return 2 }
    return isWide(value) ? 2 : 1
  }

  private static func isWide(_ value: UInt32) -> Bool {
    var (low, high) = (0, wide.count)
    while low < high {
      let middle = (low + high) / 2
      if wide[middle].upperBound < value { low = middle + 1 } else { high = middle }
    }
    return low < wide.count && wide[low].contains(value)
  }

  /// Wide and fullwidth blocks of Unicode's EastAsianWidth.txt, holes of unassigned code points closed.
  private static let wide: [ClosedRange<UInt32>] = [
    0x1100...0x115F, 0x2329...0x232A, 0x2E80...0x303E, 0x3041...0x3247, 0x3250...0x4DBF, 0x4E00...0xA4CF,
    0xA960...0xA97F, 0xAC00...0xD7AF, 0xF900...0xFAFF, 0xFE10...0xFE1F, 0xFE30...0xFE6F, 0xFF01...0xFF60,
    0xFFE0...0xFFE6, 0x16FE0...0x18DFF, 0x1AFF0...0x1B2FF, 0x1F200...0x1F202, 0x1F210...0x1F23B, 0x1F240...0x1F248,
    0x1F250...0x1F265, 0x20000...0x3FFFD,
  ]
}
