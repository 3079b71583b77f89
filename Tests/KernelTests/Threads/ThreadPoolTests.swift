import CKernels
import Foundation
import Testing

/// What the workers of one job saw; each writes only its own entry.
private struct Visits {
  let counts = UnsafeMutablePointer<Int64>.allocate(capacity: 64)
  let totals = UnsafeMutablePointer<Int64>.allocate(capacity: 64)
  init() {
    counts.initialize(repeating: 0, count: 64)
    totals.initialize(repeating: 0, count: 64)
  }
  func free() {
    counts.deallocate()
    totals.deallocate()
  }
}

private let visit: hearth_task = { context, index, count in
  guard let visits = context?.assumingMemoryBound(to: Visits.self).pointee else { return }
  visits.counts[Int(index)] += 1
  visits.totals[Int(index)] = Int64(count)
}

/// Seconds that one thread has been running.
private func processorSeconds(_ thread: pthread_t) -> Double {
  var clock = clockid_t()
  var time = timespec()
  guard pthread_getcpuclockid(thread, &clock) == 0 else { return .infinity }
  clock_gettime(clock, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}

/// Notes which thread each worker is, in `Visits.totals`.
private let introduce: hearth_task = { context, index, _ in
  guard let visits = context?.assumingMemoryBound(to: Visits.self).pointee else { return }
  visits.totals[Int(index)] = Int64(bitPattern: UInt64(pthread_self()))
}

@Suite("Thread pool", .serialized)
struct ThreadPoolTests {
  @Test("Every index runs once a job, over ten thousand jobs", arguments: [1, 2, 3, 8])
  func manyJobs(threads: Int32) throws {
    let pool = try #require(hearth_pool_create(threads))
    defer { hearth_pool_destroy(pool) }
    #expect(hearth_pool_threads(pool) == threads)
    var visits = Visits()
    defer { visits.free() }
    let jobs = threads <= 2 ? 10_000 : 2_000
    for _ in 0..<jobs { hearth_pool_run(pool, visit, &visits) }
    for index in 0..<64 {
      #expect(visits.counts[index] == (index < Int(threads) ? Int64(jobs) : 0))
      #expect(visits.totals[index] == (index < Int(threads) ? Int64(threads) : 0))
    }
  }

  /// A store of numbered work that tasks take from until nothing is left.
  private final class Store: @unchecked Sendable {
    // Sendable: tasks touch the counters under `lock` only; the test reads `done` when the pool has finished.
    private let lock = NSLock()
    private var next = 0
    private(set) var done = 0
    let count: Int
    let isSlow: Bool
    init(count: Int, isSlow: Bool) { (self.count, self.isSlow) = (count, isSlow) }
    func take() -> Bool {
      lock.withLock {
        guard next < count else { return false }
        next += 1
        done += 1
        return true
      }
    }
  }

  @Test("Shared work is done whoever comes, and nothing of a job is touched after it", arguments: [1, 2, 3, 8])
  func sharedWork(threads: Int32) throws {
    let pool = try #require(hearth_pool_create(threads))
    defer { hearth_pool_destroy(pool) }
    let takeAll: hearth_task = { context, _, _ in
      guard let context else { return }
      let store = Unmanaged<Store>.fromOpaque(context).takeUnretainedValue()
      while store.take() { if store.isSlow { usleep(1) } }
    }
    var visits = Visits()
    defer { visits.free() }
    for job in 0..<3000 {
      // The store dies with the job: a late worker that touched it would crash.
      let store = Store(count: job % 7, isSlow: job % 50 == 0)
      hearth_pool_share(pool, takeAll, Unmanaged.passUnretained(store).toOpaque())
      #expect(store.done == job % 7)
      if job % 3 == 0 { hearth_pool_run(pool, visit, &visits) }
    }
    for index in 0..<Int(threads) { #expect(visits.counts[index] == 1000) }
  }

  @Test("Jobs wake workers that have gone to sleep")
  func wakes() throws {
    let pool = try #require(hearth_pool_create(3))
    defer { hearth_pool_destroy(pool) }
    var visits = Visits()
    defer { visits.free() }
    for pause in 0..<200 {
      hearth_pool_run(pool, visit, &visits)
      usleep(UInt32(pause))  // around the length of the spin, where a lost wake-up would hide
    }
    for index in 0..<3 { #expect(visits.counts[index] == 200) }
  }

  @Test("No pool means the caller alone")
  func callerAlone() {
    var visits = Visits()
    defer { visits.free() }
    hearth_pool_run(nil, visit, &visits)
    #expect(visits.counts[0] == 1 && visits.totals[0] == 1 && visits.counts[1] == 0)
    #expect(hearth_pool_threads(nil) == 1)
    hearth_pool_destroy(nil)
  }

  @Test("Many pools live and die side by side")
  func manyPools() throws {
    for round in 0..<50 {
      let pools = (0..<4).compactMap { hearth_pool_create(Int32(1 + (round + $0) % 4)) }
      #expect(pools.count == 4)
      for pool in pools {
        var visits = Visits()
        if round % 2 == 0 { hearth_pool_run(pool, visit, &visits) }
        let total = (0..<64).reduce(0) { $0 + visits.counts[$1] }
        #expect(total == (round % 2 == 0 ? Int64(hearth_pool_threads(pool)) : 0))
        visits.free()
      }
      for pool in pools { hearth_pool_destroy(pool) }
    }
  }

  @Test("Callers on several threads take turns")
  func turns() async throws {
    let pool = try #require(hearth_pool_create(2))
    let address = UInt(bitPattern: pool)
    await withTaskGroup(of: Int64.self) { group in
      for _ in 0..<4 {
        group.addTask {
          var visits = Visits()
          defer { visits.free() }
          for _ in 0..<500 { hearth_pool_run(OpaquePointer(bitPattern: address), visit, &visits) }
          return visits.counts[0] + visits.counts[1]
        }
      }
      for await total in group { #expect(total == 1000) }
    }
    hearth_pool_destroy(pool)
  }

  @Test("An idle pool leaves the processor alone")
  func idle() throws {
    let pool = try #require(hearth_pool_create(4))
    defer { hearth_pool_destroy(pool) }
    var visits = Visits()
    defer { visits.free() }
    hearth_pool_run(pool, introduce, &visits)
    usleep(20_000)
    let workers = (1..<4).map { pthread_t(UInt64(bitPattern: visits.totals[$0])) }
    let before = workers.map(processorSeconds)
    usleep(300_000)
    for (worker, seconds) in zip(workers, before) {
      #expect(processorSeconds(worker) - seconds < 0.003)
    }
  }
}
