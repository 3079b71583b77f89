internal import Glibc

/// Buffers for activations, reused as tensors die.
///
/// After the first step of a loop, a step allocates nothing: its tensors find the buffers that the last step's tensors
/// gave back. Steps of other sizes use those buffers too where they fit, and buffers that lie idle are given up before new
/// ones are made, so that little more is held than some step had in use at once. Not thread-safe; a workspace belongs to the
/// executor of its model.
@safe
public final class Workspace {
  /// Before each buffer, aligned like it, lies how many bytes it has with this head, and whether they are pages.
  private static let headBytes = 64
  /// From how many bytes on buffers are pages of the system, unless somebody says otherwise.
  static let usualPagedBytes = 1 << 20
  /// The most that may lie idle beyond what was ever in use at once, unless somebody says otherwise.
  static let usualIdleBytes = 16 << 20
  /// What steps that need little may leave idle.
  private static let spareBytes = 1 << 20

  /// The most that may lie idle beyond what was ever in use at once.
  var idleBytes = Workspace.usualIdleBytes

  /// From how many bytes on the system hands out pages for a buffer and takes them back at once; below, the allocator keeps what was
  /// freed, in pieces that fit little else once other lengths follow.
  var pagedBytes = Workspace.usualPagedBytes

  private var free: [Int: [UnsafeMutablePointer<Float>]] = unsafe [:]
  private(set) var bytesHeld = 0
  private var bytesInUse = 0
  /// The most that was ever in use at once, or since much of it was given up.
  private var mostInUse = 0
  /// Steps that have ended since the last look at what they need.
  private var recentSteps = 0
  /// The most that was in use at once in those.
  private var recentMost = 0

  /// Buffers asked of the system so far.
  private(set) var allocationCount = 0

  /// The most memory this workspace ever held, in bytes.
  public private(set) var peakBytes = 0

  /// An empty workspace.
  public init() {}

  deinit { trim() }

  /// Bytes of the buffer, head included, that serves a request of `count` elements: requests of similar size share buffers.
  static func capacity(_ count: Int) -> Int {
    let granule = max(64, (1 << (Int.bitWidth - 1 - max(1, count).leadingZeroBitCount)) / 8)
    return headBytes + (max(1, count) + granule - 1) / granule * granule * MemoryLayout<Float>.stride
  }

  /// A buffer of at least `count` elements with undefined contents, aligned to a cache line.
  func take(_ count: Int) -> UnsafeMutablePointer<Float> {
    let bytes = Workspace.capacity(count)
    let buffer: UnsafeMutablePointer<Float>
    if let exact = unsafe free[bytes]?.popLast() {
      unsafe buffer = exact
    } else if let larger = unsafe popLarger(bytes) {
      unsafe buffer = larger
    } else {
      giveUp(toHold: bytes)
      unsafe buffer = allocate(bytes)
    }
    bytesInUse += unsafe Workspace.bytes(of: buffer)
    mostInUse = max(mostInUse, bytesInUse)
    recentMost = max(recentMost, bytesInUse)
    return unsafe buffer
  }

  /// Takes back what `take` gave.
  func give(_ buffer: UnsafeMutablePointer<Float>) {
    let bytes = unsafe Workspace.bytes(of: buffer)
    bytesInUse -= bytes
    unsafe free[bytes, default: []].append(buffer)
  }

  /// Says that a step of a loop is over. When the last sixteen needed much less than is held, as when a long prompt has been read and
  /// its answer is being written, what is idle goes back to the system.
  func endStep() {
    recentSteps += 1
    guard recentSteps >= 16 else { return }
    if bytesHeld > recentMost + max(recentMost / 2, Workspace.spareBytes) {
      trim()
      FreedMemory.giveBack()
      mostInUse = recentMost
    }
    (recentSteps, recentMost) = (0, bytesInUse)
  }

  /// Returns unused buffers to the system.
  public func trim() {
    for bytes in sizes {
      while let buffer = unsafe free[bytes]?.popLast() { unsafe release(buffer, bytes) }
    }
    unsafe free.removeAll()
  }

  /// The smallest idle buffer that is larger than asked for, but not so large that it is needed elsewhere.
  private func popLarger(_ bytes: Int) -> UnsafeMutablePointer<Float>? {
    let best = sizes.filter { unsafe $0 > bytes && 4 * $0 <= 5 * bytes && free[$0]?.isEmpty == false }.min()
    guard let best else { return nil }
    return unsafe free[best]?.popLast()
  }

  /// Releases idle buffers, small ones first, until `bytes` more are hardly more than was ever in use at once.
  private func giveUp(toHold bytes: Int) {
    let inUse = max(mostInUse, bytesInUse + bytes)
    // The sizes that a block needs first and those that it needs later take turns. If one were given up for the other each
    // time, the system would clear their pages each time: a tenth of the time of a prompt.
    let limit = inUse + min(inUse / 2, idleBytes)
    guard bytesHeld + bytes > limit else { return }
    for size in sizes.sorted() {
      while bytesHeld + bytes > limit, let buffer = unsafe free[size]?.popLast() { unsafe release(buffer, size) }
    }
  }

  /// The sizes of buffers there have been, in bytes.
  private var sizes: [Int] { unsafe Array(free.keys) }

  // MARK: Memory

  private static func bytes(of buffer: UnsafeMutablePointer<Float>) -> Int {
    unsafe UnsafeRawPointer(buffer).load(fromByteOffset: -headBytes, as: Int.self)
  }

  private func allocate(_ bytes: Int) -> UnsafeMutablePointer<Float> {
    let memory: UnsafeMutableRawPointer?
    let isPaged = bytes >= pagedBytes
    if isPaged {
      let pages = unsafe mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
      unsafe memory = pages == MAP_FAILED ? nil : pages
      // A wish: rows of activations lie pages apart, and each would be a miss of the address cache.
      if let pages = unsafe memory { _ = unsafe madvise(pages, bytes, MADV_HUGEPAGE) }
    } else {
      unsafe memory = aligned_alloc(64, bytes)
    }
    guard let memory = unsafe memory else {
      preconditionFailure("out of memory: \(bytes) bytes for activations, \(bytesHeld) in use")
    }
    bytesHeld += bytes
    allocationCount += 1
    peakBytes = max(peakBytes, bytesHeld)
    unsafe memory.storeBytes(of: bytes, as: Int.self)
    unsafe memory.storeBytes(of: isPaged, toByteOffset: MemoryLayout<Int>.size, as: Bool.self)
    let start = unsafe memory + Workspace.headBytes
    return unsafe start.bindMemory(to: Float.self, capacity: (bytes - Workspace.headBytes) / 4)
  }

  private func release(_ buffer: UnsafeMutablePointer<Float>, _ bytes: Int) {
    let memory = unsafe UnsafeMutableRawPointer(buffer) - Workspace.headBytes
    let isPaged = unsafe memory.load(fromByteOffset: MemoryLayout<Int>.size, as: Bool.self)
    if isPaged { unsafe munmap(memory, bytes) } else { unsafe Glibc.free(memory) }
    bytesHeld -= bytes
  }
}
