import Testing
import Tokenizers

@testable import Chat

struct DatasetPreviewTests {
  private let tokenizer = CharacterTokenizer()

  private func maker(length: Int = .max) -> ExampleTokenizer {
    let tokenizer = tokenizer
    return ExampleTokenizer(
      renderer: ClosureRenderer.chatML,
      tokens: MaskingTokens(begin: nil, end: 2, stops: [2], special: [1, 2]), maximumLength: length,
      encode: { text, _ in tokenizer.encode(text.text) })
  }

  private func example(_ question: String, _ answer: String) -> Example {
    Example(.conversation([Turn(.system, "S"), Turn(.user, question), Turn(.assistant, answer)]), file: "x", line: 1)
  }

  @Test func statisticsAddUp() throws {
    var statistics = DatasetStatistics()
    let full = try maker().tokenize(example("a", "bcd"))
    for answer in ["bcd", "b", String(repeating: "b", count: 60)] {
      statistics.add(try maker(length: full.fullLength).tokenize(example("a", answer)))
    }
    statistics.add(try maker(length: 5).tokenize(example("a", "bc")))
    #expect(statistics.exampleCount == 4)
    #expect(statistics.droppedCount == 1)
    #expect(statistics.truncatedCount == 2)
    #expect(statistics.supervisedCount == 4 + 2 + 5)
    #expect(statistics.lostSupervisedCount == 56 + 3)
    #expect(statistics.lengths == [full.fullLength, full.fullLength - 2, full.fullLength + 57, full.fullLength - 1])
    #expect(statistics.warnings.map(\.count) == [2, 1])
    #expect(statistics.length(at: 0.5) == full.fullLength - 1)
    #expect(statistics.length(at: 1) == full.fullLength + 57)
    let bars = statistics.histogram()
    #expect(bars.count <= 12 && bars.map(\.count).reduce(0, +) == 4)
    #expect(bars.allSatisfy { $0.lengths.count == bars[0].lengths.count })
    #expect(bars.allSatisfy { bar in statistics.lengths.contains { bar.lengths.contains($0) } == (bar.count > 0) })
    #expect(bars.first.map { $0.count > 0 } == true && bars.last.map { $0.count > 0 } == true)
    #expect(DatasetStatistics().histogram().isEmpty && DatasetStatistics().length(at: 0.5) == 0)
  }

  @Test func aFewLongExamplesDoNotHideTheOthers() throws {
    var statistics = DatasetStatistics()
    for index in 0..<300 {
      let answer = String(repeating: "b", count: index == 7 ? 4_000 : index % 40 + 1)
      statistics.add(try maker().tokenize(example("a", answer)))
    }
    let bars = statistics.histogram()
    #expect(bars.map(\.count).reduce(0, +) == 300 && bars.last?.count == 1)
    #expect(bars.filter { $0.count > 0 }.count > 5, "the others are still apart")
    #expect(bars.last?.lengths.upperBound == statistics.length(at: 1) + 1)
    #expect(zip(bars, bars.dropFirst()).allSatisfy { $0.lengths.upperBound == $1.lengths.lowerBound })
    #expect(bars.dropLast().allSatisfy { $0.lengths.count == bars[0].lengths.count })
  }

  @Test func previewMarksWhatCounts() throws {
    let outcome = try maker().tokenize(example("a\u{1B}[2J", "é\tb"))
    let tokenized = try #require(outcome.example)
    let tokenizer = tokenizer
    let bracketed = MaskPreview(style: .bracketed) { Array(tokenizer.decode($0).utf8) }
    #expect(
      bracketed.render(tokenized) == """
        <|im_start|>system
        S<|im_end|>
        <|im_start|>user
        a\\u{1b}[2J<|im_end|>
        <|im_start|>assistant
        [é\\u{9}b<|im_end|>]

        """)
    let colored = MaskPreview(style: .colored) { Array(tokenizer.decode($0).utf8) }
    #expect(colored.render(tokenized).contains("\u{1B}[32mé\\u{9}b<|im_end|>\u{1B}[0m\u{1B}[2m\n\u{1B}[0m"))
  }

  @Test func textCannotPassItselfOffAsMarks() throws {
    let tokenizer = tokenizer
    let bytes: @Sendable (Int32) -> [UInt8] = { Array(tokenizer.decode($0).utf8) }
    let plain = MaskPreview(style: .bracketed, bytes: bytes)
    let ordinary = try #require(try maker().tokenize(example("a", "b")).example)
    #expect(!plain.hasBrackets(ordinary))
    let bracketed = try #require(try maker().tokenize(example("[a]", "b\u{202E}c")).example)
    #expect(plain.hasBrackets(bracketed))
    let text = MaskPreview(style: .doublyBracketed, bytes: bytes).render(bracketed)
    #expect(text.contains("[a]<|im_end|>") && text.contains("⟦b\\u{202e}c<|im_end|>⟧"))
  }
}
