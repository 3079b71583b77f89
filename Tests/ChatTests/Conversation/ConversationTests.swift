import Chat
import Testing
import Tokenizers

@Suite struct ConversationTests {
  private func talk() -> Conversation {
    var talk = Conversation()
    talk.system = "Be brief."
    talk.ask("One?")
    talk.answer("1")
    talk.ask("Two?")
    talk.answer("2")
    return talk
  }

  @Test func keepsTheSystemMessageFirst() {
    var talk = talk()
    talk.system = "Be long."
    #expect(talk.messages.map(\.role) == ["system", "user", "assistant", "user", "assistant"])
    #expect(talk.system == "Be long.")
    talk.system = nil
    #expect(talk.messages.map(\.role) == ["user", "assistant", "user", "assistant"])
    #expect(talk.system == nil)
  }

  @Test func reopensTheLastQuestion() {
    var talk = talk()
    #expect(talk.reopen() == "Two?")
    #expect(talk.hasOpenQuestion)
    #expect(talk.answer == nil)
    #expect(talk.reopen() == "Two?")
    talk.answer("two")
    #expect(talk.answer == "two")
    #expect(talk.answerCount == 2)
  }

  @Test func takesBackExchangesOneByOne() {
    var talk = talk()
    #expect(talk.undo() == "Two?")
    #expect(talk.undo() == "One?")
    #expect(talk.undo() == nil)
    #expect(talk.isEmpty)
    #expect(talk.system == "Be brief.")
  }

  @Test func aNewQuestionReplacesAnOpenOne() {
    var talk = Conversation()
    talk.ask("Lost?")
    talk.ask("Asked.")
    #expect(talk.messages == [ChatMessage(role: "user", content: "Asked.")])
  }

  @Test func clearingKeepsTheSystemMessage() {
    var talk = talk()
    talk.clear()
    #expect(talk.messages == [ChatMessage(role: "system", content: "Be brief.")])
    var bare = Conversation([ChatMessage(role: "user", content: "Hi")])
    bare.clear()
    #expect(bare.messages.isEmpty)
    #expect(bare.reopen() == nil)
  }
}
