import Foundation
import Testing

@testable import hearth

/// What is written by hand is what `JSONEncoder` writes, to the byte.
@Suite struct JSONWriterTests {
  private struct Plain: Encodable {
    let ids: [Int32]
    let pieces: [String]
  }

  private func line(_ pieces: [String], _ ids: [Int32] = []) throws -> (ours: String, theirs: String) {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    let theirs = try encoder.encode(Plain(ids: ids, pieces: pieces))
    let ours = try JSONOutput.line(Tokenize.Pieces(ids: ids, pieces: pieces))
    return (String(decoding: ours, as: UTF8.self), String(decoding: theirs, as: UTF8.self) + "\n")
  }

  @Test func everyScalarOfTheFirstPlaneIsSpelledAlike() throws {
    for start in stride(from: 0, to: 0x10000, by: 0x100) {
      let scalars = (start..<start + 0x100).compactMap { Unicode.Scalar(UInt32($0)) }
      let (ours, theirs) = try line(scalars.map { String(Character($0)) })
      #expect(ours == theirs, "U+\(String(start, radix: 16))")
    }
  }

  @Test func numbersOfEveryLengthAreSpelledAlike() throws {
    var ids: [Int32] = [0, 1, -1, .max, .min]
    for shift in 0..<31 { ids += [1 << shift, -(1 << shift), (1 << shift) - 1] }
    let (ours, theirs) = try line(["", "a \u{1F468}\u{200D}\u{1F469} b", "e\u{301}/"], ids)
    #expect(ours == theirs)
  }

  /// A perplexity of e to the power of 1000, say; metrics.jsonl has null there too.
  @Test func numbersThatJSONHasNotAreNull() throws {
    struct Figures: Encodable {
      let numbers = [1.5, .infinity, -.infinity, .nan]
      let perplexity: Double? = exp(1000)
      let word = "Infinity"
      let absent: Double? = nil
    }
    let line = String(decoding: try JSONOutput.line(Figures()), as: UTF8.self)
    #expect(line == "{\"numbers\":[1.5,null,null,null],\"perplexity\":null,\"word\":\"Infinity\"}\n")
  }

  @Test func nothingIsAnEmptyList() throws {
    let (ours, theirs) = try line([])
    #expect(ours == theirs)
    #expect(ours == "{\"ids\":[],\"pieces\":[]}\n")
  }
}
