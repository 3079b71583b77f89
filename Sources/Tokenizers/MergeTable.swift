/// Which pairs of tokens merge, how early, and into what.
///
/// A flat hash table with open addressing, at most half full, keyed by the pair: the inner loop of
/// byte-pair encoding does little besides looking in here.
struct MergeTable: Sendable {
  /// `rank << 32 | merged id`.
  typealias Merge = UInt64
  /// What a pair that does not merge has: later than every rank.
  static let none = Merge.max

  private struct Slot {
    var pair: UInt64
    var merge: Merge
  }

  private var slots: [Slot]

  /// An empty table with room for `capacity` pairs.
  init(capacity: Int) {
    var slotCount = 16
    while slotCount < capacity * 2 { slotCount *= 2 }
    slots = [Slot](repeating: Slot(pair: 0, merge: Self.none), count: slotCount)
  }

  /// Lets `left` and `right` merge into `merged`. A pair given twice keeps the later rank, as in
  /// Hugging Face `tokenizers`.
  mutating func insert(left: Int32, right: Int32, rank: Int, merged: Int32) {
    let pair = Self.pair(left, right)
    var slot = slot(of: pair)
    while slots[slot].merge != Self.none, slots[slot].pair != pair {
      slot = (slot + 1) & (slots.count - 1)
    }
    slots[slot] = Slot(pair: pair, merge: UInt64(rank) << 32 | UInt64(UInt32(bitPattern: merged)))
  }

  /// What `left` and `right` merge into, or `none`.
  @inline(__always)
  func merge(_ left: Int32, _ right: Int32) -> Merge {
    let pair = Self.pair(left, right)
    var slot = slot(of: pair)
    while slots[slot].merge != Self.none {
      if slots[slot].pair == pair { return slots[slot].merge }
      slot = (slot + 1) & (slots.count - 1)
    }
    return Self.none
  }

  /// The token a merge makes.
  @inline(__always)
  static func merged(_ merge: Merge) -> Int32 { Int32(truncatingIfNeeded: merge) }

  /// Whether `left` has the better rank. Pairs that make different tokens may share one, and then the leftmost goes first.
  @inline(__always)
  static func precedes(_ left: Merge, _ right: Merge) -> Bool { left >> 32 < right >> 32 }

  @inline(__always)
  private static func pair(_ left: Int32, _ right: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
  }

  /// Multiplication by the golden ratio spreads neighbouring ids; the high bits are the good ones.
  @inline(__always)
  private func slot(of pair: UInt64) -> Int {
    Int(truncatingIfNeeded: (pair &* 0x9E37_79B9_7F4A_7C15) >> 32) & (slots.count - 1)
  }
}
