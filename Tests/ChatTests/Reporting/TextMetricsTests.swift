import Foundation
import Testing

@testable import Chat

struct TextMetricsTests {
  private struct Pair: Decodable {
    let answer, reference: String
    let exact: Bool
    let f1: Double
  }

  private struct Resampled: Decodable {
    let first, second, weights, interval: [Double]
    let difference, spread: Double
  }

  @Test func scoresEqualTheReference() throws {
    let pairs = try Fixture.content("reporting/text.json", as: [Pair].self)
    #expect(pairs.count > 150)
    for pair in pairs {
      #expect(TextMetrics.exactMatch(pair.answer, pair.reference) == pair.exact, "\(pair)")
      #expect(abs(TextMetrics.tokenF1(pair.answer, pair.reference) - pair.f1) < 1e-12, "\(pair)")
    }
  }

  @Test func likelihoodFigures() {
    #expect(abs(TextMetrics.perplexity(loss: 2) - 7.389_056_098_930_65) < 1e-12)
    #expect(abs(TextMetrics.bitsPerByte(totalLoss: 8 * 0.693_147_180_559_945_3, byteCount: 4) - 2) < 1e-12)
    #expect(TextMetrics.bitsPerByte(totalLoss: 1, byteCount: 0).isNaN)
  }

  @Test(arguments: [
    (["14 days", "two weeks"], "You have 14 days.", true),
    (["14 days"], "fourteen days", false),
    (["14 days"], "You have 14days to decide", true),
    (["14 days"], "within 114 days", false),
    (["14 days"], "within 14 daylight hours", false),
    (["two weeks"], "It takes 2 Weeks!", true),
    (["1,200 euros"], "It is €1200.00 in all", true),
    (["$5"], "That costs 5 dollars", true),
    (["€5"], "€15", false),
    (["20 %"], "a 20percent discount", true),
    (["2.5 kg"], "2.50 kilograms", true),
    (["2.5 kg"], "2 . 5 kg", false),
    (["2.5"], "12.5", false),
    (["17:30"], "until 17:30, then", true),
    (["17:30"], "until 17:3", false),
    (["don't"], "I DON\u{2019}T know", true),
    (["Caf\u{E9} Nord"], "at the cafe\u{301}-nord", true),
    (["caf\u{E9}"], "cafe", false),
    (["٣"], "3", true),
    (["Ｒｏｏｍ ４"], "room 4", true),
    (["Marta Lindqvist"], "Ask Marta  Lindqvist's team", false),
    (["Marta"], "Ask smarta", false),
    (["東京"], "in 東京 today", true),
    (["code AX-7"], "use code ax 7", true),
    ([], "anything", false),
    (["…", ""], "anything", false),
    (["x"], "", false),
  ])
  func keyFacts(alternatives: [String], answer: String, expected: Bool) {
    #expect(KeyFact(alternatives).isStated(in: answer) == expected)
  }

  @Test func intervalsAgreeWithNumpy() throws {
    for (seed, golden) in try Fixture.content("reporting/bootstrap.json", as: [Resampled].self).enumerated() {
      let resamples = golden.first.count > 100 ? 3_000 : 10_000
      let found = try #require(
        PairedBootstrap(
          golden.first, golden.second, weights: golden.weights, resamples: resamples,
          seed: UInt64(seed)))
      let tolerance = 6 * golden.spread * (10_000 / Double(resamples)).squareRoot()
      #expect(abs(found.difference - golden.difference) < 1e-12)
      #expect(abs(found.low - golden.interval[0]) < tolerance)
      #expect(abs(found.high - golden.interval[1]) < tolerance)
    }
  }

  @Test func bootstrapRepeatsAndRefuses() {
    let a = [1.0, 2, 3, 4]
    let b = [1.5, 2, 2, 5]
    #expect(PairedBootstrap(a, b, resamples: 100, seed: 1) == PairedBootstrap(a, b, resamples: 100, seed: 1))
    #expect(PairedBootstrap(a, b, resamples: 100, seed: 1) != PairedBootstrap(a, b, resamples: 100, seed: 2))
    #expect(PairedBootstrap(a, [1]) == nil)
    #expect(PairedBootstrap([], []) == nil)
    #expect(PairedBootstrap([.nan], [1]) == nil)
    #expect(PairedBootstrap([1], [1], weights: [0]) == nil)
    let same = PairedBootstrap(a, a, resamples: 50)
    #expect(same?.low == 0 && same?.high == 0)
    #expect(PairedBootstrap.percentile([1, 2, 3, 4, 5], 0.1) == 1.4)
  }
}
