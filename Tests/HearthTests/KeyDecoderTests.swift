import Testing

@testable import hearth

@Suite struct KeyDecoderTests {
  private func keys(_ text: String) -> [Key] {
    var decoder = KeyDecoder()
    return decoder.decode(Array(text.utf8))
  }

  @Test(arguments: [
    ("a", Key.text("a")), ("\r", .enter), ("\n", .newline), ("\u{1B}\r", .newline), ("\u{1B}\n", .newline),
    ("\u{1B}[13;2u", .newline), ("\u{1B}[27;2;13~", .newline), ("\u{1B}[13u", .enter), ("\t", .tab),
    ("\u{7F}", .backspace), ("\u{8}", .backspace), ("\u{1B}[3~", .delete),
    ("\u{1B}[A", .up), ("\u{1B}OB", .down), ("\u{1B}[C", .right), ("\u{1B}OD", .left),
    ("\u{1B}[1;5C", .wordRight), ("\u{1B}[1;3D", .wordLeft), ("\u{1B}[1;2D", .left), ("\u{1B}b", .wordLeft),
    ("\u{1B}f", .wordRight), ("\u{1B}\u{1B}[D", .left),
    ("\u{1B}[H", .home), ("\u{1B}[1~", .home), ("\u{1B}[7~", .home), ("\u{1B}OH", .home), ("\u{1}", .home),
    ("\u{1B}[F", .end), ("\u{1B}[4~", .end), ("\u{1B}[8~", .end), ("\u{5}", .end),
    ("\u{2}", .left), ("\u{6}", .right), ("\u{10}", .up), ("\u{E}", .down),
    ("\u{17}", .deleteWordLeft), ("\u{1B}\u{7F}", .deleteWordLeft), ("\u{1B}d", .deleteWordRight),
    ("\u{1B}[3;5~", .deleteWordRight), ("\u{3}", .control("c")), ("\u{4}", .control("d")), ("\u{1A}", .control("z")),
    ("\u{1B}[15~", .unknown), ("\u{1B}[?1;2c", .unknown), ("\u{0}", .unknown),
  ])
  func knows(bytes: String, key: Key) {
    #expect(keys(bytes) == [key])
  }

  @Test func readsCharactersHoweverTheyAreCut() {
    let text = "aé東🙂\u{1B}[C\u{1B}[200~x\r\ny\u{1B}[201~z"
    let whole = keys(text)
    #expect(whole == [.text("a"), .text("é"), .text("東"), .text("🙂"), .right, .paste("x\ny"), .text("z")])
    var decoder = KeyDecoder()
    #expect(Array(text.utf8).flatMap { decoder.decode([$0]) } == whole)
  }

  @Test func replacesBytesThatAreNoText() {
    var decoder = KeyDecoder()
    #expect(decoder.decode([0xFF, 0x61]) == [.text("\u{FFFD}"), .text("a")])
    #expect(decoder.decode([0xE2, 0x82, 0x61]) == [.text("\u{FFFD}"), .text("a")])
    #expect(decoder.decode([0xC3, 0x1B, 0x5B, 0x41]) == [.text("\u{FFFD}"), .up])
  }

  @Test func aLoneEscapeNeedsTime() {
    var decoder = KeyDecoder()
    #expect(decoder.decode([0x1B]) == [])
    #expect(decoder.isWaiting)
    #expect(decoder.timeOut() == [.escape])
    #expect(!decoder.isWaiting)
    #expect(decoder.decode([0x1B]) == [])
    #expect(decoder.decode(Array("[A".utf8)) == [.up])
    #expect(decoder.timeOut() == [])
  }

  @Test func waitsForTheRestOfACharacterForEver() {
    var decoder = KeyDecoder()
    #expect(decoder.decode([0xE6, 0x9D]) == [])
    #expect(!decoder.isWaiting)
    #expect(decoder.timeOut() == [])
    #expect(decoder.decode([0xB1]) == [.text("東")])
  }

  @Test func pastedTextCommandsNothing() {
    #expect(
      keys("\u{1B}[200~a\u{3}\u{4}b\rc\r\nd\n\te\u{1B}[2J\u{7F}\u{9B}f\u{1B}[201~")
        == [.paste("ab\nc\nd\n\te[2Jf")])
    #expect(keys("\u{1B}[200~\u{1B}[201~") == [.paste("")])
  }

  @Test func survivesEndlessParameters() {
    let flood = "\u{1B}[" + String(repeating: "1;", count: 100_000) + "A"
    #expect(keys(flood).last == .text("A"))
  }
}
