import CKernels
import Foundation
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

/// How queries and keys turn.
private struct Turning {
  let cosines: [Float], sines: [Float]
  let pairing: hearth_rope_pairing

  init(positions: Int, width: Int, pairing: hearth_rope_pairing) {
    let angles = (0..<positions * (width / 2)).map { Double($0 % 97) * 0.37 }
    cosines = angles.map { Float(cos($0)) }
    sines = angles.map { Float(sin($0)) }
    self.pairing = pairing
  }
}

/// The outputs of a sequence that goes through the cache in chunks.
private func cached(
  _ example: AttentionExample, chunks: [Int], type: hearth_cache_type, turning: Turning? = nil,
  pool: OpaquePointer? = nil, spoiled: Bool = false, pages given: Pages? = nil
) -> [Float] {
  let (heads, width) = (example.keyValueHeads, example.width)
  let pages = given ?? Pages(positions: example.tokens, heads: heads, width: width, type: type)
  if spoiled { pages.spoil(heads: heads, width: width, type: type) }
  let queryRow = example.heads * width, keyRow = heads * width
  var (q, k) = (example.q, example.k)
  var y = [Float](repeating: 7, count: q.count)
  var first = 0
  for chunk in chunks {
    q.withUnsafeMutableBufferPointer { q in
      k.withUnsafeMutableBufferPointer { k in
        example.v.withUnsafeBufferPointer { v in
          y.withUnsafeMutableBufferPointer { y in
            pages.pointers.withUnsafeBufferPointer { pointers in
              guard let q = q.baseAddress, let k = k.baseAddress, let v = v.baseAddress, let y = y.baseAddress
              else { return }
              let run = hearth_query_run(
                q: q + first * queryRow, k: k + first * keyRow, v: v + first * keyRow,
                y: y + first * queryRow, pages: pointers.baseAddress, count: chunk, first: first)
              attend([run], example, type: type, turning: turning, pool: pool)
            }
          }
        }
      }
    }
    first += chunk
  }
  return y
}

