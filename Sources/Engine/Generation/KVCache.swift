internal import CKernels
internal import Glibc

/// How a model's keys and values are cached.
struct CacheShape: Equatable {
  let layerCount: Int
  let keyValueHeadCount: Int
  let headWidth: Int
  /// f16 when serving; f32 for the reference path.
  let isHalf: Bool

  var type: hearth_cache_type { isHalf ? HEARTH_CACHE_F16 : HEARTH_CACHE_F32 }
  /// Bytes that one layer takes in a page.
  var layerBytes: Int { hearth_page_layer_bytes(keyValueHeadCount, headWidth, type) }
  var pageBytes: Int { layerCount * layerBytes }
}

/// Keys and values of `KVCache.pageTokens` consecutive positions, in all layers.
@safe
final class KVPage {
  let data: UnsafeMutableRawPointer
  private let bytes: Int

  /// A page of zeros.
  init(bytes: Int) {
    let rounded = (bytes + 63) / 64 * 64
    guard let memory = unsafe aligned_alloc(64, rounded) else {
      preconditionFailure("out of memory: \(bytes) bytes for keys and values")
    }
    unsafe memset(memory, 0, rounded)
    unsafe data = memory
    self.bytes = bytes
  }

  init(copying other: KVPage) {
    guard let memory = unsafe aligned_alloc(64, (other.bytes + 63) / 64 * 64) else {
      preconditionFailure("out of memory: \(other.bytes) bytes for keys and values")
    }
    unsafe memcpy(memory, other.data, other.bytes)
    unsafe data = memory
    bytes = other.bytes
  }

  deinit { unsafe free(data) }
}

/// The keys and values of one sequence, in pages.
///
/// A value: copying it shares all pages, and a page is copied when one of its owners writes to it. That is how beams, several
/// answers to one prompt and cached prefixes share memory.
///
/// Kwon et al., "Efficient Memory Management for Large Language Model Serving with PagedAttention" (arXiv:2309.06180), section 4.
struct KVCache {
  static let pageTokens = Int(HEARTH_PAGE_TOKENS)

  let shape: CacheShape
  /// Positions whose keys and values are stored.
  private(set) var tokenCount = 0
  private var pages: [KVPage] = []

  init(shape: CacheShape) { self.shape = shape }

  /// Makes sure that pages for `count` more positions exist and that nobody else owns those written to.
  mutating func prepare(adding count: Int) {
    let end = tokenCount + count
    guard count > 0 else { return }
    for index in tokenCount / KVCache.pageTokens...(end - 1) / KVCache.pageTokens {
      if index >= pages.count {
        pages.append(KVPage(bytes: shape.pageBytes))
      } else if !isKnownUniquelyReferenced(&pages[index]) {
        pages[index] = KVPage(copying: pages[index])
      }
    }
  }

  /// Counts `count` positions that a pass has stored.
  mutating func advance(by count: Int) { tokenCount += count }

  /// Forgets all positions from `count` on.
  mutating func truncate(to count: Int) {
    precondition(count >= 0 && count <= tokenCount, "truncating \(tokenCount) positions to \(count)")
    tokenCount = count
    pages.removeLast(pages.count - (count + KVCache.pageTokens - 1) / KVCache.pageTokens)
  }

  var pageCount: Int { pages.count }

  /// The pages' addresses, in order; valid while the cache is neither changed nor destroyed.
  var addresses: [UnsafeMutableRawPointer?] { unsafe pages.map { unsafe $0.data } }
}
