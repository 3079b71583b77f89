internal import Glibc

/// Memory for buffers of all sizes that come and go.
///
/// A range of addresses is reserved, twice what the machine has memory, which costs nothing until it is used. A buffer is cut from the first
/// idle piece that holds it, and what is given back joins its neighbours, so that what one buffer leaves serves others of any size: little
/// more is held than was in use at once, and a loop that does the same again asks the system for nothing. Not thread-safe.
@safe
final class Arena {
  /// Pieces begin at multiples of it: a cache line.
  static let alignment = 64
  /// Bytes that are counted, and given back to the system, together.
  static let granule = 64 << 10
  /// Bytes that become writable together: a large page.
  private static let growth = 2 << 20

  private let start: UnsafeMutableRawPointer
  private let reservedBytes: Int
  /// How many of them can be written, from the first on.
  private var openBytes = 0
  /// Where no piece has been yet, in bytes from the start.
  private var top = 0
  /// Idle pieces below the top, in order; none touches another.
  private var idle: [Range<Int>] = []
  /// For each granule below the top, whether the system has given memory for it.
  private var isHeld: [Bool] = []

  /// Memory that the system has given, in bytes.
  private(set) var bytesHeld = 0
  /// How often a piece needed more of it.
  private(set) var growthCount = 0

  init() {
    var bytes = max(sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE)), 1 << 32) * 2
    // Where addresses are limited, weights and files need theirs too.
    var limit = rlimit()
    if unsafe getrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit) == 0, limit.rlim_cur < rlim_t(bytes) {
      bytes = Int(limit.rlim_cur) / 4 / Arena.growth * Arena.growth
    }
    var found = unsafe Arena.reserve(bytes)
    while unsafe found == nil && bytes > Arena.growth {
      bytes /= 2
      unsafe found = Arena.reserve(bytes)
    }
    guard let found = unsafe found else { preconditionFailure("out of memory: no addresses for activations") }
    unsafe start = found
    reservedBytes = bytes
    // A wish: rows of activations lie pages apart, and each would be a miss of the address cache.
    _ = unsafe madvise(start, bytes, MADV_HUGEPAGE)
  }

  deinit { unsafe munmap(start, reservedBytes) }

  private static func reserve(_ bytes: Int) -> UnsafeMutableRawPointer? {
    let found = unsafe mmap(nil, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    return unsafe found == MAP_FAILED ? nil : found
  }

  /// A piece of `bytes` bytes, a multiple of the alignment, with undefined contents.
  func take(_ bytes: Int) -> UnsafeMutableRawPointer {
    let piece = cut(bytes)
    open(piece.upperBound)
    hold(piece)
    return unsafe start + piece.lowerBound
  }

  /// Takes back what `take` gave.
  func give(_ memory: UnsafeMutableRawPointer, _ bytes: Int) {
    let lower = unsafe memory - start
    var piece = lower..<lower + bytes
    var index = idle.partitioningIndex { $0.lowerBound > lower }
    if index < idle.count, idle[index].lowerBound == piece.upperBound {
      piece = piece.lowerBound..<idle.remove(at: index).upperBound
    }
    if index > 0, idle[index - 1].upperBound == piece.lowerBound {
      index -= 1
      piece = idle.remove(at: index).lowerBound..<piece.upperBound
    }
    idle.insert(piece, at: index)
  }

  /// Gives idle memory back to the system.
  func trim() {
    for piece in idle {
      let first = (piece.lowerBound + Arena.granule - 1) / Arena.granule
      // Nothing lies behind the top, so that its granule is idle as a whole.
      let last = piece.upperBound == top ? isHeld.count : piece.upperBound / Arena.granule
      guard first < last else { continue }
      unsafe madvise(start + first * Arena.granule, (last - first) * Arena.granule, MADV_DONTNEED)
      for granule in first..<last where isHeld[granule] {
        isHeld[granule] = false
        bytesHeld -= Arena.granule
      }
    }
    guard let last = idle.last, last.upperBound == top else { return }
    idle.removeLast()
    top = last.lowerBound
  }

  /// The first idle piece that is large enough, or the end of all, cut to size.
  private func cut(_ bytes: Int) -> Range<Int> {
    if let index = idle.firstIndex(where: { $0.count >= bytes }) {
      let piece = idle[index]
      let end = piece.lowerBound + bytes
      if end == piece.upperBound { idle.remove(at: index) } else { idle[index] = end..<piece.upperBound }
      return piece.lowerBound..<end
    }
    let lower = idle.last?.upperBound == top ? idle.removeLast().lowerBound : top
    top = lower + bytes
    return lower..<top
  }

  /// Makes all bytes before `end` writable.
  private func open(_ end: Int) {
    guard end > openBytes else { return }
    let needed = min((end + Arena.growth - 1) / Arena.growth * Arena.growth, reservedBytes)
    guard end <= needed, unsafe mprotect(start + openBytes, needed - openBytes, PROT_READ | PROT_WRITE) == 0 else {
      preconditionFailure("out of memory: \(end) bytes for activations")
    }
    openBytes = needed
  }

  /// Counts the memory of a piece that is about to be written.
  private func hold(_ piece: Range<Int>) {
    let granules = piece.lowerBound / Arena.granule..<(piece.upperBound + Arena.granule - 1) / Arena.granule
    if granules.upperBound > isHeld.count {
      isHeld += repeatElement(false, count: granules.upperBound - isHeld.count)
    }
    let before = bytesHeld
    for granule in granules where !isHeld[granule] {
      isHeld[granule] = true
      bytesHeld += Arena.granule
    }
    if bytesHeld > before { growthCount += 1 }
  }
}

extension Array {
  /// The first index whose element, and that of all later ones, belongs to the second part.
  fileprivate func partitioningIndex(where belongsToSecond: (Element) -> Bool) -> Int {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if belongsToSecond(self[middle]) { high = middle } else { low = middle + 1 }
    }
    return low
  }
}
