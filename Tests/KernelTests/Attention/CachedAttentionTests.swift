import CKernels
import Testing

/// The pages of one sequence, one layer at an offset among others.
private final class Pages {
  let pointers: [UnsafeMutableRawPointer?]
  static let offset = 128

  init(positions: Int, heads: Int, width: Int, type: hearth_cache_type) {
    let bytes = Pages.offset + hearth_page_layer_bytes(heads, width, type)
    let count = (positions + Int(HEARTH_PAGE_TOKENS) - 1) / Int(HEARTH_PAGE_TOKENS)
    pointers = (0..<count).map { _ in
      let page = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 64)
      page.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
      return page
    }
  }

  deinit { for page in pointers { page?.deallocate() } }

  /// Fills all with NaN, as if another sequence had left it.
  func spoil(heads: Int, width: Int, type: hearth_cache_type) {
    for page in pointers {
      page?.initializeMemory(
        as: UInt8.self, repeating: 0xFF,
        count: Pages.offset + hearth_page_layer_bytes(heads, width, type))
    }
  }
}

/// The outputs of a sequence that goes through the cache in chunks.
private func cached(
  _ example: AttentionExample, chunks: [Int], type: hearth_cache_type, pool: OpaquePointer? = nil,
  spoiled: Bool = false
) -> [Float] {
  let (heads, width) = (example.keyValueHeads, example.width)
  let pages = Pages(positions: example.tokens, heads: heads, width: width, type: type)
  if spoiled { pages.spoil(heads: heads, width: width, type: type) }
  let queryRow = example.heads * width, keyRow = heads * width
  var y = [Float](repeating: 7, count: example.q.count)
  var first = 0
  for chunk in chunks {
    example.q.withUnsafeBufferPointer { q in
      example.k.withUnsafeBufferPointer { k in
        example.v.withUnsafeBufferPointer { v in
          y.withUnsafeMutableBufferPointer { y in
            guard let q = q.baseAddress, let k = k.baseAddress, let v = v.baseAddress, let y = y.baseAddress
            else { return }
            hearth_cache_store(
              pool, pages.pointers, Pages.offset, type, k + first * keyRow,
              v + first * keyRow, keyRow, first, chunk, heads, width)
            pages.pointers.withUnsafeBufferPointer { pointers in
              var run = hearth_query_run(
                q: q + first * queryRow, y: y + first * queryRow,
                pages: pointers.baseAddress, count: chunk, first: first)
              hearth_cached_attention(
                pool, &run, 1, queryRow, queryRow, Pages.offset, type, example.heads, heads, width,
                example.scale)
            }
          }
        }
      }
    }
    first += chunk
  }
  return y
}

@Suite("Cached attention")
struct CachedAttentionTests {
  private static let shapes = [(4, 2, 1), (3, 1, 4), (2, 2, 5), (6, 2, 8), (2, 1, 48), (9, 3, 64)]

