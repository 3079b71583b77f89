import Foundation
import Testing

@testable import Chat

struct LeakFinderTests {
  private struct Near: Decodable {
    let training, validation: [String]
    let best: [Double]
  }

  private func texts(_ prompts: [String], file: String) -> [Example] {
    prompts.enumerated().map { Example(.text($1), file: file, line: $0 + 1) }
  }

  @Test func exactNormalizedAndNear() {
    let finder = LeakFinder(
      training: texts(["When do you open on Mondays?", "Do you repair lamps?", "Caf\u{E9}?"], file: "t"))
    let leaks = finder.leaks(
      into: texts(
        ["Do you repair lamps?", "do you  REPAIR lamps?", "cafe\u{301}?", "When do you open on Monday?", "Else?", ""],
        file: "v"))
    #expect(leaks.map(\.validation) == [0, 1, 2, 3])
    #expect(leaks.map(\.training) == [1, 1, 2, 0])
    #expect(leaks.prefix(3).map(\.likeness) == [.exact, .normalized, .normalized])
    #expect(leaks.last?.description == "v:4 asks nearly the same (88 %) as t:1")
    #expect(leaks.first?.description == "v:1 asks the same as t:2")
  }

  /// The index finds what comparing everything with everything finds.
  @Test(arguments: [0.5, 0.8, 0.95])
  func findsWhatBruteForceFinds(threshold: Double) throws {
    let near = try Fixture.content("data/near.json", as: Near.self)
    let finder = LeakFinder(training: texts(near.training, file: "t"), threshold: threshold)
    let leaks = finder.leaks(into: texts(near.validation, file: "v"))
    let found = Dictionary(uniqueKeysWithValues: leaks.map { ($0.validation, $0.likeness) })
    for (index, best) in near.best.enumerated() {
      switch found[index] {
      case .near(let share): #expect(abs(share - best) < 1e-12)
      case .exact, .normalized: #expect(best == 1)
      case nil: #expect(best < threshold)
      }
    }
  }
}
