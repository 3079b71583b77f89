import Testing

@testable import hearth

@Suite struct PromptLayoutTests {
  private func layout(_ text: String, cursor: Int? = nil, width: Int) -> PromptLayout {
    let text = Array(text)
    return PromptLayout(
      prompt: "> ", continuation: ". ", text: text, cursor: cursor ?? text.count, width: width)
  }

  @Test func placesTheCursor() {
    let empty = layout("", width: 10)
    #expect((empty.cursorRow, empty.cursorColumn) == (0, 2))
    let lines = layout("ab\ncd", width: 10)
    #expect(lines.rows.map(\.text) == ["ab", "cd"])
    #expect(lines.rows.map(\.prefix) == ["> ", ". "])
    #expect((lines.cursorRow, lines.cursorColumn) == (1, 4))
    let middle = layout("ab\ncd", cursor: 2, width: 10)
    #expect((middle.cursorRow, middle.cursorColumn) == (0, 4))
  }

  @Test func wrapsLongLines() {
    let long = layout("abcdefghij", cursor: 3, width: 6)
    #expect(long.rows.map(\.text) == ["abcd", "efghij", ""].prefix(long.rows.count).map { $0 })
    #expect((long.cursorRow, long.cursorColumn) == (0, 5))
    let end = layout("abcdefghij", width: 6)
    #expect(end.rows.map(\.text) == ["abcd", "efghij", ""])
    #expect((end.cursorRow, end.cursorColumn) == (2, 0))
    let boundary = layout("abcdefghij", cursor: 4, width: 6)
    #expect((boundary.cursorRow, boundary.cursorColumn) == (1, 0))
  }

  @Test func neverSplitsAWideCharacter() {
    let wide = layout("a東京都", width: 6)
    #expect(wide.rows.map(\.text) == ["a東", "京都"])
    #expect((wide.cursorRow, wide.cursorColumn) == (1, 4))
    let full = layout("東京", width: 6)
    #expect(full.rows.map(\.text) == ["東京", ""])
    let accents = layout("e\u{301}e\u{301}", width: 10)
    #expect(accents.cursorColumn == 4)
  }

  @Test func staysOnARowThatALineEndFills() {
    let full = layout("abcd\nx", cursor: 4, width: 6)
    #expect(full.rows.map(\.text) == ["abcd", "x"])
    #expect((full.cursorRow, full.cursorColumn) == (0, 5))
  }
}