  @Test("An f32 cache gives the training attention's very bits", arguments: shapes)
  func training(heads: Int, keyValueHeads: Int, width: Int) {
    let example = AttentionExample(
      heads: heads, keyValueHeads: keyValueHeads, width: width, lengths: [67])
    let result = everywhere("cached attention") {
      cached(example, chunks: [67], type: HEARTH_CACHE_F32, pool: $0)
    }
    withSteadyInstructionSet { #expect(result == example.forward().y) }
  }

  @Test("An f16 cache gives what rounded keys and values give", arguments: shapes)
  func halves(heads: Int, keyValueHeads: Int, width: Int) {
    var example = AttentionExample(
      heads: heads, keyValueHeads: keyValueHeads, width: width, lengths: [45])
    let result = everywhere("cached attention in f16") {
      cached(example, chunks: [45], type: HEARTH_CACHE_F16, pool: $0)
    }
    example.k = example.k.map { Float(Float16($0)) }
    example.v = example.v.map { Float(Float16($0)) }
    withSteadyInstructionSet { #expect(result == example.forward().y) }
  }

  @Test("However a prompt is cut, the outputs keep their bits")
  func chunks() {
    withSteadyInstructionSet {
      let example = AttentionExample(heads: 6, keyValueHeads: 2, width: 16, lengths: [100])
      for type in [HEARTH_CACHE_F32, HEARTH_CACHE_F16] {
        let whole = cached(example, chunks: [100], type: type)
        let cuts = [
          [Int](repeating: 1, count: 100), [31, 1, 1, 31, 36], [32, 32, 32, 4], [1, 99], [64, 36],
        ]
        for chunks in cuts {
          #expect(cached(example, chunks: chunks, type: type) == whole, "\(chunks)")
        }
      }
    }
  }

  @Test("What a page held before is never seen")
  func stale() {
    withSteadyInstructionSet {
      let example = AttentionExample(heads: 4, keyValueHeads: 2, width: 12, lengths: [50])
      for type in [HEARTH_CACHE_F32, HEARTH_CACHE_F16] {
        let chunks = [7, 1, 1, 30, 11]
        #expect(
          cached(example, chunks: chunks, type: type, spoiled: true)
            == cached(example, chunks: chunks, type: type))
      }
    }
  }

  @Test("Sequences of a batch do not touch each other")
  func batch() {
    let (heads, keyValueHeads, width) = (6, 3, 16)
    let lengths = [1, 40, 33]
    let examples = lengths.map {
      AttentionExample(heads: heads, keyValueHeads: keyValueHeads, width: width, lengths: [$0])
    }
    let expected = withSteadyInstructionSet {
      examples.flatMap { example in
        cached(example, chunks: [example.tokens], type: HEARTH_CACHE_F16).suffix(heads * width)
      }
    }
    // The last position of each sequence, in one call.
    let result = everywhere("batch") { pool in
      let all = examples.map { example in
        let pages = Pages(
          positions: example.tokens, heads: keyValueHeads, width: width, type: HEARTH_CACHE_F16)
        hearth_cache_store(
          pool, pages.pointers, Pages.offset, HEARTH_CACHE_F16, example.k, example.v,
          keyValueHeads * width, 0, example.tokens, keyValueHeads, width)
        return pages
      }
      let row = heads * width
      let q = examples.flatMap { $0.q.suffix(row) }
      var y = [Float](repeating: 0, count: q.count)
      let pointers = all.map { pages in
        let copy = UnsafeMutablePointer<UnsafeMutableRawPointer?>.allocate(
          capacity: pages.pointers.count)
        copy.initialize(from: pages.pointers, count: pages.pointers.count)
        return copy
      }
      defer { for pointer in pointers { pointer.deallocate() } }
      q.withUnsafeBufferPointer { q in
        y.withUnsafeMutableBufferPointer { y in
          guard let q = q.baseAddress, let y = y.baseAddress else { return }
          let runs = examples.indices.map { i in
            hearth_query_run(
              q: q + i * row, y: y + i * row, pages: pointers[i],
              count: 1, first: examples[i].tokens - 1)
          }
          hearth_cached_attention(
            pool, runs, runs.count, row, row, Pages.offset, HEARTH_CACHE_F16, heads, keyValueHeads,
            width, examples[0].scale)
        }
      }
      return withExtendedLifetime(all) { y }
    }
    #expect(result == expected)
  }

  @Test("Numbers too large for f16 are stored as its largest")
  func saturation() {
    var example = AttentionExample(heads: 1, keyValueHeads: 1, width: 8, lengths: [1])
    example.v = [1e30, -1e30, .infinity, -.infinity, 65_504, 65_520, 1e-8, 6e-8]
    let result = everywhere("saturation") {
      cached(example, chunks: [1], type: HEARTH_CACHE_F16, pool: $0)
    }
    #expect(result == [65_504, -65_504, 65_504, -65_504, 65_504, 65_504, 0, 0x1p-24])
  }
}
