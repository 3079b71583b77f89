internal import Foundation
internal import Synchronization

/// A serial executor with a thread of its own: computing never keeps the threads that serve everybody busy, and a model,
/// which belongs to one executor, has one.
///
/// Jobs run in the order of their coming. When the executor goes, so does its thread, after the jobs it was given.
final class EngineThread: SerialExecutor {
  private let queue = Queue()

  /// - Parameter name: What debuggers and `top -H` call the thread.
  init(name: String) {
    let queue = queue
    queue.executor.withLock { $0 = asUnownedSerialExecutor() }
    let thread = Thread { while queue.runNext() {} }
    thread.name = name
    // The main thread's usual stack.
    thread.stackSize = 8 << 20
    thread.start()
  }

  deinit { queue.close() }

  func enqueue(_ job: consuming ExecutorJob) { queue.append(UnownedJob(job)) }

  func asUnownedSerialExecutor() -> UnownedSerialExecutor { UnownedSerialExecutor(ordinary: self) }

  /// What thread and executor share, so that neither keeps the other alive.
  private final class Queue: Sendable {
    /// Set before the thread starts. Jobs hold what owns the executor, so it is alive whenever there is one to run.
    let executor = Mutex<UnownedSerialExecutor?>(nil)
    private let state = Mutex<(jobs: [UnownedJob], isClosed: Bool)>(([], false))
    private let arrivals = DispatchSemaphore(value: 0)

    func append(_ job: UnownedJob) {
      state.withLock { $0.jobs.append(job) }
      arrivals.signal()
    }

    func close() {
      state.withLock { $0.isClosed = true }
      arrivals.signal()
    }

    /// Waits for a job and runs it; false when there will be no more.
    func runNext() -> Bool {
      arrivals.wait()
      let job = state.withLock { $0.jobs.isEmpty ? nil : $0.jobs.removeFirst() }
      guard let job, let executor = executor.withLock({ $0 }) else { return !state.withLock { $0.isClosed } }
      job.runSynchronously(on: executor)
      return true
    }
  }
}
