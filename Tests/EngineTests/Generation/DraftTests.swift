import Testing

@testable import Engine

/// Guesses from the text itself, and when they are tried.
@Suite struct DraftTests {
  @Test func whatFollowedTheSameTokensIsGuessed() {
    var lookup = PromptLookup([1, 2, 3, 4, 5, 9, 9, 3, 4])
    #expect(Array(lookup.guess(3)) == [5, 9, 9])
    #expect(lookup.guess(0).isEmpty)
    lookup.append([7])
    #expect(lookup.guess(3).isEmpty)
    // The latest place counts; four tokens that agree count more than two.
    lookup.append([3, 4])
    #expect(Array(lookup.guess(2)) == [7, 3])
    lookup = PromptLookup([1, 2, 3, 4, 5, 0, 3, 4, 6, 1, 2, 3, 4])
    #expect(Array(lookup.guess(1)) == [5])
    // A text that repeats itself at its end.
    lookup = PromptLookup([8, 8, 8])
    #expect(Array(lookup.guess(4)) == [8])
  }

  @Test func guessesThatPayAreMadeLonger() {
    var length = DraftLength()
    #expect(length.count == 1)
    for _ in 0..<30 { length.record(drafted: length.count, accepted: length.count) }
    #expect(length.count > 2)
  }

  @Test func guessesThatDoNotPayAreHardlyEverTried() {
    var length = DraftLength()
    var tried = 0
    for _ in 0..<1000 {
      tried += length.count
      length.record(drafted: length.count, accepted: 0)
    }
    #expect(tried < 10)
    // Then the text begins to repeat itself.
    for _ in 0..<600 { length.record(drafted: length.count, accepted: length.count) }
    #expect(length.count > 2)
  }
}
