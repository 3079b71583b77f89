import Foundation
import Testing
import Tokenizers

/// Vocabularies of SentencePiece: ids and texts are those of Hugging Face `tokenizers` and of `sentencepiece` itself.
@Suite struct SentencePieceTests {
  struct Golden: Decodable {
    struct Case: Decodable {
      var text: String
      var plain, special: [Int32]
      var decoded: String
      var sentencepiece: [Int32]?
    }

    struct Stream: Decodable {
      var ids: [Int32]
      var text, skipped: String
    }

    struct Variant: Decodable {
      var name: String
      var cases: [Case]
      var streams: [Stream]
    }

    var scores: [Float]
    var types: [Int32]
    var variants: [Variant]
  }

  static let golden = Result { try JSONDecoder().decode(Golden.self, from: Fixtures.data("sentencepiece.cases")) }

  /// The tokenizer.json of variant `index`.
  private func document(_ index: Int) throws -> Data {
    var document = try TokenizerDocument("sentencepiece")
    let data = try Fixtures.data("sentencepiece.cases")
    let all = try #require(JSONSerialization.jsonObject(with: data) as? [String: Any])
    let variant = try #require(all["variants"] as? [[String: Any]])[index]
    document.root.merge(variant["root"] as? [String: Any] ?? [:]) { $1 }
    document.model.merge(variant["model"] as? [String: Any] ?? [:]) { $1 }
    var vocabulary = try #require(document.model["vocab"] as? [String: Int])
    for (old, new) in variant["renamed"] as? [String: String] ?? [:] {
      vocabulary[new] = vocabulary.removeValue(forKey: old)
    }
    document.model["vocab"] = vocabulary
    let added = try #require(document.root["added_tokens"] as? [Any])
    document.root["added_tokens"] = added + (variant["added"] as? [Any] ?? [])
    return try document.data()
  }

  /// The vocabulary as a GGUF file has it.
  static func gguf() throws -> GGUFVocabulary {
    let golden = try golden.get()
    let tokens = try TokenizerDocument("sentencepiece").tokens
    return GGUFVocabulary(
      model: "llama", pre: "default", tokens: tokens, merges: [], scores: golden.scores, tokenTypes: golden.types,
      beginningOfSequence: 1, endOfSequence: 2, unknown: 0)
  }

  private func same(_ left: String, _ right: String) -> Bool { left.utf8.elementsEqual(right.utf8) }

  @Test(arguments: 0..<11)
  func idsAndTextsAreTheReferences(index: Int) throws {
    let variant = try Self.golden.get().variants[index]
    let tokenizer = try Tokenizer(tokenizerJSON: document(index))
    for example in variant.cases {
      let name = "\(variant.name): \(example.text.debugDescription)"
      #expect(tokenizer.encode(example.text) == example.plain, "\(name)")
      #expect(tokenizer.encode(example.text, special: true) == example.special, "\(name)")
      #expect(same(tokenizer.decode(example.special), example.decoded), "\(name)")
    }
    for stream in variant.streams {
      let name = "\(variant.name): \(stream.ids)"
      #expect(same(tokenizer.decode(stream.ids), stream.text), "\(name)")
      #expect(same(tokenizer.decode(stream.ids, skipSpecial: true), stream.skipped), "\(name)")
      for (skips, text) in [(false, stream.text), (true, stream.skipped)] {
        var decoder = StreamingDecoder(tokenizer, skipSpecial: skips)
        let pieces = stream.ids.map { decoder.append($0) } + [decoder.finish()]
        #expect(same(pieces.joined(), text), "\(name)")
      }
    }
  }

  @Test func aGGUFVocabularyGivesTheIdsOfSentencePiece() throws {
    let variant = try #require(try Self.golden.get().variants.first)
    let tokenizer = try Tokenizer(gguf: Self.gguf())
    #expect(tokenizer.sequencePrefix == [1])
    for example in variant.cases {
      #expect(tokenizer.encode(example.text, special: true) == example.special, "\(example.text.debugDescription)")
      #expect(same(tokenizer.decode(example.special), example.decoded))
      #expect(tokenizer.encode(example.text) == example.sentencepiece, "\(example.text.debugDescription)")
    }
  }

