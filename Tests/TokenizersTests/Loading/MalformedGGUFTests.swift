import Testing
import Tokenizers

/// A GGUF vocabulary that makes no sense is an error that says what and where.
@Suite struct MalformedGGUFTests {
  static let faults: [(String, @Sendable (inout GGUFVocabulary) -> Void, String)] = [
    ("another algorithm", { $0.model = "bert" }, "tokenizer.ggml.model"),
    ("Unigram", { $0.model = "t5" }, "\"t5\""),
    ("no algorithm", { $0.model = "" }, "tokenizer.ggml.model"),
    ("an unknown pattern", { $0.pre = "mystery" }, "\"mystery\""),
    ("no tokens", { $0.tokens = [] }, "tokenizer.ggml.tokens"),
    ("a token twice", { $0.tokens[5] = $0.tokens[4] }, "tokenizer.ggml.tokens[5]"),
    ("a merge of one", { $0.merges[1] = "ll" }, "tokenizer.ggml.merges[1]"),
    ("a merge of three", { $0.merges[1] = "l l l" }, "tokenizer.ggml.merges[1]"),
    ("an empty merge", { $0.merges[1] = "" }, "tokenizer.ggml.merges[1]"),
    ("a merge of nothing", { $0.merges[1] = " " }, "tokenizer.ggml.merges[1]"),
    ("a merge of an unknown token", { $0.merges[0] = "hh e" }, "\"hh\""),
    ("a merge into an unknown token", { $0.merges[0] = "x y" }, "\"xy\""),
    ("too few types", { $0.tokenTypes?.removeLast() }, "tokenizer.ggml.token_type"),
    ("an unknown type", { $0.tokenTypes?[7] = 9 }, "tokenizer.ggml.token_type[7]"),
    ("a beginning that is no id", { $0.beginningOfSequence = 10_000 }, "bos_token_id"),
    ("a negative end", { $0.endOfSequence = -1 }, "eos_token_id"),
    ("a huge padding", { $0.padding = .max }, "padding_token_id"),
    ("an unknown that is no id", { $0.unknown = .min }, "unknown_token_id"),
    ("an end of turn that is no id", { $0.endOfTurn = [1, 99_999] }, "eot_token_id"),
    ("an empty special token", { $0.tokens[2] = "" }, "added token 2"),
  ]

  @Test(arguments: faults.indices)
  func isAnError(index: Int) {
    let (name, spoil, expected) = Self.faults[index]
    var vocabulary = SmallVocabulary.gguf()
    spoil(&vocabulary)
    let error = #expect(throws: TokenizerError.self, "\(name)") {
      try Tokenizer(gguf: vocabulary)
    }
    #expect(error?.description.contains(expected) == true, "\(name): \(String(describing: error))")
  }

  @Test func aFileWithoutPatternOrTypesIsRead() throws {
    var vocabulary = SmallVocabulary.gguf(pre: nil)
    vocabulary.tokenTypes = nil
    vocabulary.addBeginningOfSequence = true
    let tokenizer = try Tokenizer(gguf: vocabulary)
    #expect(tokenizer.encode("<|im_end|>", special: true) == [2])
    #expect(tokenizer.sequencePrefix == [1])
  }

  @Test func llama3IgnoresMergesAndBeginsTexts() throws {
    // No merges lead to "hello" here; of words that are tokens Llama 3 takes the token at once.
    for (pre, count) in [("llama-bpe", 1), ("dbrx", 5)] {
      var vocabulary = SmallVocabulary.gguf(pre: pre)
      vocabulary.merges = []
      let tokenizer = try Tokenizer(gguf: vocabulary)
      #expect(tokenizer.encode("hello").count == count)
      #expect(tokenizer.sequencePrefix == (pre == "llama-bpe" ? [1] : []))
    }
  }

  @Test func qwen2Composes() throws {
    let tokenizer = try Tokenizer(gguf: SmallVocabulary.gguf(pre: "qwen2"))
    #expect(tokenizer.encode("e\u{301}") == tokenizer.encode("\u{E9}"))
  }
}
