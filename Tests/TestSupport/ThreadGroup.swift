public import Engine
import Foundation

/// A training group whose members are threads of one process: what `mpirun` makes of processes.
///
/// Sums are formed in the order of ranks. A member that fails lets all others fail.
public final class ThreadGroup: TrainingGroup {
  public struct Abandoned: Error {}

  public let rank: Int
  public var size: Int { meeting.size }
  private let meeting: Meeting

  private init(rank: Int, _ meeting: Meeting) {
    self.rank = rank
    self.meeting = meeting
  }

  /// Where members meet.
  private final class Meeting: @unchecked Sendable {
    // Sendable: everything below that changes is touched with the condition locked.
    let size: Int
    private let condition = NSCondition()
    private var waiting = 0
    private var round = 0
    private var isAbandoned = false
    private var slots: [[Double]]
    private var outcome: [Double] = []

    init(size: Int) {
      self.size = size
      slots = Array(repeating: [], count: size)
    }

    func abandon() {
      condition.withLock {
        isAbandoned = true
        condition.broadcast()
      }
    }

    /// Hands in `values` and waits for what the last member makes of all.
    func meet(_ rank: Int, _ values: [Double], _ merge: ([[Double]]) -> [Double]) throws -> [Double] {
      try condition.withLock {
        slots[rank] = values
        waiting += 1
        if waiting == size {
          (outcome, waiting, round) = (merge(slots), 0, round + 1)
          condition.broadcast()
          return outcome
        }
        let mine = round
        while round == mine, !isAbandoned { condition.wait() }
        guard round != mine else { throw Abandoned() }
        return outcome
      }
    }
  }

  public func sum(_ values: inout MutableSpan<Float>) throws {
    let sums = try meeting.meet(rank, values.indices.map { Double(values[$0]) }) { slots in
      // As floats, in the order of ranks.
      (0..<slots[0].count).map { i in Double(slots.dropFirst().reduce(Float(slots[0][i])) { $0 + Float($1[i]) }) }
    }
    for i in values.indices { values[i] = Float(sums[i]) }
  }

  public func sum(_ values: inout MutableSpan<Double>) throws {
    let sums = try meeting.meet(rank, values.indices.map { values[$0] }) { slots in
      (0..<slots[0].count).map { i in slots.dropFirst().reduce(slots[0][i]) { $0 + $1[i] } }
    }
    for i in values.indices { values[i] = sums[i] }
  }

  public func share(_ values: inout MutableSpan<Float>) throws {
    let shared = try meeting.meet(rank, values.indices.map { Double(values[$0]) }) { $0[0] }
    for i in values.indices { values[i] = Float(shared[i]) }
  }

  public func share(_ bytes: [UInt8]) throws -> [UInt8] {
    try meeting.meet(rank, bytes.map { Double($0) }) { $0[0] }.map { UInt8($0) }
  }

  /// Runs `body` for each member, and returns when all have ended.
  ///
  /// - Returns: What each of them threw.
  public static func run(_ size: Int, _ body: @escaping @Sendable (ThreadGroup) throws -> Void) -> [(any Error)?] {
    let meeting = Meeting(size: size)
    let errors = Errors(size)
    // Threads and not a queue: members wait for each other, so each must have one, whatever the number of cores.
    let ended = DispatchSemaphore(value: 0)
    for rank in 0..<size {
      let thread = Thread {
        do { try body(ThreadGroup(rank: rank, meeting)) } catch {
          errors.set(error, rank)
          meeting.abandon()
        }
        ended.signal()
      }
      thread.stackSize = 16 << 20
      thread.start()
    }
    for _ in 0..<size { ended.wait() }
    return errors.all
  }

  private final class Errors: @unchecked Sendable {
    // Sendable: `errors` is touched with the lock held.
    private var errors: [(any Error)?]
    private let lock = NSLock()
    init(_ count: Int) { errors = Array(repeating: nil, count: count) }
    func set(_ error: any Error, _ rank: Int) { lock.withLock { errors[rank] = error } }
    var all: [(any Error)?] { lock.withLock { errors } }
  }
}