  @Test func withoutAPrefixNoSpaceIsAddedOrTaken() throws {
    var vocabulary = try Self.gguf()
    vocabulary.addSpacePrefix = false
    let tokenizer = try Tokenizer(gguf: vocabulary)
    #expect(tokenizer.decode(tokenizer.encode("the fox")) == "the fox")
    #expect(tokenizer.decode(tokenizer.encode(" the fox")) == " the fox")
    #expect(tokenizer.encode("the fox") != (try Tokenizer(gguf: Self.gguf())).encode("the fox"))
  }

  @Test func aTextThatGoesOnHasNoSpaceBeforeIt() throws {
    for index in 0..<3 {
      let tokenizer = try Tokenizer(tokenizerJSON: document(index))
      let whole = tokenizer.encode("one\nfox")
      #expect(tokenizer.encode("one\n") + tokenizer.encode("fox", at: .continued) == whole)
      #expect(tokenizer.encode("one\n") + tokenizer.encode("fox") != whole)
      let after = tokenizer.encode("<s>fox", special: true)
      #expect([1] + tokenizer.encode("fox", at: .afterToken) == after)
    }
  }

  @Test func piecesAreShownAsSpelledAndGivenAsBytes() throws {
    let tokenizer = try Tokenizer(gguf: Self.gguf())
    let ids = tokenizer.encode("the\n")
    #expect(ids.compactMap { tokenizer.spelling(of: $0) }.joined() == "▁the<0x0A>")
    #expect(ids.flatMap { tokenizer.bytes(of: $0) } == Array(" the\n".utf8))
  }

  @Test func equalScoresMergeFromTheLeft() throws {
    // "ab" and "bc" are equally good, so of "abc" the left pair wins, though its id is higher.
    let tokens = ["<unk>", "<s>", "</s>", "a", "b", "c", "bc", "ab"]
    let tokenizer = try Tokenizer(
      gguf: GGUFVocabulary(
        model: "llama", pre: nil, tokens: tokens, merges: [], scores: [0, 0, 0, -9, -9, -9, -1, -1],
        addSpacePrefix: false, tokenTypes: [2, 3, 3, 1, 1, 1, 1, 1]))
    #expect(tokenizer.encode("abc") == [7, 5])
    #expect(tokenizer.encode("bcabc") == [6, 7, 5])
  }

  @Test func tokensOfCharactersThatAreNoneComeAbout() throws {
    // "q" is no token: alone it is bytes, beside "a" a part of "qa".
    let bytes = (0..<256).map { "<0x" + ($0 < 16 ? "0" : "") + String($0, radix: 16, uppercase: true) + ">" }
    let tokens = ["<unk>", "<s>", "</s>"] + bytes + ["a", "qa"]
    let types: [Int32] = [2, 3, 3] + bytes.map { _ in 6 } + [1, 1]
    let tokenizer = try Tokenizer(
      gguf: GGUFVocabulary(
        model: "llama", pre: nil, tokens: tokens, merges: [], scores: tokens.map { _ in 0 }, addSpacePrefix: false,
        tokenTypes: types))
    #expect(tokenizer.encode("qaq") == [260, 3 + 0x71])
  }

  @Test func controlTokensNeverComeAboutByMerging() throws {
    let tokens = ["<unk>", "<s>", "</s>", "<", "s", ">", "s>"]
    let tokenizer = try Tokenizer(
      gguf: GGUFVocabulary(
        model: "llama", pre: nil, tokens: tokens, merges: [], scores: [0, 0, 0, -1, -1, -1, -1], addSpacePrefix: false,
        tokenTypes: [2, 3, 3, 1, 1, 1, 1]))
    #expect(tokenizer.encode("<s>") == [3, 6])
    #expect(tokenizer.encode("<s>", special: true) == [1])
  }

