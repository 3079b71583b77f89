import Testing
import Tokenizers

/// Streamed text is the decoded text, in whole characters.
@Suite struct StreamingDecoderTests {
  @Test func charactersAppearOnlyWhole() throws {
    let tokenizer = try Tokenizer(gguf: SmallVocabulary.gguf(merges: []))
    var decoder = StreamingDecoder(tokenizer)
    let pieces = tokenizer.encode("aé漢👍").map { decoder.append($0) }
    #expect(pieces == ["a", "", "é", "", "", "漢", "", "", "", "👍"])
    #expect(decoder.finish() == "")
  }

  @Test func whatIsLeftHalfBecomesOneReplacement() throws {
    let tokenizer = try Tokenizer(gguf: SmallVocabulary.gguf(merges: []))
    var decoder = StreamingDecoder(tokenizer)
    let ids = tokenizer.encode("👍").dropLast()
    #expect(ids.map { decoder.append($0) } == ["", "", ""])
    #expect(decoder.finish() == "\u{FFFD}")
    #expect(decoder.finish() == "")
  }

  @Test func joinedItEqualsDecoding() throws {
    let tokenizer = try Tokenizer(gguf: SmallVocabulary.gguf())
    var random = SeededGenerator(seed: 7)
    // Leads, continuations and impossible bytes far more often than chance has them.
    let awkward: [UInt8] = [
      0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC2, 0xDF, 0xE0, 0xE1, 0xED, 0xEF, 0xF0, 0xF1,
      0xF4, 0xF5, 0xFF, 0x41,
    ]
    for _ in 0..<2000 {
      let ids = (0..<Int.random(in: 0..<12, using: &random)).map { _ in
        Int32.random(in: 0..<10, using: &random) == 0
          ? Int32.random(in: -5..<300, using: &random)
          : 3 + Int32(awkward.randomElement(using: &random) ?? 0)
      }
      var decoder = StreamingDecoder(tokenizer)
      var text = ids.map { decoder.append($0) }.joined()
      text += decoder.finish()
      #expect(text.unicodeScalars.elementsEqual(tokenizer.decode(ids).unicodeScalars))
    }
  }

  @Test func specialTokensCanBeLeftOut() throws {
    let tokenizer = try Tokenizer(gguf: SmallVocabulary.gguf())
    let ids = tokenizer.encode("hello<|im_end|>", special: true)
    var decoder = StreamingDecoder(tokenizer, skipSpecial: true)
    #expect(ids.map { decoder.append($0) }.joined() == "hello")
    #expect(tokenizer.decode(ids, skipSpecial: true) == "hello")
    #expect(tokenizer.decode(ids) == "hello<|im_end|>")
  }
}
