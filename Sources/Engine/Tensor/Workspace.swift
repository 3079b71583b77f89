/// Buffers for activations, reused as tensors die.
///
/// After the first step of a loop, a step asks the system for nothing: its tensors find what the last step's tensors gave back. What they
/// leave serves steps of other sizes just as well, so that hardly more is held than some step had in use at once. Not thread-safe; a
/// workspace belongs to the executor of its model.
@safe
public final class Workspace {
  /// Before each buffer, aligned like it, lies how many bytes it has with this head.
  private static let headBytes = Arena.alignment
  /// What steps that need little may leave idle.
  private static let spareBytes = 1 << 20

  private var arena: Arena?
  /// Of the buffers that were taken and not given back.
  private(set) var bytesInUse = 0
  /// Steps that have ended since the last look at what they need.
  private var recentSteps = 0
  /// The most that was in use at once in those.
  private var recentMost = 0

  /// The most memory this workspace ever held, in bytes.
  public private(set) var peakBytes = 0

  /// An empty workspace.
  public init() {}

  /// Memory that the system has given for buffers, in bytes.
  var bytesHeld: Int { arena?.bytesHeld ?? 0 }

  /// How often a buffer needed more of it.
  var allocationCount: Int { arena?.growthCount ?? 0 }

  /// A buffer of at least `count` elements with undefined contents, aligned to a cache line.
  func take(_ count: Int) -> UnsafeMutablePointer<Float> {
    let arena = arena ?? Arena()
    self.arena = arena
    let needed = Workspace.headBytes + max(1, count) * MemoryLayout<Float>.stride
    let bytes = (needed + Arena.alignment - 1) / Arena.alignment * Arena.alignment
    let memory = unsafe arena.take(bytes)
    unsafe memory.storeBytes(of: bytes, as: Int.self)
    bytesInUse += bytes
    recentMost = max(recentMost, bytesInUse)
    peakBytes = max(peakBytes, arena.bytesHeld)
    let buffer = unsafe memory + Workspace.headBytes
    return unsafe buffer.bindMemory(
      to: Float.self, capacity: (bytes - Workspace.headBytes) / MemoryLayout<Float>.stride)
  }

  /// Takes back what `take` gave.
  func give(_ buffer: UnsafeMutablePointer<Float>) {
    let memory = unsafe UnsafeMutableRawPointer(buffer) - Workspace.headBytes
    let bytes = unsafe memory.load(as: Int.self)
    bytesInUse -= bytes
    unsafe arena?.give(memory, bytes)
  }

  /// Says that a step of a loop is over. When the last sixteen needed much less than is held, as when a long prompt has been read and
  /// its answer is being written, what is idle goes back to the system.
  func endStep() {
    recentSteps += 1
    guard recentSteps >= 16 else { return }
    if bytesHeld > recentMost + max(recentMost / 2, Workspace.spareBytes) {
      trim()
      FreedMemory.giveBack()
    }
    (recentSteps, recentMost) = (0, bytesInUse)
  }

  /// Returns what is idle to the system.
  public func trim() { arena?.trim() }
}
