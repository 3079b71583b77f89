internal import Chat
internal import Foundation
internal import Synchronization

/// Lines on their way to a file descriptor, which a thread of its own writes: whoever has something to say never waits for a
/// reader that does not read.
///
/// The queue is bounded. What comes while it is full is dropped and counted, and how many lines are missing is said in their
/// place as soon as there is room again.
package final class LineQueue: Sendable {
  /// Everything the server says of itself.
  package static let standardError = LineQueue(descriptor: STDERR_FILENO)

  private struct State: Sendable {
    var lines: [[UInt8]] = []
    var byteCount = 0
    /// Since the last line that said so, and ever.
    var dropped = 0
    var droppedEver = 0
    /// Whether the writer has lines in its hands.
    var isWriting = false
    var hasWriter = false
    var report: @Sendable (Int) -> String = { "\($0) lines of the log are missing here: nobody read them in time\n" }
  }

  private let descriptor: Int32
  private let byteLimit: Int
  private let state = Mutex(State())
  private let arrived = DispatchSemaphore(value: 0)

  /// A queue with its thread, which begins with the first line.
  ///
  /// - Parameter byteLimit: Of the lines that wait.
  package init(descriptor: Int32, byteLimit: Int = 1 << 20) {
    self.descriptor = descriptor
    self.byteLimit = byteLimit
  }

  /// Lines that nobody will read.
  package var droppedCount: Int { state.withLock { $0.droppedEver } }

  /// Says how many lines are missing, in the form of the others, its end included.
  package func report(_ line: @escaping @Sendable (Int) -> String) { state.withLock { $0.report = line } }

  /// Takes a line, its end included, and returns at once.
  package func put(_ line: String) {
    let bytes = Array(line.utf8)
    let (isTaken, isFirst) = state.withLock { state -> (Bool, Bool) in
      guard state.byteCount + bytes.count <= byteLimit else {
        state.dropped += 1
        state.droppedEver += 1
        return (false, false)
      }
      state.lines.append(bytes)
      state.byteCount += bytes.count
      defer { state.hasWriter = true }
      return (true, !state.hasWriter)
    }
    if isFirst { Thread { [self] in write() }.start() }
    if isTaken { arrived.signal() }
  }

  /// Waits until all that was put is written, or the time is up: a reader that is gone must not keep a process from ending.
  ///
  /// - Returns: Whether all is written.
  @discardableResult
  package func flush(seconds: Double) -> Bool {
    let deadline = ContinuousClock.now + .seconds(seconds)
    while state.withLock({ !$0.lines.isEmpty || $0.isWriting }) {
      guard ContinuousClock.now < deadline else { return false }
      usleep(2_000)
    }
    return true
  }

  /// The thread: takes everything that is there, writes it, and waits for more.
  private func write() {
    while true {
      arrived.wait()
      let (lines, report) = state.withLock { state -> ([[UInt8]], String?) in
        defer { (state.lines, state.byteCount, state.dropped, state.isWriting) = ([], 0, 0, true) }
        return (state.lines, state.dropped > 0 ? state.report(state.dropped) : nil)
      }
      // Whole lines in one call each, so that those of several processes do not mix.
      // That the reader has gone can be said to nobody.
      for line in lines + [report.map { Array($0.utf8) } ?? []] {
        _ = line.withUnsafeBytes { Descriptor.write($0, to: descriptor) }
      }
      state.withLock { $0.isWriting = false }
    }
  }
}
