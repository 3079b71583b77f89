import Testing

@testable import Engine

/// What the scheduler decides, as scripts.
@Suite struct SchedulerTests {
  /// As many pages as anybody asks for.
  private struct Plenty: SchedulerMemory {
    var freePageCount: Int { 1_000_000 }
    func pagesToStart(_ id: Int) -> Int { 0 }
    func pagesToExtend(_ id: Int, by tokens: Int) -> Int { 0 }
  }

  /// Plans until the model runs; every admitted request has `unread` tokens.
  private func run(_ scheduler: inout Scheduler, unread: [Int: Int] = [:]) -> [Scheduler.Share] {
    while true {
      switch scheduler.next(Plenty()) {
      case .admit(let id): scheduler.begin(id, unread: unread[id] ?? 1)
      case .preempt: continue
      case .run(let shares): return shares
      case .fail, .idle: return []
      }
    }
  }

  private func prompt(_ id: Int, _ count: Int, last: Bool = false) -> Scheduler.Share {
    .init(id: id, promptTokenCount: count, answers: last)
  }
  private func answer(_ id: Int) -> Scheduler.Share { .init(id: id, promptTokenCount: 0, answers: true) }

  @Test func promptsAreReadBesideAnswers() {
    var scheduler = Scheduler(.init(maximumLaneCount: 4, chunkLength: 100))
    scheduler.add(1)
    #expect(run(&scheduler, unread: [1: 30]) == [prompt(1, 30, last: true)])
    scheduler.add(2)
    #expect(run(&scheduler, unread: [2: 250]) == [answer(1), prompt(2, 100)])
    #expect(run(&scheduler) == [answer(1), prompt(2, 100)])
    #expect(run(&scheduler) == [answer(1), prompt(2, 50, last: true)])
    #expect(run(&scheduler) == [answer(1), answer(2)])
    scheduler.remove(1)
    #expect(run(&scheduler) == [answer(2)])
    scheduler.remove(2)
    #expect(scheduler.isIdle)
    #expect(run(&scheduler).isEmpty)
  }

  @Test func aShortPromptDoesNotWaitForALongOne() {
    var scheduler = Scheduler(.init(chunkLength: 100))
    scheduler.add(1)
    scheduler.add(2)
    #expect(run(&scheduler, unread: [1: 1000, 2: 20]) == [prompt(1, 80), prompt(2, 20, last: true)])
    scheduler.add(3, key: "other")
    scheduler.add(4, key: "other")
    // Half of it for each key; of two prompts that are as long, the first is read first.
    #expect(run(&scheduler, unread: [3: 500, 4: 500]) == [answer(2), prompt(1, 50), prompt(3, 50)])
  }

  @Test func theShortestIsReadFirstAndTheEldestAlwaysSome() {
    #expect(Scheduler.shortestFirst(of: 100, [40, 30, 200]) == [40, 30, 30])
    #expect(Scheduler.shortestFirst(of: 100, [1000, 60, 60]) == [25, 60, 15])
    #expect(Scheduler.shortestFirst(of: 100, [10, 20]) == [10, 20])
    #expect(Scheduler.shortestFirst(of: 3, [9, 9]) == [3, 0])
    #expect(Scheduler.shortestFirst(of: 3, []) == [])
    // However many short ones come after it, a long prompt is read.
    var scheduler = Scheduler(.init(maximumLaneCount: 4, chunkLength: 40))
    scheduler.add(1)
    var (steps, next) = (0, 2)
    var isRead = false
    while !isRead, steps < 200 {
      scheduler.add(next)
      let shares = run(&scheduler, unread: [1: 1000, next: 40])
      isRead = shares.contains { $0.id == 1 && $0.answers }
      for share in shares where share.id != 1 && share.answers { scheduler.remove(share.id) }
      (steps, next) = (steps + 1, next + 1)
    }
    #expect(isRead && steps <= 100)
  }

