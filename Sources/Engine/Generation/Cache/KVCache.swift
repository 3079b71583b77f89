internal import CKernels

/// The keys and values of one sequence, in pages of a pool.
///
/// A value: copying it shares all pages, and a page is copied when one of its owners is about to write to it. That is how
/// beams, several answers to one prompt and cached prefixes share memory.
///
/// Kwon et al., "Efficient Memory Management for Large Language Model Serving with PagedAttention" (arXiv:2309.06180), section 4.
struct KVCache {
  static let pageTokens = Int(HEARTH_PAGE_TOKENS)

  /// Pages that hold `count` positions.
  static func pageCount(_ count: Int) -> Int { (count + pageTokens - 1) / pageTokens }

  let pool: PagePool
  /// Positions whose keys and values are stored.
  private(set) var tokenCount = 0
  private(set) var pages: [KVPage] = []

  init(_ pool: PagePool) { self.pool = pool }

  /// Continues behind `tokenCount` positions that others have stored in `pages`.
  init(_ pool: PagePool, sharing pages: [KVPage], tokenCount: Int) {
    precondition(pages.count == KVCache.pageCount(tokenCount), "\(pages.count) pages for \(tokenCount) positions")
    self.pool = pool
    self.pages = pages
    self.tokenCount = tokenCount
  }

  var shape: CacheShape { pool.shape }
  var pageCount: Int { pages.count }

  /// Indices of the pages that the next `count` positions are written to.
  private func written(adding count: Int) -> Range<Int> {
    tokenCount / KVCache.pageTokens..<KVCache.pageCount(tokenCount + count)
  }

  /// How many pages `reserve` would take from the pool.
  mutating func pagesNeeded(adding count: Int) -> Int {
    guard count > 0 else { return 0 }
    var needed = 0
    for index in written(adding: count) where index >= pages.count || !isKnownUniquelyReferenced(&pages[index]) {
      needed += 1
    }
    return needed
  }

  /// Makes sure that pages for `count` more positions exist and that nobody else owns those written to.
  ///
  /// - Returns: Whether the pool had enough of them; if not, nothing has changed for anybody.
  mutating func reserve(adding count: Int) -> Bool {
    guard count > 0 else { return true }
    guard pagesNeeded(adding: count) <= pool.freeCount else { return false }
    for index in written(adding: count) {
      if index >= pages.count {
        guard let page = pool.take() else { return false }
        pages.append(page)
      } else if !isKnownUniquelyReferenced(&pages[index]) {
        guard let page = pages[index].copy() else { return false }
        pages[index] = page
      }
    }
    return true
  }

  /// Counts `count` positions that a pass has stored.
  mutating func advance(by count: Int) { tokenCount += count }

  /// Forgets all positions from `count` on.
  mutating func truncate(to count: Int) {
    precondition(count >= 0 && count <= tokenCount, "truncating \(tokenCount) positions to \(count)")
    tokenCount = count
    pages.removeLast(pages.count - KVCache.pageCount(count))
  }

  /// The pages' addresses, in order; valid while the cache is neither changed nor destroyed.
  var addresses: [UnsafeMutableRawPointer?] { unsafe pages.map { unsafe $0.data } }
}
