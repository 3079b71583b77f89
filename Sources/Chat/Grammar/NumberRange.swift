/// A decimal number as JSON writes it, without an exponent: exact, however long.
struct DecimalText: Equatable, Comparable {
  var isNegative = false
  /// Without zeros in front, but for a single one.
  var whole: [UInt8] = [0]
  /// Without zeros at the end.
  var fraction: [UInt8] = []

  static let zero = DecimalText()

  private init() {}

  /// nil for what is no number, or has more than forty digits once its exponent is written out.
  init?(_ text: String) {
    let parts = text.lowercased().split(separator: "e", omittingEmptySubsequences: false)
    guard (1...2).contains(parts.count), let exponent = parts.count == 2 ? Int(parts[1]) : 0, abs(exponent) <= 40 else {
      return nil
    }
    var digits = parts[0]
    if digits.first == "-" {
      isNegative = true
      digits = digits.dropFirst()
    }
    let halves = digits.split(separator: ".", omittingEmptySubsequences: false)
    guard (1...2).contains(halves.count) else { return nil }
    func values(_ text: Substring) -> [UInt8] { text.utf8.map { $0 &- 0x30 } }
    var (left, right) = (values(halves[0]), halves.count == 2 ? values(halves[1]) : [])
    guard !left.isEmpty, (left + right).allSatisfy({ $0 <= 9 }) else { return nil }
    for _ in 0..<max(0, exponent) { left.append(right.isEmpty ? 0 : right.removeFirst()) }
    for _ in 0..<max(0, -exponent) { right.insert(left.isEmpty ? 0 : left.removeLast(), at: 0) }
    whole = Array(left.drop { $0 == 0 })
    if whole.isEmpty { whole = [0] }
    while right.last == 0 { right.removeLast() }
    fraction = right
    guard whole.count + fraction.count <= 40 else { return nil }
    if whole == [0], fraction.isEmpty { isNegative = false }
  }

  var negated: DecimalText {
    var result = self
    result.isNegative = self != .zero && !isNegative
    return result
  }

  /// Whether it is a whole number.
  var isWhole: Bool { fraction.isEmpty }

  static func < (left: DecimalText, right: DecimalText) -> Bool {
    if left.isNegative != right.isNegative { return left.isNegative }
    let (small, large) = left.isNegative ? (right, left) : (left, right)
    if small.whole.count != large.whole.count { return small.whole.count < large.whole.count }
    if small.whole != large.whole { return small.whole.lexicographicallyPrecedes(large.whole) }
    return small.fraction.lexicographicallyPrecedes(large.fraction)
  }
}

/// Numbers between bounds.
struct NumberRange: Equatable {
  struct Bound: Equatable {
    var value: DecimalText
    /// Whether the bound itself is out.
    var isExclusive: Bool
  }

  var low: Bound?
  var high: Bound?
  /// Digits behind the point at most.
  var fractionDigits = 16
  /// What whole numbers are multiples of.
  var divisor = 1

  /// Whether every number may be written, exponents and all.
  var isUnbounded: Bool { low == nil && high == nil && divisor == 1 && fractionDigits == 16 }

  /// Whether no number is in both.
  func isDisjoint(from other: NumberRange) -> Bool {
    func isAbove(_ low: Bound?, _ high: Bound?) -> Bool {
      guard let low, let high else { return false }
      return high.value < low.value || (high.value == low.value && (low.isExclusive || high.isExclusive))
    }
    return isAbove(low, other.high) || isAbove(other.low, high)
  }
}

extension GrammarBuilder {
  /// A number of a range, without an exponent, of at most sixteen digits before the point.
  ///
  /// - Throws: `GrammarError` without a path when there is none.
  mutating func number(_ range: NumberRange, _ next: Int) throws(Failure) -> Int {
    let zero = NumberRange.Bound(value: .zero, isExclusive: false)
    var places: [Int] = []
    // From zero on.
    if !(range.high.map { $0.value < .zero } ?? false) {
      let low = range.low.map { $0.value < .zero ? zero : $0 } ?? zero
      var writer = MagnitudeWriter(low, range.high, range)
      if let place = try writer.write(&self, next) { places.append(place) }
    }
    // Below zero, where bounds change places; there is one zero.
    if range.low.map({ $0.value < .zero }) ?? true {
      let low: NumberRange.Bound
      if let high = range.high, high.value < .zero {
        low = NumberRange.Bound(value: high.value.negated, isExclusive: high.isExclusive)
      } else {
        low = NumberRange.Bound(value: .zero, isExclusive: true)
      }
      let high = range.low.map { NumberRange.Bound(value: $0.value.negated, isExclusive: $0.isExclusive) }
      var writer = MagnitudeWriter(low, high, range)
      if let place = try writer.write(&self, next) { places.append(try literal("-", place)) }
    }
    guard !places.isEmpty else { throw GrammarError("", "no number is within these bounds") }
    return try add(.split(places))
  }
}

