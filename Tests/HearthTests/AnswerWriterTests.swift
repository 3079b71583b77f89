import Testing

@testable import hearth

@Suite struct AnswerWriterTests {
  private func written(_ text: String, width: Int?) -> String {
    var writer = AnswerWriter(width: width)
    let whole = writer.append(text) + writer.finish()
    var pieces = AnswerWriter(width: width)
    let split = text.unicodeScalars.map { pieces.append(String($0)) }.joined() + pieces.finish()
    #expect(split == whole)
    return whole
  }

  @Test func breaksBetweenWords() {
    #expect(written("one two three four", width: 10) == "one two\nthree four")
    #expect(written("exactly te n", width: 10) == "exactly te\nn")
    #expect(written("short", width: 10) == "short")
  }

  @Test func keepsTheAnswersOwnLines() {
    #expect(written("one\n\n  two\n- three\n", width: 10) == "one\n\n  two\n- three\n")
    #expect(written("one two three", width: nil) == "one two three")
  }

  @Test func leavesCodeAsItIs() {
    let code = "```swift\nlet a = [1, 2, 3, 4, 5]\n```"
    #expect(written(code + "\none two three", width: 10) == code + "\none two\nthree")
  }

  @Test func breaksWideTextBetweenCharacters() {
    #expect(written("東京都東京都", width: 10) == "東京都東京\n都")
  }

  @Test func leavesWordsWiderThanTheRowToTheTerminal() {
    let long = String(repeating: "x", count: 25)
    #expect(written(long + " y", width: 10) == long + " y")
    #expect(written("a " + long, width: 10) == "a\n" + long)
  }

  @Test func lettersCommandNothing() {
    #expect(written("a\u{1B}[2Jb\r\u{7}c\u{9B}d\tx", width: nil) == "a[2Jbcd    x")
  }
}