  @Test(arguments: ["word ", "漢", " ", "a", "👍"])
  func aMegabyteTakesNoVeryLongTime(part: String) throws {
    let tokenizer = try Tokenizer(gguf: Self.gguf())
    let text = String(repeating: part, count: 1_000_000 / part.utf8.count)
    let time = ContinuousClock().measure { #expect(!tokenizer.encode(text).isEmpty) }
    // Quadratic time would be hours.
    #expect(time < .seconds(60))
  }
}

/// A SentencePiece vocabulary that makes no sense is an error that says what and where.
@Suite struct MalformedSentencePieceTests {
  static let faults: [(String, @Sendable (inout GGUFVocabulary) -> Void, String)] = [
    ("no scores", { $0.scores = nil }, "tokenizer.ggml.scores"),
    ("too few scores", { $0.scores?.removeLast() }, "tokenizer.ggml.scores"),
    ("a score that is none", { $0.scores?[7] = .nan }, "tokenizer.ggml.scores[7]"),
    ("too few types", { $0.tokenTypes?.removeLast() }, "tokenizer.ggml.token_type"),
    ("an unknown type", { $0.tokenTypes?[7] = 9 }, "tokenizer.ggml.token_type[7]"),
    ("a token twice", { $0.tokens[300] = $0.tokens[299] }, "tokenizer.ggml.tokens[300]"),
    ("a beginning that is no id", { $0.beginningOfSequence = 100_000 }, "bos_token_id"),
  ]

  @Test(arguments: faults.indices)
  func isAnError(index: Int) throws {
    let (name, spoil, expected) = Self.faults[index]
    var vocabulary = try SentencePieceTests.gguf()
    spoil(&vocabulary)
    let error = #expect(throws: TokenizerError.self, "\(name)") { try Tokenizer(gguf: vocabulary) }
    #expect(error?.description.contains(expected) == true, "\(name): \(String(describing: error))")
  }

  static let documents: [(from: String, to: String, message: String)] = [
    (#""prepend":"▁""#, #""prepend":"_""#, "prepend"),
    (#""type":"Prepend""#, #""type":"NFKC""#, "NFKC"),
    (#""String":" ""#, #""Regex":" ""#, "pattern"),
    (#""pre_tokenizer":null"#, #""pre_tokenizer":{"type":"Whitespace"}"#, "Whitespace"),
    (#""pre_tokenizer":null"#, #""pre_tokenizer":{"type":"Metaspace","replacement":"_"}"#, "replacement"),
    (
      #""pre_tokenizer":null"#, #""pre_tokenizer":{"type":"Metaspace","replacement":"▁","prepend_scheme":"last"}"#,
      "prepend_scheme"
    ),
    (#"{"type":"Fuse"},"#, #"{"type":"Fuse"},{"type":"CTC"},"#, "CTC"),
    (#"{"type":"Fuse"},"#, "", "in this order"),
    (#""stop":0"#, #""stop":1"#, "stop"),
    (#""start":1"#, #""start":-1"#, "start"),
    (#""unk_token":"<unk>""#, #""unk_token":"<none>""#, "<none>"),
  ]

  @Test(arguments: documents.indices)
  func soIsASettingThatIsNotUnderstood(index: Int) throws {
    let (from, to, message) = Self.documents[index]
    let good = String(decoding: try Fixtures.data("sentencepiece"), as: UTF8.self)
    let range = try #require(good.range(of: from), "no place for \(to)")
    let error = #expect(throws: TokenizerError.self, "\(to)") {
      try Tokenizer(tokenizerJSON: Data(good.replacingCharacters(in: range, with: to).utf8))
    }
    #expect(error?.description.contains(message) == true, "\(to): \(String(describing: error))")
  }
}