/// Writes the digits of numbers from `low` on, none of them negative.
///
/// Digits are compared with those of the bounds from the left, as long as they are the same; after that any may come.
private struct MagnitudeWriter {
  private struct Place: Hashable {
    /// Digits before the point that are still to come; behind it −1 less those that have come.
    let rest: Int
    /// Whether all digits so far are the bound's.
    let isLow: Bool, isHigh: Bool
    let remainder: Int
  }

  private let low: NumberRange.Bound
  private let high: NumberRange.Bound?
  private let range: NumberRange
  private var known: [Place: Int?] = [:]

  init(_ low: NumberRange.Bound, _ high: NumberRange.Bound?, _ range: NumberRange) {
    self.low = low
    self.high = high
    self.range = range
  }

  /// Where the digits begin; nil when there are none.
  mutating func write(_ builder: inout GrammarBuilder, _ next: Int) throws(GrammarError) -> Int? {
    let (least, most) = (low.value.whole.count, high?.value.whole.count ?? 16)
    guard least <= most else { return nil }
    var places: [Int] = []
    for count in least...most {
      let start = Place(rest: count, isLow: count == least, isHigh: count == high?.value.whole.count, remainder: 0)
      if let place = try digit(start, isFirst: true, count, &builder, next) { places.append(place) }
    }
    return places.isEmpty ? nil : try builder.add(.split(places))
  }

  /// What may follow; nil when nothing does.
  private mutating func after(
    _ place: Place, _ builder: inout GrammarBuilder, _ next: Int
  ) throws(GrammarError) -> Int? {
    if let found = known[place] { return found }
    var options: [Int] = []
    if place.rest > 0 {
      if let digit = try digit(place, isFirst: false, 0, &builder, next) { options.append(digit) }
    } else {
      let behind = max(0, -1 - place.rest)
      if mayEnd(place, behind) { options.append(next) }
      if behind < range.fractionDigits {
        let start = Place(
          rest: min(place.rest, -1), isLow: place.isLow, isHigh: place.isHigh, remainder: place.remainder)
        if let digit = try digit(start, isFirst: false, 0, &builder, next) {
          options.append(place.rest == 0 ? try builder.literal(".", digit) : digit)
        }
      }
    }
    let found = options.isEmpty ? nil : try builder.add(.split(options))
    known[place] = .some(found)
    return found
  }

  /// Whether a number may end with so many digits behind the point.
  private func mayEnd(_ place: Place, _ behind: Int) -> Bool {
    guard place.remainder == 0 else { return false }
    if place.isLow {
      // Shorter than the bound's fraction it is below; else it is the bound.
      guard behind >= low.value.fraction.count, !low.isExclusive else { return false }
    }
    if place.isHigh, let high, behind >= high.value.fraction.count, high.isExclusive { return false }
    return true
  }

  /// - Parameter count: Of the first digit, how many there are before the point.
  private mutating func digit(
    _ place: Place, isFirst: Bool, _ count: Int, _ builder: inout GrammarBuilder, _ next: Int
  ) throws(GrammarError) -> Int? {
    let least = max(place.isLow ? digit(of: low.value, at: place) : 0, isFirst && count > 1 ? 1 : 0)
    let most = place.isHigh ? high.map { digit(of: $0.value, at: place) } ?? 9 : 9
    guard least <= most else { return nil }
    var byTarget: [Int: ByteSet] = [:]
    for value in least...most {
      let following = Place(
        rest: place.rest - 1,
        isLow: place.isLow && value == digit(of: low.value, at: place),
        isHigh: place.isHigh && value == high.map { digit(of: $0.value, at: place) },
        remainder: place.rest > 0 ? (place.remainder * 10 + value) % range.divisor : place.remainder)
      if let target = try after(following, &builder, next) {
        byTarget[target, default: ByteSet()].insert(UInt8(0x30 + value))
      }
    }
    var options: [Int] = []
    for (target, set) in byTarget.sorted(by: { $0.key < $1.key }) { options.append(try builder.one(set, target)) }
    return options.isEmpty ? nil : try builder.add(.split(options))
  }

  private func digit(of bound: DecimalText, at place: Place) -> Int {
    if place.rest > 0 { return Int(bound.whole[bound.whole.count - place.rest]) }
    let index = -1 - place.rest
    return index < bound.fraction.count ? Int(bound.fraction[index]) : 0
  }
}
