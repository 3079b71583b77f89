import CKernels
import Glibc
import Testing

@testable import Engine

/// Pages are never more than allowed, are shared until written to, and all come back.
@Suite struct PagePoolTests {
  static let shape = CacheShape(layerCount: 2, keyValueHeadCount: 1, headWidth: 4, type: HEARTH_CACHE_F16)

  /// What the macro cannot call on a variable.
  private func reserve(_ cache: inout KVCache, _ count: Int) -> Bool { cache.reserve(adding: count) }
  private func pagesNeeded(_ cache: inout KVCache, _ count: Int) -> Int { cache.pagesNeeded(adding: count) }

  @Test func noMorePagesThanAllowed() throws {
    let pool = PagePool(Self.shape, limit: 3)
    var cache = KVCache(pool)
    #expect(reserve(&cache, 33))
    cache.advance(by: 33)
    var other = KVCache(pool)
    #expect(reserve(&other, 33) == false)
    #expect(other.pageCount == 0)
    #expect(reserve(&other, 32))
    #expect(pool.freeCount == 0)
    // The page begun has room for 31 more.
    #expect(pagesNeeded(&cache, 31) == 0)
    #expect(reserve(&cache, 31))
    #expect(reserve(&cache, 32) == false)
    other = KVCache(pool)
    #expect(reserve(&cache, 32))
    #expect(pool.peakCount == 3)
  }

  @Test func sharedPagesAreCopiedByWhoeverWritesFirst() throws {
    let pool = PagePool(Self.shape, limit: 10)
    do {
      var parent = KVCache(pool)
      #expect(reserve(&parent, 40))
      unsafe parent.pages[1].data.storeBytes(of: 7, as: UInt8.self)
      parent.advance(by: 40)
      var (child, third) = (parent, parent)
      #expect(pool.usedCount == 2)
      #expect(pagesNeeded(&child, 1) == 1)
      #expect(reserve(&child, 1))
      #expect(child.pages[0] === parent.pages[0] && child.pages[1] !== parent.pages[1])
      #expect(unsafe child.pages[1].data.load(as: UInt8.self) == 7)
      #expect(reserve(&third, 30))
      #expect(third.pages.count == 3)
      // The last who is left need not copy.
      #expect(pagesNeeded(&parent, 1) == 0)
      third.truncate(to: 33)
      #expect(third.pageCount == 2)
      third.truncate(to: 32)
      #expect(third.pageCount == 1)
      #expect(pool.usedCount == 3)
      // Without room for a copy nothing changes.
      let blocker = (0..<pool.freeCount).compactMap { _ in pool.take() }
      child.advance(by: 1)
      var fork = child
      #expect(reserve(&fork, 1) == false)
      #expect(fork.pages[1] === child.pages[1])
      withExtendedLifetime((blocker, child)) {}
    }
    #expect(pool.usedCount == 0)
  }

  /// Pages of all slabs are apart from one another, and never more than the limit.
  @Test(arguments: [1, 3, 40, 300]) func pagesDoNotOverlap(limit: Int) {
    let shape = CacheShape(layerCount: 30, keyValueHeadCount: 1, headWidth: 16, type: HEARTH_CACHE_F16)
    let pool = PagePool(shape, limit: limit)
    var pages: [KVPage] = []
    while let page = pool.take() { pages.append(page) }
    #expect(pages.count == limit && pool.freeCount == 0)
    let starts = unsafe pages.map { unsafe Int(bitPattern: $0.data) }.sorted()
    #expect(zip(starts, starts.dropFirst()).allSatisfy { $1 - $0 >= shape.pageBytes })
    #expect(starts.allSatisfy { $0 % 64 == 0 })
    for page in pages { unsafe memset(page.data, 1, shape.pageBytes) }
  }

  /// From the smallest models to pages of 64 MB.
  @Test func slabsWasteLittle() {
    for pageBytes in stride(from: 64, through: 64 << 20, by: 192 * 1024) {
      let bytes = PagePool.slabBytes(pageBytes: pageBytes)
      #expect(bytes >= pageBytes && Double(bytes % pageBytes) <= 0.08 * Double(bytes), "\(pageBytes)")
    }
  }
}
