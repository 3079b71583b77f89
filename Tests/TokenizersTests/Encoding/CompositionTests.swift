import Testing

@testable import Tokenizers

/// Normalisation form C, where Unicode's own rules are easily got wrong.
@Suite struct CompositionTests {
  /// In, and out as scalars.
  static let examples: [(String, [UInt32])] = [
    ("e\u{301}", [0xE9]),
    ("\u{E9}\u{323}", [0x1EB9, 0x301]),
    ("a\u{302}\u{323}", [0x1EAD]),
    ("a\u{315}\u{300}\u{5AE}\u{62}", [0xE0, 0x5AE, 0x315, 0x62]),
    // A starter between keeps them apart.
    ("a\u{200B}\u{301}", [0x61, 0x200B, 0x301]),
    // Two of a class: only the first composes.
    ("a\u{301}\u{300}", [0xE1, 0x300]),
    ("\u{1100}\u{1161}\u{11A8}", [0xAC01]),
    ("\u{AC00}\u{11A7}", [0xAC00, 0x11A7]),
    ("\u{212B}", [0xC5]),
    ("\u{F900}", [0x8C48]),
    // Excluded from composition.
    ("\u{958}", [0x915, 0x93C]),
    ("\u{FB1D}", [0x5D9, 0x5B4]),
    // U+0F71 and U+0F72 stay apart, and move before a mark of a higher class.
    ("a\u{345}\u{F73}", [0x61, 0xF71, 0xF72, 0x345]),
    // The low half of U+10041 is that of "A".
    ("\u{10041}\u{301}", [0x10041, 0x301]),
    ("\u{301}a", [0x301, 0x61]),
    ("", []),
  ]

  @Test(arguments: examples.indices)
  func textIsComposed(index: Int) {
    let (text, expected) = Self.examples[index]
    let composed = Normalizer.composed.normalize(text)
    #expect(composed.unicodeScalars.map(\.value) == expected)
    #expect(
      Normalizer.composed.normalize(composed).unicodeScalars.elementsEqual(composed.unicodeScalars))
  }

  @Test func aLongRunOfMarksIsSortedInTime() {
    let marks = String(repeating: "\u{301}\u{323}", count: 20_000)
    let composed = Normalizer.composed.normalize("a" + marks)
    #expect(composed.unicodeScalars.prefix(2).map(\.value) == [0x1EA1, 0x323])
    #expect(composed.unicodeScalars.count == 40_000)
  }
}
