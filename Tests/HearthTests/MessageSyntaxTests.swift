import Testing

@testable import hearth

@Suite struct MessageSyntaxTests {
  @Test(arguments: [
    ("hello", false), ("hello\\", true), ("hello\\\\", false), ("a\\\nb", false), ("\"\"\"", true),
    ("\"\"\"a\nb", true), ("\"\"\"a\"\"\"", false), ("\"\"\"a\nb\n\"\"\"", false), ("say \"\"\"", false),
    ("/system \"\"\"", true), ("/system \"\"\"a\"\"\"", false), ("  \"\"\"", true), ("\"\"\"\"\"\"", false),
    ("\"\"\"a\\", true), ("", false), ("/", false), ("/help", false),
  ])
  func knowsWhatIsUnfinished(text: String, isIncomplete: Bool) {
    #expect(MessageSyntax.isIncomplete(text) == isIncomplete)
  }

  @Test(arguments: [
    ("hello", "hello"), ("one\\\ntwo", "one\ntwo"), ("one\ntwo", "one\ntwo"), ("a\\\\\nb", "a\\\\\nb"),
    ("\"\"\"a\nb\"\"\"", "a\nb"), ("\"\"\"\na\n b\n\"\"\"", "a\n b"), ("\"\"\"\na", "a"),
    ("/system \"\"\"\nBe\nbrief\n\"\"\"", "/system Be\nbrief"), ("\"\"\"\"\"\"", ""), ("\"\"\"a\"\"\" b", "a b"),
    ("ends\\", "ends\\"),
  ])
  func takesTheMarksAway(text: String, message: String) {
    #expect(MessageSyntax.message(text) == message)
  }
}
