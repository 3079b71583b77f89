internal import Glibc

/// Buffers for activations, reused as tensors die.
///
/// After the first step of a loop, a step allocates nothing: its tensors find the buffers that the last
/// step's tensors gave back. Not thread-safe; a workspace belongs to the executor of its model.
@safe
public final class Workspace {
  private var free: [Int: [UnsafeMutablePointer<Float>]] = unsafe [:]
  private var bytesHeld = 0

  /// The most memory this workspace ever held, in bytes.
  public private(set) var peakBytes = 0

  /// An empty workspace.
  public init() {}

  deinit {
    unsafe free.values.joined().forEach { unsafe Glibc.free($0) }
  }

  /// Elements in the buffer that serves a request of `count`: requests of similar size share buffers.
  static func capacity(_ count: Int) -> Int {
    let granule = max(64, (1 << (Int.bitWidth - 1 - max(1, count).leadingZeroBitCount)) / 8)
    return (max(1, count) + granule - 1) / granule * granule
  }

  /// A buffer of at least `count` elements with undefined contents, aligned to a cache line.
  func take(_ count: Int) -> UnsafeMutablePointer<Float> {
    let capacity = Workspace.capacity(count)
    if let buffer = unsafe free[capacity]?.popLast() { return unsafe buffer }
    let bytes = capacity * MemoryLayout<Float>.stride
    guard let memory = unsafe aligned_alloc(64, bytes) else {
      preconditionFailure("out of memory: \(bytes) bytes for activations, \(bytesHeld) in use")
    }
    bytesHeld += bytes
    peakBytes = max(peakBytes, bytesHeld)
    return unsafe memory.bindMemory(to: Float.self, capacity: capacity)
  }

  /// Takes back what `take(count)` gave.
  func give(_ buffer: UnsafeMutablePointer<Float>, _ count: Int) {
    unsafe free[Workspace.capacity(count), default: []].append(buffer)
  }

  /// Returns unused buffers to the system.
  public func trim() {
    unsafe free.forEach { capacity, buffers in
      unsafe buffers.forEach { unsafe Glibc.free($0) }
      bytesHeld -= unsafe capacity * MemoryLayout<Float>.stride * buffers.count
    }
    unsafe free.removeAll()
  }
}
