import Engine
import Foundation
import TestSupport
import Testing

@testable import Chat

@Suite struct PromotionTests {
  private func measured(
    _ sums: [Double], tokenizer: String = "t", counts: [Int]? = nil, bytes: [Int]? = nil
  ) -> Promotion.Measured {
    let counts = counts ?? sums.map { _ in 2 }
    return Promotion.Measured(
      name: "m", tokenizer: tokenizer, examples: sums.indices.map { "x:\($0)" }, sums: sums, counts: counts,
      bytes: bytes ?? counts)
  }

  @Test func onlyWhatIsMoreThanNoiseIsBetter() throws {
    let losses = (0..<40).map { 4 + Double($0 % 7) }
    func verdict(_ sums: [Double], forced: Bool = false) throws -> Promotion {
      try Promotion(measured(sums), against: measured(losses), data: ["d"], forced: forced)
    }
    let better = try verdict(losses.map { $0 - 1 })
    #expect(better.verdict == .better && better.isAllowed && better.measure == "loss")
    #expect(abs(try #require(better.difference) + 0.5) < 1e-9)
    // As much better as worse: the mean is a little lower, and it is noise.
    let noise = try verdict(losses.enumerated().map { $1 + ($0 % 2 == 0 ? 2 : -2.1) })
    #expect(noise.verdict == .undecided && !noise.isAllowed)
    #expect(try #require(noise.difference) < 0)
    let worse = try verdict(losses.map { $0 + 1 })
    #expect(worse.verdict == .worse && !worse.isAllowed)
    #expect(try verdict(losses.map { $0 + 1 }, forced: true).isAllowed)
    #expect(try Promotion(measured(losses), against: nil, data: ["d"], forced: false).verdict == .first)

    // Twice as many tokens for the same text: the loss per token is lower, the model is not better.
    let finer = measured(losses, tokenizer: "u", counts: losses.map { _ in 4 }, bytes: losses.map { _ in 8 })
    let other = measured(losses, counts: losses.map { _ in 2 }, bytes: losses.map { _ in 8 })
    let same = try Promotion(finer, against: other, data: ["d"], forced: false)
    #expect(same.measure == "bits_per_byte" && same.verdict == .undecided && same.difference == 0)
    #expect(throws: RunError.self) {
      try Promotion(measured(losses), against: measured(Array(losses.dropLast())), data: ["d"], forced: false)
    }
  }

  /// A store with two runs on the tiny model, the second one trained longer.
  private func withRuns(_ use: (_ store: ModelStore, _ place: TinyRun, _ promoter: Promoter) throws -> Void) throws {
    let place = try TinyRun()
    let store = ModelStore(home: place.folder.appending(path: "home"))
    for (name, epochs) in [("short", 1), ("long", 12)] {
      var recipe = place.recipe
      (recipe.epochs, recipe.dropout) = (epochs, 0)
      let output = try place.output(name)
      try place.train(output, recipe)
      try store.register(run: output, name: name)
    }
    let promoter = Promoter(store: store, precision: .reference) {
      try ChatModel.open(path: $0.path, name: $0.name, pool: WorkerPool(threadCount: 1))
    }
    try use(store, place, promoter)
  }

  @Test func aliasesMoveToWhatIsBetterAndBack() throws {
    try withRuns { store, place, promoter in
      let short = try #require(try store.manifest(of: "short"))
      #expect(short.parent == "tiny" && short.dataHash?.count == 64 && short.bestLoss != nil && !short.isAlias)

      let first = try promoter.promote("short", as: "desk", data: [place.dataPath])
      #expect(first.promotion.verdict == .first && first.alias?.target == "short")
      #expect(try store.locate("desk").path == short.path)
      #expect(try store.manifest(of: "desk")?.bestLoss == short.bestLoss)
      PullAddressTests.expectFailure("stands for short already") {
        _ = try promoter.promote("short", as: "desk", data: [place.dataPath])
      }

      // An alias behind an alias is the model, and the error says which.
      let copy = try promoter.promote("desk", as: "front", data: [place.dataPath])
      #expect(copy.alias?.target == "short")
      PullAddressTests.expectFailure("front: stands for short already, as desk does") {
        _ = try promoter.promote("desk", as: "front", data: [place.dataPath])
      }

      let second = try promoter.promote("long", as: "desk", data: [place.dataPath])
      #expect(second.promotion.verdict == .better && second.alias?.target == "long")
      let back = try promoter.promote("short", as: "desk", data: [place.dataPath])
      #expect(back.promotion.verdict == .worse && back.alias == second.alias)
      #expect(try store.manifest(of: "desk") == second.alias)
      let forced = try promoter.promote("short", as: "desk", data: [place.dataPath], isForced: true)
      #expect(forced.alias?.target == "short" && forced.alias?.history?.map(\.target) == ["short", "long"])
      #expect(forced.promotion.forced && forced.promotion.verdict == .worse)

      #expect(try store.rollBack("desk").now.target == "long")
      #expect(try store.rollBack("desk").now == first.alias)
      #expect(try store.manifest(of: "desk") == first.alias)
      PullAddressTests.expectFailure("desk", "nothing else before") { _ = try store.rollBack("desk") }
      PullAddressTests.expectFailure("other", "no alias", "desk") { _ = try store.rollBack("other") }
    }
  }

  @Test func aliasesAndModelsKeepApart() throws {
    try withRuns { store, place, promoter in
      PullAddressTests.expectFailure("long", "model of its own") {
        _ = try promoter.promote("short", as: "long", data: [place.dataPath])
      }
      PullAddressTests.expectFailure("long", "model of its own") { _ = try store.rollBack("long") }
      _ = try promoter.promote("short", as: "desk", data: [place.dataPath])
      PullAddressTests.expectFailure("desk", "is an alias for short", "hearth promote") {
        try store.register(run: place.output("long"), name: "desk")
      }
      PullAddressTests.expectFailure("desk", "is an alias") { _ = try store.pull(place.modelPath, name: "desk") }
      _ = try promoter.promote("short", as: "smollm2", data: [place.dataPath])
      PullAddressTests.expectFailure("smollm2", "is an alias") { _ = try store.pull("smollm2") }

      // The files of the model behind it go: only --force gets past that, and nothing goes back to it.
      let gone = try #require(try store.manifest(of: "short")).path
      try FileManager.default.moveItem(atPath: gone, toPath: gone + ".away")
      PullAddressTests.expectFailure("desk", "have gone") {
        _ = try promoter.promote("long", as: "desk", data: [place.dataPath])
      }
      let forced = try promoter.promote("long", as: "desk", data: [place.dataPath], isForced: true)
      #expect(forced.promotion.verdict == .first && forced.alias?.target == "long")
      PullAddressTests.expectFailure("desk", "short", "have gone") { _ = try store.rollBack("desk") }
      #expect(try store.manifest(of: "desk")?.target == "long")

      // Records of earlier versions, without what is new, still read.
      try Data(#"{"name":"old","path":"/x","source":"y","date":1}"#.utf8)
        .write(to: store.manifests.appending(path: "old.json"))
      #expect(try store.manifest(of: "old")?.isAlias == false)
      try store.remove("desk")
      #expect(try store.manifest(of: "desk") == nil)
    }
  }

  @Test func twoAtOnceDoNotOverwriteEachOther() throws {
    try withRuns { store, place, promoter in
      let first = try promoter.promote("short", as: "desk", data: [place.dataPath])
      let location = try store.locate("long")
      // What was measured against is no longer there.
      PullAddressTests.expectFailure("desk", "another process", "try again") {
        _ = try store.place(location, behind: "desk", first.promotion, replacing: nil)
      }
      #expect(try store.manifest(of: "desk") == first.alias)
    }
  }
}
