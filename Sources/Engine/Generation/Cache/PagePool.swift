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
/// the last position of a sequence. Not thread-safe; a pool belongs to the executor of its model.
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

  init(_ shape: CacheShape, limit: Int) {
    self.shape = shape
    self.limit = limit
  }

  deinit { unsafe spare.forEach { unsafe free($0) } }

  /// Pages that may still be taken.
  var freeCount: Int { limit - usedCount }

  /// A page whose contents are undefined; nil when the limit or the memory is reached.
  func take() -> KVPage? {
    guard usedCount < limit else { return nil }
    guard let data = unsafe spare.popLast() ?? aligned_alloc(64, shape.pageBytes) else { return nil }
    usedCount += 1
    peakCount = max(peakCount, usedCount)
    return unsafe KVPage(data, self)
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
