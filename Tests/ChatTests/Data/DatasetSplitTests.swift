import Engine
import Testing

@testable import Chat

struct DatasetSplitTests {
  private func examples(_ prompts: [String]) -> [Example] {
    prompts.enumerated().map { index, prompt in
      Example(
        .conversation([Turn(.user, prompt), Turn(.assistant, "same answer")]), file: "x",
        line: index + 1)
    }
  }

  @Test func duplicatesStayTogether() throws {
    let prompts = ["Caf\u{E9} open?", "cafe\u{301}  OPEN?", " café open?\n", "b", "c", "B ", "d", "e"]
    for seed in 0..<50 {
      let split = try DatasetSplit(examples(prompts), validationFraction: 0.4, seed: UInt64(seed))
      #expect(split.duplicateGroupCount == 2)
      #expect(split.validation.count == 3)
      #expect((split.training + split.validation).sorted() == Array(0..<8))
      for group in [[0, 1, 2], [3, 5]] {
        #expect(Set(group.map { split.validation.contains($0) }).count == 1)
      }
    }
  }

  @Test func firstUserTurnDecides() throws {
    let first = Example(
      .conversation([Turn(.system, "S"), Turn(.user, "Hi"), Turn(.assistant, "a")]), file: "x", line: 1)
    let second = Example(
      .conversation([Turn(.user, "hi"), Turn(.assistant, "b"), Turn(.user, "c"), Turn(.assistant, "d")]),
      file: "x", line: 2)
    #expect(throws: DatasetError.self) {
      try DatasetSplit([first, second], validationFraction: 0.5, seed: 1)
    }
  }

  @Test func countsAreExactAndSeedsRepeat() throws {
    let many = examples((0..<1_000).map { "question \($0)" })
    let split = try DatasetSplit(many, validationFraction: 0.1, seed: 7)
    #expect(split.validation.count == 100)
    #expect(split == (try DatasetSplit(many, validationFraction: 0.1, seed: 7)))
    #expect(split != (try DatasetSplit(many, validationFraction: 0.1, seed: 8)))
    #expect(try DatasetSplit(many, validationFraction: 0, seed: 7).training.count == 1_000)
    #expect(try DatasetSplit(many, validationFraction: 0.000_1, seed: 7).validation.count == 1)
    #expect(try DatasetSplit(many, validationFraction: 0.999_9, seed: 7).training.count == 1)
  }

  @Test(arguments: [-0.1, 1, .nan, .infinity])
  func fractionsOutsideAreRefused(fraction: Double) {
    let error = #expect(throws: DatasetError.self) {
      try DatasetSplit(examples(["a", "b"]), validationFraction: fraction, seed: 1)
    }
    #expect(error?.kind == .invalidSettings)
  }

  /// No subset of the groups comes nearer than the chosen one.
  @Test func chosenGroupsAreNearest() {
    var random = SplitMix64(seed: 3)
    for _ in 0..<300 {
      let sizes = (0..<(2 + random.index(below: 8))).map { _ in 1 + random.index(below: 9) }
      let total = sizes.reduce(0, +)
      let target = 1 + random.index(below: total - 1)
      let chosen = DatasetSplit.choose(sizes, target: target)
      let sum = chosen.map { sizes[$0] }.reduce(0, +)
      #expect(Set(chosen).count == chosen.count && !chosen.isEmpty && sum < total)
      let sums = (1..<((1 << sizes.count) - 1)).map { subset in
        sizes.indices.filter { subset >> $0 & 1 == 1 }.map { sizes[$0] }.reduce(0, +)
      }
      let best = sums.map { abs($0 - target) }.min()
      #expect(abs(sum - target) == best)
    }
  }
}
