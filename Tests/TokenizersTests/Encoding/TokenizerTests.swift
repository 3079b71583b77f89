import Testing
import Tokenizers

/// What a tokenizer promises whatever its vocabulary.
@Suite struct TokenizerTests {
  @Test func specialTokensInTextAreTextUnlessAskedFor() throws {
    let tokenizer = try Tokenizer(gguf: SmallVocabulary.gguf())
    let text = "hello<|im_end|>"
    #expect(tokenizer.encode(text, special: true).last == 2)
    #expect(!tokenizer.encode(text).contains(2))
    #expect(tokenizer.decode(tokenizer.encode(text)) == text)
  }

  @Test func specialTokensAreFoundByContent() throws {
    let tokenizer = try Tokenizer(gguf: SmallVocabulary.gguf())
    #expect(tokenizer.id(ofSpecial: "<|im_start|>") == 1)
    #expect(tokenizer.id(ofSpecial: "hello") == nil)
    #expect(tokenizer.isSpecial(1))
    #expect(!tokenizer.isSpecial(5))
    #expect(!tokenizer.isSpecial(-1))
  }

  @Test func piecesAreShownAsSpelledAndGivenAsBytes() throws {
    let tokenizer = try Tokenizer(gguf: SmallVocabulary.gguf())
    let ids = tokenizer.encode("hello world é")
    #expect(
      ids.compactMap { tokenizer.spelling(of: $0) } == ["hello", "Ġwor", "l", "d", "Ġ", "Ã©"])
    #expect(ids.last.map { Array(tokenizer.bytes(of: $0)) } == [0xC3, 0xA9])
    #expect(tokenizer.spelling(of: -1) == nil)
    #expect(tokenizer.spelling(of: .max) == nil)
  }

  @Test func idsOutsideTheVocabularyDecodeToNothing() throws {
    let tokenizer = try Tokenizer(gguf: SmallVocabulary.gguf())
    let count = Int32(tokenizer.vocabularyCount)
    #expect(tokenizer.decode([.min, -1, count, .max]) == "")
    #expect(tokenizer.bytes(of: count).isEmpty)
  }

  @Test func bytesWithoutTokenAreDroppedBeforeMerging() throws {
    let tokenizer = try Tokenizer(
      gguf: SmallVocabulary.gguf(bytes: "helo wrd".utf8.sorted().reduced(), merges: ["h e", "l l"]))
    #expect(tokenizer.encode("héello") == tokenizer.encode("hello"))
    #expect(tokenizer.decode(tokenizer.encode("é")) == "")
  }

  @Test func textSurvivesThereAndBack() throws {
    var random = SeededGenerator(seed: 3)
    for name in ["gpt2", "llama3"] {
      let tokenizer = try Fixtures.tokenizer(name)
      for _ in 0..<500 {
        var text = String.UnicodeScalarView()
        for _ in 0..<Int.random(in: 0..<20, using: &random) {
          let high = [0x80, 0x400, 0x3000, 0x11_0000].randomElement(using: &random) ?? 0x80
          guard let scalar = Unicode.Scalar(UInt32.random(in: 0..<UInt32(high), using: &random))
          else { continue }
          text.append(scalar)
        }
        let ids = tokenizer.encode(String(text))
        #expect(tokenizer.decode(ids).unicodeScalars.elementsEqual(text))
      }
    }
  }

  @Test func scanningAndTheHeapMergeAlike() throws {
    // Words at and around the length where one takes over from the other, against the plain rule.
    let merges = ["a b", "b a", "ab a", "a a", "aa b", "ab ab", "c c", "cc c", "b c", "aba c"]
    let vocabulary = SmallVocabulary.gguf(merges: merges)
    let tokenizer = try Tokenizer(gguf: vocabulary)
    var random = SeededGenerator(seed: 11)
    for length in [2, 10, 47, 48, 49, 50, 200] {
      for _ in 0..<20 {
        let word = (0..<length).map { _ in "abc".randomElement(using: &random) ?? "a" }
        let plain = PlainEncoding.encode(word.map { String($0) }, merges: merges)
        #expect(
          tokenizer.encode(String(word)).compactMap { tokenizer.spelling(of: $0) } == plain)
      }
    }
  }

  @Test func aVeryLongWordTakesNoVeryLongTime() throws {
    let tokenizer = try Tokenizer(
      gguf: SmallVocabulary.gguf(merges: ["a a", "aa aa", "aaaa aaaa"]))
    let clock = ContinuousClock()
    let count = 100_000
    let time = clock.measure {
      #expect(tokenizer.encode(String(repeating: "a", count: count)).count == count / 8)
    }
    // Quadratic time would be minutes.
    #expect(time < .seconds(60))
  }

  @Test func manyTasksShareOne() async throws {
    let tokenizer = try Fixtures.tokenizer("llama3")
    let cases = Array(try Fixtures.cases("llama3").prefix(80))
    try await withThrowingTaskGroup(of: Bool.self) { group in
      for _ in 0..<4 {
        group.addTask { cases.allSatisfy { tokenizer.encode($0.text) == $0.plain } }
      }
      for try await isSame in group { #expect(isSame) }
    }
  }

  @Test func theTemplateAroundATextIsKnown() throws {
    let tokenizer = try Fixtures.tokenizer("llama3")
    #expect(tokenizer.sequencePrefix == [1])
    #expect(tokenizer.sequenceSuffix == [])
  }
}

extension Sequence where Element: Equatable {
  /// Without repetitions of the element before.
  fileprivate func reduced() -> [Element] {
    reduce(into: []) { if $0.last != $1 { $0.append($1) } }
  }
}

/// Byte-pair encoding as its definition reads, with nothing done for speed.
private enum PlainEncoding {
  static func encode(_ symbols: [String], merges: [String]) -> [String] {
    var symbols = symbols
    while true {
      var best: (rank: Int, index: Int)?
      for index in symbols.indices.dropLast() {
        let pair = "\(symbols[index]) \(symbols[index + 1])"
        if let rank = merges.firstIndex(of: pair), rank < best?.rank ?? .max {
          best = (rank, index)
        }
      }
      guard let index = best?.index else { return symbols }
      symbols[index] += symbols.remove(at: index + 1)
    }
  }
}
