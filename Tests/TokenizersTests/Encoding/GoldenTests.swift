import Testing
import Tokenizers

/// Ids and texts are those of Hugging Face `tokenizers`, one small vocabulary a pattern.
@Suite struct GoldenTests {
  @Test(arguments: Fixtures.names)
  func idsAndTextsAreTheReferences(name: String) throws {
    let tokenizer = try Fixtures.tokenizer(name)
    let cases = try Fixtures.cases(name)
    #expect(cases.count > 200)
    for example in cases {
      #expect(tokenizer.encode(example.text) == example.plain, "\(example.text.debugDescription)")
      #expect(
        tokenizer.encode(example.text, special: true) == example.special,
        "\(example.text.debugDescription)")
      #expect(
        tokenizer.decode(example.special).unicodeScalars.elementsEqual(
          example.decoded.unicodeScalars), "\(example.text.debugDescription)")
    }
  }

  @Test func aVocabularyFromGGUFGivesTheSameIds() throws {
    for (name, pre) in [("gpt2", "gpt-2"), ("smollm", "smollm"), ("llama3", "llama-bpe")] {
      let reference = try Fixtures.tokenizer(name)
      let document = try TokenizerDocument(name)
      let tokens = document.tokens
      var vocabulary = GGUFVocabulary(
        model: "gpt2", pre: pre, tokens: tokens, merges: document.merges,
        tokenTypes: tokens.indices.map { reference.isSpecial(Int32($0)) ? 3 : 1 })
      vocabulary.endOfSequence = 2
      let tokenizer = try Tokenizer(gguf: vocabulary)
      #expect(tokenizer.specialTokens.endOfGeneration == [2])
      for example in try Fixtures.cases(name) {
        #expect(tokenizer.encode(example.text, special: true) == example.special)
      }
    }
  }
}