  @Test func whoWasServedLeastBeginsNext() {
    var scheduler = Scheduler(.init(maximumLaneCount: 1, chunkLength: 100))
    for id in 1...3 { scheduler.add(id, key: "a") }
    #expect(run(&scheduler, unread: [1: 90]) == [prompt(1, 90, last: true)])
    scheduler.add(4, key: "b")
    scheduler.add(5, key: "b")
    // b begins level with a, and a came first; then a has had more.
    scheduler.remove(1)
    #expect(run(&scheduler, unread: [2: 5]) == [prompt(2, 5, last: true)])
    scheduler.remove(2)
    #expect(run(&scheduler, unread: [4: 3]) == [prompt(4, 3, last: true)])
    scheduler.remove(4)
    #expect(run(&scheduler, unread: [5: 8]) == [prompt(5, 8, last: true)])
    scheduler.remove(5)
    #expect(run(&scheduler, unread: [3: 1]) == [prompt(3, 1, last: true)])
  }

  @Test func aNewKeyTakesAPlaceFromOneThatHasSeveral() {
    var scheduler = Scheduler(.init(maximumLaneCount: 3))
    for id in 1...4 { scheduler.add(id, key: "a") }
    _ = run(&scheduler)
    scheduler.add(5, key: "b")
    #expect(scheduler.next(Plenty()) == .preempt(3))
    #expect(scheduler.next(Plenty()) == .admit(5))
    scheduler.begin(5, unread: 2)
    #expect(run(&scheduler) == [answer(1), answer(2), prompt(5, 2, last: true)])
    scheduler.add(6, key: "c")
    #expect(scheduler.next(Plenty()) == .preempt(2))
    #expect(scheduler.next(Plenty()) == .admit(6))
    scheduler.begin(6, unread: 1)
    // Everybody has one now: the next must wait, and those sent back come in their old order.
    scheduler.add(7, key: "d")
    #expect(run(&scheduler) == [answer(1), answer(5), prompt(6, 1, last: true)])
    for id in [1, 5, 6, 7] { scheduler.remove(id) }
    #expect(scheduler.next(Plenty()) == .admit(2))
    #expect(scheduler.next(Plenty()) == .admit(3))
    #expect(scheduler.next(Plenty()) == .admit(4))
  }

  @Test func beamsTakeAPlaceEach() {
    var scheduler = Scheduler(.init(maximumLaneCount: 4))
    scheduler.add(1, laneCount: 3)
    scheduler.add(2, laneCount: 3)
    scheduler.add(3, laneCount: 9)
    #expect(run(&scheduler) == [prompt(1, 1, last: true)])
    scheduler.remove(1)
    #expect(run(&scheduler) == [prompt(2, 1, last: true)])
    scheduler.remove(2)
    // Wider than all places together, it has them to itself.
    #expect(run(&scheduler) == [prompt(3, 1, last: true)])
  }

  @Test func cancellingWorksAnywhere() {
    var scheduler = Scheduler(.init(maximumLaneCount: 1))
    for id in 1...3 { scheduler.add(id) }
    _ = run(&scheduler, unread: [1: 900])
    scheduler.remove(2)
    scheduler.remove(1)
    scheduler.remove(17)
    #expect(run(&scheduler) == [prompt(3, 1, last: true)])
    scheduler.remove(3)
    #expect(scheduler.isIdle)
  }

  @Test func sharesAreEqual() {
    #expect(Scheduler.equalShares(of: 10, [100, 100, 100]) == [4, 3, 3])
    #expect(Scheduler.equalShares(of: 10, [1, 100, 3]) == [1, 6, 3])
    #expect(Scheduler.equalShares(of: 2, [5, 5, 5]) == [1, 1, 0])
    #expect(Scheduler.equalShares(of: 50, [5, 0, 5]) == [5, 0, 5])
    #expect(Scheduler.equalShares(of: 50, []) == [])
  }
}
