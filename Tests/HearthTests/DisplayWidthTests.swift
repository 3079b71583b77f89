import Testing

@testable import hearth

@Suite struct DisplayWidthTests {
  @Test(arguments: [
    ("", 0), ("abc", 3), ("é", 1), ("e\u{301}", 1), ("東京", 4), ("ｱ", 1), ("Ａ", 2), ("한글", 4),
    ("\u{1112}\u{1161}\u{11AB}", 2),
    ("🙂", 2), ("👍🏽", 2), ("👨‍👩‍👧", 2), ("🇩🇪", 2), ("❤️", 2), ("❤", 1), ("→", 1), ("\u{200B}", 0), ("Привет", 6), ("نص", 2),
    ("\t", 4),
  ])
  func counts(text: String, cells: Int) {
    #expect(DisplayWidth.of(text) == cells)
  }
}
