internal import CKernels
internal import Glibc

/// What serving keeps keys and values in.
public enum CacheType: String, Sendable, CaseIterable {
  /// Half precision.
  case f16
  /// Integers of eight bits, with one scale for each head of each token: half the memory, less precisely.
  case q8
}

/// How a model's keys and values are cached.
struct CacheShape: Equatable {
  let layerCount: Int
  let keyValueHeadCount: Int
  let headWidth: Int
  /// f32 for the reference path.
  let type: hearth_cache_type

  /// Bytes that one layer takes in a page.
  var layerBytes: Int { hearth_page_layer_bytes(keyValueHeadCount, headWidth, type) }
  var pageBytes: Int { (layerCount * layerBytes + 63) / 64 * 64 }
}

/// The memory that keys and values of all sequences of a model live in, in pages, never more of them than a limit.
///
/// A page goes back when its last owner lets go of it, and is then lent out again as it is: attention never looks behind
/// the last position of a sequence. Pages are cut from slabs in the system's huge pages, as attention jumps from one to the
/// next: with small ones it took a sixth longer, waiting for addresses. Not thread-safe; a pool belongs to
/// the executor of its model.
@safe
final class PagePool {
  let shape: CacheShape
  /// The most pages that are ever lent out at once.
  let limit: Int
  /// Pages lent out.
  private(set) var usedCount = 0
  /// The most there ever were.
  private(set) var peakCount = 0
  private var spare: [UnsafeMutableRawPointer] = unsafe []
  private var slabs: [UnsafeMutableRawPointer] = unsafe []
  /// Pages of all slabs together.
  private var ownedCount = 0

  private static let hugePageBytes = 2 << 20

  init(_ shape: CacheShape, limit: Int) {
    self.shape = shape
    self.limit = limit
  }

  deinit { unsafe slabs.forEach { unsafe free($0) } }

  /// Pages that may still be taken.
  var freeCount: Int { limit - usedCount }

  /// A page whose contents are undefined; nil when the limit or the memory is reached.
  func take() -> KVPage? {
    guard usedCount < limit else { return nil }
    if unsafe spare.isEmpty { addSlab() }
    guard let data = unsafe spare.popLast() else { return nil }
    usedCount += 1
    peakCount = max(peakCount, usedCount)
    return unsafe KVPage(data, self)
  }

  /// Takes more memory for pages; adds none when there is none. What is not touched takes no memory.
  private func addSlab() {
    let whole = PagePool.slabBytes(pageBytes: shape.pageBytes)
    let count = min(limit - ownedCount, whole / shape.pageBytes)
    // Where few pages are all there will ever be, a slab is no larger than they are.
    let isHuge = count * shape.pageBytes > whole - PagePool.hugePageBytes
    let bytes = isHuge ? whole : count * shape.pageBytes
    guard count > 0, let slab = unsafe aligned_alloc(isHuge ? PagePool.hugePageBytes : 64, bytes) else { return }
    if isHuge { unsafe madvise(slab, bytes, MADV_HUGEPAGE) }
    unsafe slabs.append(slab)
    ownedCount += count
    // The first is lent out first, so that no more huge pages are touched than needed.
    for index in (0..<count).reversed() { unsafe spare.append(slab + index * shape.pageBytes) }
  }

  /// The size of a slab, in huge pages: at least 8 MB, and as much more as it takes until what is left over at the end, which is
  /// taken as well once the last page is touched, is a fiftieth at most.
  static func slabBytes(pageBytes: Int) -> Int {
    let least = max(4, (pageBytes + hugePageBytes - 1) / hugePageBytes)
    let sizes = (least..<least + 28).map { $0 * hugePageBytes }
    func waste(_ size: Int) -> Double { Double(size % pageBytes) / Double(size) }
    return sizes.first { waste($0) <= 0.02 } ?? sizes.min { waste($0) < waste($1) } ?? sizes[0]
  }

  fileprivate func giveBack(_ data: UnsafeMutableRawPointer) {
    usedCount -= 1
    unsafe spare.append(data)
  }
}

/// Keys and values of `KVCache.pageTokens` consecutive positions, in all layers. Whoever holds a reference owns it, together
/// with the others who do.
@safe
final class KVPage {
  let data: UnsafeMutableRawPointer
  private let pool: PagePool

  fileprivate init(_ data: UnsafeMutableRawPointer, _ pool: PagePool) {
    unsafe self.data = unsafe data
    self.pool = pool
  }

  deinit { unsafe pool.giveBack(data) }

  /// A page of the same contents; nil when the pool has none left.
  func copy() -> KVPage? {
    guard let page = pool.take() else { return nil }
    unsafe memcpy(page.data, data, pool.shape.pageBytes)
    return page
  }
}