private func attend(
  _ runs: [hearth_query_run], _ example: AttentionExample, type: hearth_cache_type, turning: Turning? = nil,
  pool: OpaquePointer?
) {
  (turning?.cosines ?? []).withUnsafeBufferPointer { cosines in
    (turning?.sines ?? []).withUnsafeBufferPointer { sines in
      var layer = hearth_cached_layer(
        heads: example.heads, key_value_heads: example.keyValueHeads, head_width: example.width,
        scale: example.scale, ldq: example.heads * example.width, ldk: example.keyValueHeads * example.width,
        ldy: example.heads * example.width, layer_offset: Pages.offset, type: type,
        cosines: turning == nil ? nil : cosines.baseAddress, sines: turning == nil ? nil : sines.baseAddress,
        pairing: turning?.pairing ?? HEARTH_ROPE_HALVES)
      hearth_cached_attention(pool, runs, runs.count, &layer)
    }
  }
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

  /// More key heads than one, groups on both sides of what is multiplied in place, widths that do not fill a vector.
  @Test("A cache in 8 bits gives what its integers and scales stand for", arguments: shapes + [(14, 2, 64)])
  func bytes(heads: Int, keyValueHeads: Int, width: Int) {
    var example = AttentionExample(heads: heads, keyValueHeads: keyValueHeads, width: width, lengths: [75])
    // A head of zeros, one of which nothing can be told in f16, and rows of very different size.
    for i in 0..<width { (example.k[i], example.v[i]) = (0, 1e-30) }
    for i in width * 8..<width * 9 { example.k[i] *= 1000 }
    let result = everywhere("cached attention in 8 bits") {
      cached(example, chunks: [40, 1, 3, 31], type: HEARTH_CACHE_Q8, pool: $0)
    }
    example.k = rounded(example.k, width)
    example.v = rounded(example.v, width)
    withSteadyInstructionSet { expectClose("8 bits", result, example.forward().y, tolerance: 1e-4) }
  }

  /// Each row of a head as scale · integer.
  private func rounded(_ x: [Float], _ width: Int) -> [Float] {
    stride(from: 0, to: x.count, by: width).flatMap { start in
      let row = x[start..<start + width]
      let scale = Float(Float16((row.map(abs).max() ?? 0) / 127))
      return row.map { scale > 0 ? min(127, max(-127, ($0 * (1 / scale)).rounded(.toNearestOrEven))) * scale : 0 }
    }
  }

  @Test("A key that is not finite shows wherever it is seen, and nowhere else")
  func nonFinite() {
    for bad in [Float.nan, .infinity] {
      var example = AttentionExample(heads: 2, keyValueHeads: 2, width: 16, lengths: [40])
      example.k[35 * 32 + 3] = bad
      let y = everywhere("not finite") { pool in
        cached(example, chunks: [40], type: HEARTH_CACHE_Q8, pool: pool).map { $0.isNaN ? 1 : 0 }
      }
      for position in 0..<40 {
        #expect(y[position * 32] == (position >= 35 ? 1 : 0))
        #expect(y[position * 32 + 16] == 0)
      }
    }
  }

  @Test("However a prompt is cut, the outputs keep their bits")
  func chunks() {
    withSteadyInstructionSet {
      let example = AttentionExample(heads: 6, keyValueHeads: 2, width: 16, lengths: [100])
      for type in [HEARTH_CACHE_F32, HEARTH_CACHE_F16, HEARTH_CACHE_Q8] {
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

  @Test("Queries and keys turn as by themselves", arguments: [HEARTH_ROPE_HALVES, HEARTH_ROPE_NEIGHBOURS])
  func turning(_ pairing: hearth_rope_pairing) {
    let example = AttentionExample(heads: 6, keyValueHeads: 2, width: 16, lengths: [70])
    let turning = Turning(positions: 70, width: 16, pairing: pairing)
    let positions = (0..<Int32(70)).map { $0 }
    let expected = withSteadyInstructionSet {
      var turned = example
      hearth_rope(
        nil, &turned.q, positions, turning.cosines, turning.sines, 70, 6, 16, 16, pairing, false)
      hearth_rope(
        nil, &turned.k, positions, turning.cosines, turning.sines, 70, 2, 16, 16, pairing, false)
      return cached(turned, chunks: [70], type: HEARTH_CACHE_F16)
    }
    for chunks in [[70], [9, 8, 1, 1, 40, 11]] {
      let result = everywhere("turning") {
        cached(example, chunks: chunks, type: HEARTH_CACHE_F16, turning: turning, pool: $0)
      }
      #expect(result == expected, "\(chunks)")
    }
  }

  @Test("What a page held before is never seen")
  func stale() {
    withSteadyInstructionSet {
      let example = AttentionExample(heads: 4, keyValueHeads: 2, width: 12, lengths: [50])
      for type in [HEARTH_CACHE_F32, HEARTH_CACHE_F16, HEARTH_CACHE_Q8] {
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
        cached(example, chunks: [example.tokens], type: HEARTH_CACHE_F16)
          .suffix(heads * width * min(example.tokens, example.tokens == 40 ? 3 : 12))
      }
    }
    // The last positions of each sequence, in one call: one, more than one, more than a unit of work takes.
    let counts = [1, 3, 12]
    let result = everywhere("batch") { pool in
      let all = examples.map { Pages(positions: $0.tokens, heads: keyValueHeads, width: width, type: HEARTH_CACHE_F16) }
      for (i, example) in examples.enumerated() where example.tokens > counts[i] {
        var past = AttentionExample(
          heads: heads, keyValueHeads: keyValueHeads, width: width, lengths: [example.tokens - counts[i]])
        past.q = Array(example.q.prefix(past.q.count))
        past.k = Array(example.k.prefix(past.k.count))
        past.v = Array(example.v.prefix(past.v.count))
        _ = cached(past, chunks: [past.tokens], type: HEARTH_CACHE_F16, pages: all[i])
      }
      let (queryRow, keyRow) = (heads * width, keyValueHeads * width)
      var q = zip(examples, counts).flatMap { $0.q.suffix($1 * queryRow) }
      var k = zip(examples, counts).flatMap { $0.k.suffix($1 * keyRow) }
      let v = zip(examples, counts).flatMap { $0.v.suffix($1 * keyRow) }
      var y = [Float](repeating: 0, count: q.count)
      let pointers = all.map { pages in
        let copy = UnsafeMutablePointer<UnsafeMutableRawPointer?>.allocate(capacity: pages.pointers.count)
        copy.initialize(from: pages.pointers, count: pages.pointers.count)
        return copy
      }
      defer { for pointer in pointers { pointer.deallocate() } }
      q.withUnsafeMutableBufferPointer { q in
        k.withUnsafeMutableBufferPointer { k in
          v.withUnsafeBufferPointer { v in
            y.withUnsafeMutableBufferPointer { y in
              guard let q = q.baseAddress, let k = k.baseAddress, let v = v.baseAddress, let y = y.baseAddress
              else { return }
              var (runs, row): ([hearth_query_run], Int) = ([], 0)
              for (i, count) in counts.enumerated() {
                runs.append(
                  hearth_query_run(
                    q: q + row * queryRow, k: k + row * keyRow, v: v + row * keyRow, y: y + row * queryRow,
                    pages: pointers[i], count: count, first: examples[i].tokens - count))
                row += count
              }
              attend(runs, examples[0], type: HEARTH_CACHE_F16, pool: pool)
            }
          }
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
