import Foundation
import TestSupport
import Testing
import Tokenizers

/// Tokenizers from a folder to GGUF and back, on the fixtures that `tokenizers` made.
@Suite("Tokenizer conversion") struct TokenizerConversionTests {
  private struct Case: Decodable {
    var text: String
    var plain: [Int32]
    var special: [Int32]
  }

  private struct Cases: Decodable {
    var cases: [Case]
  }

  private func folder<Result>(_ json: Data, _ use: (URL) throws -> Result) throws -> Result {
    try withFile(Array(json), named: "tokenizer.json") { path in
      try use(URL(filePath: path).deletingLastPathComponent())
    }
  }

  private func fixture(_ name: String) throws -> Data {
    try Data(contentsOf: URL(filePath: Fixtures.path("tokenizers/\(name).json")))
  }

  @Test(arguments: ["gpt2", "smollm", "llama3", "qwen2"]) func idsSurvive(_ name: String) throws {
    let cases = try JSONDecoder().decode(Cases.self, from: fixture("\(name).cases")).cases
    #expect(cases.count > 20)
    let original = try Tokenizer(tokenizerJSON: try fixture(name))
    // A few rows more than tokens, as models have them.
    let vocabulary = try folder(try fixture(name)) {
      try GGUFVocabulary(folder: $0, count: original.vocabularyCount + 3)
    }
    #expect(vocabulary.tokens.count == original.vocabularyCount + 3)
    let gguf = try Tokenizer(gguf: vocabulary)
    let json = try vocabulary.tokenizerJSON()
    let back = try Tokenizer(tokenizerJSON: Data(json.utf8))
    // GGUF cannot say that a token takes the space beside it along, or stands alone; the export says so.
    let lost = try folder(try fixture(name)) { try GGUFVocabulary.lost(folder: $0) }
    for item in cases where !lost.contains(where: { item.text.contains($0) }) {
      #expect(gguf.encode(item.text) == item.plain, "\(name): \(item.text.debugDescription)")
      #expect(gguf.encode(item.text, special: true) == item.special, "\(name): \(item.text.debugDescription)")
      #expect(back.encode(item.text) == item.plain, "\(name): \(item.text.debugDescription)")
      #expect(back.encode(item.text, special: true) == item.special, "\(name): \(item.text.debugDescription)")
    }
  }

  @Test func sentencePieceSurvives() throws {
    struct Golden: Decodable {
      struct Variant: Decodable { var cases: [Case] }
      var scores: [Float]
      var variants: [Variant]
    }
    let golden = try JSONDecoder().decode(Golden.self, from: fixture("sentencepiece.cases"))
    let vocabulary = try folder(try fixture("sentencepiece")) {
      try GGUFVocabulary(folder: $0, count: golden.scores.count + 3)
    }
    #expect(vocabulary.model == "llama")
    let gguf = try Tokenizer(gguf: vocabulary)
    let back = try Tokenizer(tokenizerJSON: Data(vocabulary.tokenizerJSON().utf8))
    for item in try #require(golden.variants.first).cases {
      for tokenizer in [gguf, back] {
        #expect(tokenizer.encode(item.text) == item.plain, "\(item.text.debugDescription)")
        #expect(tokenizer.encode(item.text, special: true) == item.special, "\(item.text.debugDescription)")
      }
    }
    #expect(back.sequencePrefix == gguf.sequencePrefix)
    // The order of merges is that of transformers, so the file comes back as it was.
    let merges = { (data: Data) in
      let root = try #require(JSONSerialization.jsonObject(with: data) as? [String: Any])
      let list = try #require((root["model"] as? [String: Any])?["merges"] as? [Any])
      return list.map { ($0 as? [String])?.joined(separator: " ") ?? $0 as? String ?? "" }
    }
    #expect(try merges(Data(vocabulary.tokenizerJSON().utf8)) == merges(try fixture("sentencepiece")))
  }

  @Test(arguments: [
    (
      #""pre_tokenizer":null"#, #""pre_tokenizer":{"type":"Metaspace","replacement":"▁","prepend_scheme":"first"}"#,
      "Metaspace"
    ),
    (#""byte_fallback":true"#, #""byte_fallback":false"#, "byte_fallback"),
    (#""merges":[["#, #""merges":[["▁▁","▁▁"],["#, "do not stand together"),
    (#""merges":[["▁","▁"],"#, #""merges":["#, "lacks a merge"),
  ])
  func whatGGUFWouldDoOtherwiseIsRefused(from: String, to: String, message: String) throws {
    var text = String(decoding: try fixture("sentencepiece"), as: UTF8.self)
    if message == "Metaspace" {
      text = text.replacing(#"{"type":"Prepend","prepend":"▁"},"#, with: "")
    }
    let range = try #require(text.range(of: from))
    let json = Data(text.replacingCharacters(in: range, with: to).utf8)
    let error = #expect(throws: TokenizerError.self) {
      _ = try folder(json) { try GGUFVocabulary(folder: $0, count: 2_000) }
    }
    #expect(error?.description.contains(message) == true, "\(String(describing: error))")
  }

  @Test func whatGGUFCannotSayIsListed() throws {
    #expect(try folder(try fixture("qwen2")) { try GGUFVocabulary.lost(folder: $0) }.isEmpty == false)
    #expect(try folder(try fixture("smollm")) { try GGUFVocabulary.lost(folder: $0) }.isEmpty)
  }

  @Test func namesThatGGUFLacksAreErrors() throws {
    let error = #expect(throws: TokenizerError.self) {
      _ = try folder(try fixture("prefix")) { try GGUFVocabulary(folder: $0, count: 100_000) }
    }
    #expect(error?.place == "pre_tokenizer")
  }

  @Test func aVocabularyLargerThanTheModelIsAnError() throws {
    let error = #expect(throws: TokenizerError.self) {
      _ = try folder(try fixture("smollm")) { try GGUFVocabulary(folder: $0, count: 10) }
    }
    #expect(error?.description.contains("10 rows") == true)
  }

  @Test func beginningsAreWritten() throws {
    var vocabulary = GGUFVocabulary(
      model: "gpt2", pre: "llama-bpe", tokens: ["a", "b", "ab", "<s>", "</s>"], merges: ["a b"],
      tokenTypes: [1, 1, 1, 3, 3], beginningOfSequence: 3, endOfSequence: 4, addEndOfSequence: true)
    let both = try Tokenizer(tokenizerJSON: Data(vocabulary.tokenizerJSON().utf8))
    #expect(both.sequencePrefix == [3])
    #expect(both.sequenceSuffix == [4])
    vocabulary.addBeginningOfSequence = false
    vocabulary.addEndOfSequence = nil
    let none = try Tokenizer(tokenizerJSON: Data(vocabulary.tokenizerJSON().utf8))
    #expect(none.sequencePrefix.isEmpty && none.sequenceSuffix.isEmpty)
    #expect(none.encode("ab<s>", special: true) == [2, 3])
  }
}
