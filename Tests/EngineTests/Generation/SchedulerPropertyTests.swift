import Testing

@testable import Engine

/// Random arrivals: nothing starves, no budget is exceeded, no page is lost.
@Suite struct SchedulerPropertyTests {
  /// Requests and the pages they hold, 4 tokens a page; the pages themselves are not needed.
  private struct Simulation: SchedulerMemory {
    struct Request {
      let key: String
      let lanes: Int
      /// Prompt and answer so far.
      var tokens: Int
      /// Tokens yet to come.
      var remaining: Int
      /// Tokens computed; nil while it waits.
      var computed: Int?
      /// Tokens that a cache would have when it begins.
      let cached: Int
      let arrival: Int
    }
    static let pageTokens = 4
    let pageLimit: Int
    var requests: [Int: Request] = [:]

    static func pages(_ tokens: Int) -> Int { (tokens + pageTokens - 1) / pageTokens }
    /// While it answers, every lane has pages of its own.
    private func held(_ request: Request, _ computed: Int) -> Int {
      Self.pages(computed) * (computed >= request.tokens - 1 ? request.lanes : 1)
    }
    var freePageCount: Int {
      pageLimit - requests.values.reduce(0) { $0 + held($1, $1.computed ?? 0) }
    }
    func pagesToStart(_ id: Int) -> Int { requests[id].map { Self.pages($0.tokens + 1) * $0.lanes } ?? 0 }
    func pagesToExtend(_ id: Int, by tokens: Int) -> Int {
      guard let request = requests[id], let computed = request.computed else { return 0 }
      return held(request, computed + tokens) - held(request, computed)
    }
  }

  @Test(arguments: [UInt64](1...40)) func nothingStarvesAndNothingIsExceeded(seed: UInt64) {
    var random = SplitMix64(seed: seed)
    let settings = Scheduler.Settings(
      maximumLaneCount: Int.random(in: 1...12, using: &random), chunkLength: Int.random(in: 1...40, using: &random))
    var scheduler = Scheduler(settings)
    // The longest request takes (40 + 30) / 4 pages.
    var world = Simulation(pageLimit: Int.random(in: 19...80, using: &random))
    var (nextID, step, ended, failed, preempted, cancelled) = (0, 0, 0, 0, 0, 0)
    let total = 120
    let keys = ["a", "b", "c", "d"].prefix(Int.random(in: 1...4, using: &random))
    var slowest = 0
    while nextID < total || !scheduler.isIdle {
      while nextID < total, Int.random(in: 0..<3, using: &random) == 0 {
        let prompt = Int.random(in: 1...40, using: &random)
        let lanes = Int.random(in: 0..<8, using: &random) == 0 ? Int.random(in: 2...3, using: &random) : 1
        world.requests[nextID] = .init(
          key: keys.randomElement(using: &random) ?? "a", lanes: lanes, tokens: prompt,
          remaining: Int.random(in: 1...30, using: &random), cached: Int.random(in: 0..<prompt, using: &random),
          arrival: step)
        scheduler.add(nextID, key: world.requests[nextID]?.key ?? "", laneCount: lanes)
        nextID += 1
      }
      if Int.random(in: 0..<40, using: &random) == 0,
        let id = world.requests.keys.sorted().randomElement(using: &random)
      {
        scheduler.remove(id)
        world.requests[id] = nil
        cancelled += 1
      }
      // Within bounded time something is run, whatever has to be moved before.
      var shares: [Scheduler.Share]?
      for _ in 0..<400 where shares == nil {
        switch scheduler.next(world) {
        case .admit(let id):
          guard var request = world.requests[id] else { continue }
          #expect(request.computed == nil)
          let running = world.requests.values.filter { $0.computed != nil }
          let lanes = running.reduce(request.lanes) { $0 + $1.lanes }
          #expect(lanes <= settings.maximumLaneCount || running.isEmpty)
          request.computed = min(request.cached, request.tokens - 1)
          world.requests[id] = request
          scheduler.begin(id, unread: request.tokens - request.cached)
        case .preempt(let id):
          #expect(world.requests[id]?.computed != nil)
          world.requests[id]?.computed = nil
          preempted += 1
        case .fail(let id):
          #expect(world.requests.values.count { $0.computed != nil } == 1)
          #expect(world.requests[id]?.lanes ?? 0 > 1, "a single lane fits the pages alone")
          world.requests[id] = nil
          failed += 1
        case .run(let found): shares = found
        case .idle: shares = []
        }
      }
      guard let shares else {
        Issue.record("seed \(seed): nothing ran in step \(step)")
        return
      }
      step += 1
      #expect(shares.reduce(0) { $0 + $1.promptTokenCount } <= settings.chunkLength)
      #expect(Set(shares.map(\.id)).count == shares.count)
      for share in shares {
        guard var request = world.requests[share.id], let computed = request.computed else {
          Issue.record("\(share.id) runs and was not admitted")
          continue
        }
        request.computed = computed + max(1, share.promptTokenCount)
        #expect(share.answers == (request.computed == request.tokens))
        if share.answers {
          request.tokens += 1
          request.remaining -= 1
        }
        world.requests[share.id] = request
        if request.remaining == 0 {
          slowest = max(slowest, step - request.arrival)
          scheduler.remove(share.id)
          world.requests[share.id] = nil
          ended += 1
        }
      }
      #expect(world.freePageCount >= 0, "seed \(seed): more pages than there are")
      #expect(scheduler.runningCount == world.requests.values.count { $0.computed != nil })
      #expect(scheduler.runningCount + scheduler.waitingCount == world.requests.count)
      guard step < 60_000 else {
        Issue.record("seed \(seed): something starves")
        return
      }
    }
    #expect(ended + failed + cancelled == total)
    #expect(world.freePageCount == world.pageLimit)
    #expect(slowest < total * 75)
  }

  /// One key sends more than can be served; the other's few requests must not notice.
  @Test func aFloodOfOneKeyDoesNotHoldUpAnother() {
    var scheduler = Scheduler(.init(maximumLaneCount: 4, chunkLength: 32))
    var world = Simulation(pageLimit: 1000)
    func add(_ id: Int, _ key: String, answer: Int) {
      world.requests[id] = .init(key: key, lanes: 1, tokens: 64, remaining: answer, cached: 0, arrival: 0)
      scheduler.add(id, key: key)
    }
    for id in 0..<200 { add(id, "flood", answer: 100) }
    var done = Set<Int>()
    for step in 0..<600 {
      if step % 100 == 50 { add(1000 + step, "few", answer: 10) }
      while true {
        switch scheduler.next(world) {
        case .admit(let id):
          world.requests[id]?.computed = 0
          scheduler.begin(id, unread: world.requests[id]?.tokens ?? 1)
          continue
        case .preempt(let id):
          world.requests[id]?.computed = nil
          continue
        case .run(let shares):
          for share in shares {
            world.requests[share.id]?.computed? += max(1, share.promptTokenCount)
            guard share.answers else { continue }
            world.requests[share.id]?.tokens += 1
            world.requests[share.id]?.remaining -= 1
            if world.requests[share.id]?.remaining == 0 {
              scheduler.remove(share.id)
              world.requests[share.id] = nil
              done.insert(share.id)
            }
          }
        case .fail, .idle: Issue.record("there is enough to do")
        }
        break
      }
      // 64 tokens of prompt at half of 32 a step, then ten of the answer.
      if step % 100 == 50 + 16 { #expect(done.contains(1000 + step - 16)) }
    }
    #expect(done.count { $0 < 200 } > 8)
  }
}
