import Foundation
import Testing
import Tokenizers

@testable import Chat

@Suite struct SavedConversationTests {
  private let talk = Conversation([
    ChatMessage(role: "system", content: "Sei höflich. \"Bitte\" \\ /"),
    ChatMessage(role: "user", content: "Line one\nline two\t東京 🙂 e\u{301}"),
    ChatMessage(role: "assistant", content: "\u{1}</s> answer"),
  ])

  private func withFolder(_ body: (String) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "saved-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    try body(folder.path)
  }

  @Test func readsWhatItWrote() throws {
    try withFolder { folder in
      let saved = SavedConversation(model: "smollm2", talk)
      try saved.write(to: folder + "/talk.json")
      #expect(try SavedConversation(from: folder + "/talk.json") == saved)
      let attributes = try FileManager.default.attributesOfItem(atPath: folder + "/talk.json")
      #expect(attributes[.posixPermissions] as? Int == 0o600)
    }
  }

  @Test func writesOneLineWithTheModelFirst() throws {
    let text = try SavedConversation(
      model: "m", Conversation([ChatMessage(role: "user", content: "a\nb")])
    ).json()
    #expect(text == #"{"model": "m", "messages": [{"role": "user", "content": "a\nb"}]}"# + "\n")
  }

  @Test func isALineOfTrainingData() throws {
    try withFolder { folder in
      let saved = SavedConversation(model: "smollm2", talk)
      try AtomicText.write(try saved.json() + saved.json(), folder + "/train.jsonl")
      let examples = try Dataset(files: [folder + "/train.jsonl"]).examples
      #expect(examples.count == 2)
      #expect(
        examples[0].content
          == .conversation([
            Turn(.system, talk.messages[0].content ?? ""), Turn(.user, talk.messages[1].content ?? ""),
            Turn(.assistant, talk.messages[2].content ?? ""),
          ]))
    }
  }

  @Test func readsALineOfMany() throws {
    try withFolder { folder in
      let lines = """
        {"messages": [{"role": "user", "content": "first"}], "id": 7}

        {"messages": [{"role": "user", "content": "third"}]}
        """
      try AtomicText.write(lines, folder + "/train.jsonl")
      let third = try SavedConversation(from: folder + "/train.jsonl:3")
      #expect(third == SavedConversation(model: nil, Conversation([ChatMessage(role: "user", content: "third")])))
      let error = #expect(throws: ConversationError.self) { try SavedConversation(from: folder + "/train.jsonl") }
      #expect(error?.description.contains("holds 2 conversations") == true)
      #expect(error?.description.contains("train.jsonl:1") == true)
    }
  }

  @Test func keepsToolCalls() throws {
    let text = #"{"messages": [{"role": "assistant", "content": null, "tool_calls": [{"b": 1, "a": [true, null]}]}]}"#
    let saved = try SavedConversation(text, file: "x.json")
    #expect(saved.conversation.messages[0].content == nil)
    #expect(try SavedConversation(saved.json(), file: "y.json").conversation.messages[0].toolCalls?["b"] == nil)
    #expect(try SavedConversation(saved.json(), file: "y.json") == saved)
  }

  @Test func readsIndentedJSON() throws {
    let saved = try SavedConversation(
      "{\n \"messages\": [\n {\"role\": \"user\",\n \"content\": \"x\"}\n]\n}\n", file: "f")
    #expect(saved.conversation.question == "x")
  }

  @Test(arguments: [
    ("", "is not JSON"),
    ("hello", "is not JSON"),
    ("[]", "a list of \"messages\""),
    ("{\"prompt\": \"x\"}", "a list of \"messages\""),
    ("{\"messages\": [{\"content\": \"x\"}]}", "messages[0]: expected a \"role\""),
    ("{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}, {\"role\": \"user\"}]}", "messages[1]: expected text"),
    ("{\"messages\": [{\"role\": \"user\", \"content\": [1]}]}", "found something else"),
    ("{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}", "is not JSON"),
  ])
  func saysWhatIsWrong(text: String, expected: String) {
    let error = #expect(throws: ConversationError.self) { try SavedConversation(text, file: "talk.json") }
    #expect(error?.description.hasPrefix("talk.json") == true)
    #expect(error?.description.contains(expected) == true, "\(error?.description ?? "")")
  }

  @Test func saysThatAFileIsMissing() {
    let error = #expect(throws: ConversationError.self) { try SavedConversation(from: "/nowhere/talk.json") }
    #expect(error?.description == "/nowhere/talk.json: there is no such file")
    let line = #expect(throws: ConversationError.self) { try SavedConversation("{}", line: 4, file: "f") }
    #expect(line?.description == "f: has 1 lines, so there is no line 4")
  }
}

private enum AtomicText {
  static func write(_ text: String, _ path: String) throws {
    try Data(text.utf8).write(to: URL(filePath: path))
  }
}
