import Testing

@testable import hearth

@Suite struct LineEditorTests {
  /// The text with the cursor as `|` after typing and pressing keys.
  private func after(_ typed: String, _ keys: Key...) -> String {
    var editor = LineEditor()
    type(typed, into: &editor)
    for key in keys { _ = editor.handle(key) }
    return shown(editor)
  }

  private func type(_ text: String, into editor: inout LineEditor) {
    for scalar in text.unicodeScalars { _ = editor.handle(scalar == "\n" ? .newline : .text(String(scalar))) }
  }

  private func shown(_ editor: LineEditor) -> String {
    String(editor.text[..<editor.cursor]) + "|" + String(editor.text[editor.cursor...])
  }

  @Test func insertsAndDeletes() {
    #expect(after("abc") == "abc|")
    #expect(after("abc", .left, .text("x")) == "abx|c")
    #expect(after("abc", .backspace) == "ab|")
    #expect(after("abc", .left, .left, .delete) == "a|c")
    #expect(after("abc", .left, .control("d")) == "ab|")
    #expect(after("", .backspace, .delete, .left, .right) == "|")
  }

  @Test func treatsCharactersAsAPersonDoes() {
    #expect(after("e\u{301}x", .left, .backspace) == "|x")
    #expect(after("👨‍👩‍👧x", .left, .left) == "|👨‍👩‍👧x")
    #expect(after("🇩🇪🇫🇷", .backspace) == "🇩🇪|")
    var editor = LineEditor()
    type("東京", into: &editor)
    #expect(editor.cursor == 2)
  }

  @Test func aMarkTypedBeforeALetterJoinsTheOneBefore() {
    // Deleting what stood between a letter and a mark joins them, and the cursor stays within the text.
    var editor = LineEditor()
    type("ab\u{301}", into: &editor)
    #expect(editor.text.count == 2)
    _ = editor.handle(.home)
    _ = editor.handle(.text("\u{301}"))
    #expect(editor.cursor <= editor.text.count)
    #expect(String(editor.text) == "\u{301}ab\u{301}")
  }

  @Test func movesWithinLines() {
    #expect(after("one two", .home) == "|one two")
    #expect(after("one two", .wordLeft) == "one |two")
    #expect(after("one, two", .wordLeft, .wordLeft) == "|one, two")
    #expect(after("one two", .home, .wordRight) == "one| two")
    #expect(after("ab\ncd", .home) == "ab\n|cd")
    #expect(after("ab\ncd", .up, .end) == "ab|\ncd")
  }

  @Test func movesBetweenLines() {
    #expect(after("abc\nd\nefg", .up) == "abc\nd|\nefg")
    #expect(after("abc\nabcd", .up) == "abc|\nabcd")
    #expect(after("abc\nabc", .left, .up) == "ab|c\nabc")
    #expect(after("東京都\nabcd", .up) == "東京|都\nabcd")
    #expect(after("abcd\n東京", .up, .down) == "abcd\n東京|")
  }

  @Test func cutsAndPutsBack() {
    #expect(after("one two", .home, .control("k")) == "|")
    #expect(after("one two", .control("u")) == "|")
    #expect(after("one two", .wordLeft, .control("u")) == "|two")
    #expect(after("ab\ncd", .control("u")) == "ab\n|")
    #expect(after("ab\ncd", .up, .home, .control("k")) == "|\ncd")
    #expect(after("ab\ncd", .up, .end, .control("k")) == "ab|cd")
    #expect(after("one two", .deleteWordLeft) == "one |")
    #expect(after("one two", .home, .deleteWordRight) == "| two")
    #expect(after("one two", .deleteWordLeft, .home, .control("y")) == "two|one ")
  }

  @Test func entersAndForgets() {
    var editor = LineEditor()
    type("hello", into: &editor)
    #expect(editor.handle(.enter) == .submit("hello"))
    #expect(shown(editor) == "|")
    #expect(editor.handle(.enter) == .submit(""))
    type("  ", into: &editor)
    #expect(editor.handle(.enter) == .submit(""))
    #expect(editor.text.isEmpty)
  }

  @Test func enterGoesOnWhereTheMessageIsUnfinished() {
    var editor = LineEditor()
    type("one\\", into: &editor)
    #expect(editor.handle(.enter) == .redraw)
    type("two", into: &editor)
    #expect(editor.handle(.enter) == .submit("one\\\ntwo"))
    type("\"\"\"a", into: &editor)
    #expect(editor.handle(.enter) == .redraw)
    type("b\"\"\"", into: &editor)
    #expect(editor.handle(.enter) == .submit("\"\"\"a\nb\"\"\""))
  }

  @Test func aPasteIsOneMessage() {
    var editor = LineEditor()
    #expect(editor.handle(.paste("a\nb\nc\n")) == .redraw)
    #expect(editor.handle(.enter) == .submit("a\nb\nc\n"))
  }

  @Test func endsOnlyWithNothingTyped() {
    var editor = LineEditor()
    #expect(editor.handle(.control("c")) == .interrupt)
    #expect(editor.handle(.control("d")) == .endOfInput)
    type("x", into: &editor)
    #expect(editor.handle(.control("c")) == .abandon)
    #expect(editor.handle(.control("d")) == .bell)
    #expect(editor.handle(.control("z")) == .suspend)
    #expect(editor.handle(.control("l")) == .clearScreen)
  }

  @Test func goesThroughTheHistoryAndBack() {
    var editor = LineEditor(history: InputHistory(["one", "two\nlines"]))
    type("draft", into: &editor)
    #expect(editor.handle(.up) == .redraw)
    #expect(shown(editor) == "two\nlines|")
    _ = editor.handle(.up)
    #expect(shown(editor) == "two|\nlines")
    _ = editor.handle(.up)
    #expect(shown(editor) == "one|")
    #expect(editor.handle(.up) == .bell)
    _ = editor.handle(.down)
    _ = editor.handle(.down)
    #expect(shown(editor) == "draft|")
    #expect(editor.handle(.down) == .bell)
  }

  @Test func completesCommands() {
    var editor = LineEditor(completions: ["/save", "/set", "/stats", "/system"])
    type("/sa", into: &editor)
    _ = editor.handle(.tab)
    #expect(shown(editor) == "/save|")
    _ = editor.handle(.tab)
    #expect(shown(editor) == "/save |")
    editor.clear()
    type("/s", into: &editor)
    #expect(editor.handle(.tab) == .bell)
    type("y", into: &editor)
    _ = editor.handle(.tab)
    #expect(shown(editor) == "/system|")
    editor.clear()
    type("hello", into: &editor)
    #expect(editor.handle(.tab) == .bell)
    #expect(shown(editor) == "hello|")
  }
}
