import Foundation
import Testing
import Tokenizers

/// Added tokens are found before text is cut into words. Expected ids beside those of the fixtures.
@Suite struct AddedTokenTests {
  /// The gpt2 fixture with more added tokens, the first with the id 700.
  private func tokenizer(_ tokens: [(content: String, flags: [String: Bool])]) throws -> Tokenizer {
    var document = try TokenizerDocument("gpt2")
    var added = document.root["added_tokens"] as? [[String: Any]] ?? []
    for (index, token) in tokens.enumerated() {
      var entry: [String: Any] = ["id": 700 + index, "content": token.content]
      entry.merge(token.flags) { $1 }
      added.append(entry)
    }
    document.root["added_tokens"] = added
    return try Tokenizer(tokenizerJSON: document.data())
  }

  @Test func theLongestWins() throws {
    let tokenizer = try tokenizer([("<a", [:]), ("<a><b", [:]), ("<a>", [:])])
    #expect(tokenizer.encode("<a><b<a><a") == [701, 702, 700])
  }

  @Test func ordinaryOnesAreAlwaysFound() throws {
    let tokenizer = try tokenizer([("<x>", [:]), ("<y>", ["special": true])])
    #expect(tokenizer.encode("<x>") == [700])
    #expect(!tokenizer.encode("<y>").contains(701))
    #expect(tokenizer.encode("<y>", special: true) == [701])
  }

  @Test func contentWithLettersOfTheAlphabetDecodesToItself() throws {
    // Hugging Face `tokenizers` takes such content for spelled bytes and decodes it to U+FFFD.
    let tokenizer = try tokenizer([("<é>", ["normalized": false])])
    #expect(tokenizer.encode("a<é>b").contains(700))
    #expect(tokenizer.decode(tokenizer.encode("a<é>b")) == "a<é>b")
    #expect(tokenizer.spelling(of: 700) == "<é>")
  }

  @Test func canonicallyEquivalentContentsAreTwoTokens() throws {
    let tokenizer = try tokenizer([("<\u{E9}>", [:]), ("<e\u{301}>", [:])])
    #expect(tokenizer.encode("<\u{E9}><e\u{301}>") == [700, 701])
  }

  @Test(arguments: [("", 700), ("<|im_end|>", 700)])
  func emptyOrRepeatedContentIsAnError(content: String, id: Int) {
    #expect(throws: TokenizerError.self) { try tokenizer([(content, [:])]) }
  }
}
