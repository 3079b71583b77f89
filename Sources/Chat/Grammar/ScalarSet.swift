/// A set of Unicode scalar values, as ranges in order that do not touch.
struct ScalarSet: Sendable, Hashable {
  private(set) var ranges: [ClosedRange<UInt32>] = []

  init() {}
  init(_ ranges: ClosedRange<UInt32>...) { for range in ranges { insert(range) } }
  init(_ characters: String) { for scalar in characters.unicodeScalars { insert(scalar.value...scalar.value) } }

  /// Every scalar value: surrogates are none.
  static let all = ScalarSet(0...0xD7FF, 0xE000...0x10FFFF)

  var isEmpty: Bool { ranges.isEmpty }

  mutating func insert(_ range: ClosedRange<UInt32>) {
    var merged = range
    var others: [ClosedRange<UInt32>] = []
    for other in ranges {
      if other.upperBound &+ 1 < merged.lowerBound || merged.upperBound &+ 1 < other.lowerBound {
        others.append(other)
      } else {
        merged = min(merged.lowerBound, other.lowerBound)...max(merged.upperBound, other.upperBound)
      }
    }
    others.append(merged)
    ranges = others.sorted { $0.lowerBound < $1.lowerBound }
  }

  func union(_ other: ScalarSet) -> ScalarSet {
    var result = self
    for range in other.ranges { result.insert(range) }
    return result
  }

  /// All scalar values that are not in the set.
  var inverted: ScalarSet {
    var result = ScalarSet()
    for whole in ScalarSet.all.ranges {
      var start = whole.lowerBound
      for range in ranges where range.upperBound >= whole.lowerBound && range.lowerBound <= whole.upperBound {
        if range.lowerBound > start { result.insert(start...(range.lowerBound - 1)) }
        start = max(start, range.upperBound + 1)
      }
      if start <= whole.upperBound { result.insert(start...whole.upperBound) }
    }
    return result
  }

  /// The ways to write one of the scalars in a JSON string: as it is in UTF-8, or escaped where it must be.
  ///
  /// UTF-8 by ranges: Cox, "Regular Expression Matching in the Wild" (2010), section "UTF-8".
  var spellings: [[ClosedRange<UInt8>]] {
    var result: [[ClosedRange<UInt8>]] = []
    for range in ranges {
      for scalar in Array(0..<0x20) + [0x22, 0x5C] as [UInt32] where range.contains(scalar) {
        result.append(ScalarSet.escape(scalar).utf8.map { $0...$0 })
      }
      for (low, high) in [(0x20, 0x21), (0x23, 0x5B), (0x5D, 0x7F)] as [(UInt32, UInt32)] {
        let (first, last) = (max(low, range.lowerBound), min(high, range.upperBound))
        if first <= last { result.append([UInt8(first)...UInt8(last)]) }
      }
      for (low, high) in [(0x80, 0x7FF), (0x800, 0xFFFF), (0x10000, 0x10FFFF)] as [(UInt32, UInt32)] {
        let (first, last) = (max(low, range.lowerBound), min(high, range.upperBound))
        if first <= last { ScalarSet.split(first, last, &result) }
      }
    }
    return result
  }

  private static func escape(_ scalar: UInt32) -> String {
    switch scalar {
    case 0x22: "\\\""
    case 0x5C: "\\\\"
    case 0x08: "\\b"
    case 0x09: "\\t"
    case 0x0A: "\\n"
    case 0x0C: "\\f"
    case 0x0D: "\\r"
    default: "\\u00" + (scalar < 16 ? "0" : "") + String(scalar, radix: 16)
    }
  }

  /// Halves a range of scalars of one length until each byte of a spelling is any of a range whatever the others are.
  private static func split(_ first: UInt32, _ last: UInt32, _ result: inout [[ClosedRange<UInt8>]]) {
    for bits in [6, 12, 18] as [UInt32] {
      let mask = (UInt32(1) << bits) - 1
      guard first & ~mask != last & ~mask else { continue }
      if first & mask != 0 {
        split(first, first | mask, &result)
        return split((first | mask) + 1, last, &result)
      }
      if last & mask != mask {
        split(first, (last & ~mask) - 1, &result)
        return split(last & ~mask, last, &result)
      }
    }
    result.append(zip(utf8(first), utf8(last)).map { $0...$1 })
  }

  private static func utf8(_ scalar: UInt32) -> [UInt8] {
    func tail(_ shift: UInt32) -> UInt8 { UInt8(0x80 | scalar >> shift & 0x3F) }
    if scalar < 0x800 { return [UInt8(0xC0 | scalar >> 6), tail(0)] }
    if scalar < 0x10000 { return [UInt8(0xE0 | scalar >> 12), tail(6), tail(0)] }
    return [UInt8(0xF0 | scalar >> 18), tail(12), tail(6), tail(0)]
  }
}
