/// Normalisation form C: characters decomposed, marks put in order, everything composed again.
///
/// Unicode Standard Annex 15, with tables of our own: Swift's library composes U+10041 with U+0301
/// to "Á" (6.3), and knows marks that Hugging Face `tokenizers` leaves in place.
struct CanonicalComposition: Sendable {
  /// The one instance.
  static let shared = CanonicalComposition()

  private var combiningClasses: [UInt32: UInt8] = [:]
  private var decompositions: [UInt32: (first: UInt32, second: UInt32)] = [:]
  private var compositions: [UInt64: UInt32] = [:]
  /// Scalars that may not stay as they are: marks, what decomposes for good, what composes with a
  /// scalar before. A bit each.
  private var restless = [UInt8](repeating: 0, count: 0x110000 / 8)

  private init() {
    for index in stride(from: 0, to: combiningClassRanges.count, by: 3) {
      for value in combiningClassRanges[index]...combiningClassRanges[index + 1] {
        combiningClasses[value] = UInt8(truncatingIfNeeded: combiningClassRanges[index + 2])
        setRestless(value)
      }
    }
    for index in stride(from: 0, to: canonicalPairs.count, by: 3) {
      let (composed, first, second) = (
        canonicalPairs[index], canonicalPairs[index + 1], canonicalPairs[index + 2]
      )
      decompositions[composed] = (first, second)
      compositions[UInt64(first) << 32 | UInt64(second)] = composed
      setRestless(second)
    }
    for index in stride(from: 0, to: canonicalDecompositions.count, by: 3) {
      decompositions[canonicalDecompositions[index]] = (
        canonicalDecompositions[index + 1], canonicalDecompositions[index + 2]
      )
      setRestless(canonicalDecompositions[index])
    }
    for value in Hangul.vowels.lowerBound..<Hangul.vowels.upperBound { setRestless(value) }
    for value in Hangul.trails.lowerBound..<Hangul.trails.upperBound { setRestless(value) }
  }

  private mutating func setRestless(_ value: UInt32) {
    restless[Int(value >> 3)] |= 1 << UInt8(value & 7)
  }

  @inline(__always)
  private func isRestless(_ scalar: Unicode.Scalar) -> Bool {
    // Below U+0300 every character is its own normal form.
    scalar.value >= 0x300 && restless[Int(scalar.value >> 3)] >> UInt8(scalar.value & 7) & 1 == 1
  }

  /// `text` in normalisation form C.
  func compose(_ text: String) -> String {
    guard text.unicodeScalars.contains(where: { isRestless($0) }) else { return text }
    var result = String.UnicodeScalarView()
    // Only a stretch from a scalar at rest through the restless ones after it can change.
    var stretch: [UInt32] = []
    var isStretchRestless = false
    for scalar in text.unicodeScalars {
      if isRestless(scalar) {
        isStretchRestless = true
      } else {
        append(stretch, isRestless: isStretchRestless, to: &result)
        stretch.removeAll(keepingCapacity: true)
        isStretchRestless = false
      }
      stretch.append(scalar.value)
    }
    append(stretch, isRestless: isStretchRestless, to: &result)
    return String(result)
  }

  private func append(
    _ stretch: [UInt32], isRestless: Bool, to result: inout String.UnicodeScalarView
  ) {
    for value in isRestless ? composed(stretch) : stretch {
      if let scalar = Unicode.Scalar(value) { result.append(scalar) }
    }
  }

  private func composed(_ scalars: [UInt32]) -> [UInt32] {
    var decomposed: [(value: UInt32, combiningClass: UInt8)] = []
    for value in scalars { decompose(value, into: &decomposed) }
    sortMarks(&decomposed)
    var result: [UInt32] = []
    var starter: Int?
    var last: UInt8 = 0
    for (value, combiningClass) in decomposed {
      // A mark reaches the starter unless one of its own class or higher, or a starter, lies between.
      if let index = starter, last < combiningClass || index == result.count - 1,
        let pair = pair(result[index], value)
      {
        result[index] = pair
        continue
      }
      if combiningClass == 0 { starter = result.count }
      last = combiningClass
      result.append(value)
    }
    return result
  }

  private func decompose(
    _ value: UInt32, into result: inout [(value: UInt32, combiningClass: UInt8)]
  ) {
    if let (first, second) = decompositions[value] {
      decompose(first, into: &result)
      if second != 0 { decompose(second, into: &result) }
    } else if let parts = Hangul.decompose(value) {
      for part in parts { result.append((part, 0)) }
    } else {
      result.append((value, combiningClasses[value] ?? 0))
    }
  }

  /// Puts every run of marks in the order of their classes; marks of one class keep theirs.
  private func sortMarks(_ scalars: inout [(value: UInt32, combiningClass: UInt8)]) {
    var start = 0
    while start < scalars.count {
      guard scalars[start].combiningClass != 0 else {
        start += 1
        continue
      }
      var end = start
      while end < scalars.count, scalars[end].combiningClass != 0 { end += 1 }
      if end - start > 1 {
        let sorted = scalars[start..<end].enumerated().sorted {
          ($0.element.combiningClass, $0.offset) < ($1.element.combiningClass, $1.offset)
        }
        for (offset, entry) in sorted.enumerated() { scalars[start + offset] = entry.element }
      }
      start = end
    }
  }

  private func pair(_ first: UInt32, _ second: UInt32) -> UInt32? {
    Hangul.compose(first, second) ?? compositions[UInt64(first) << 32 | UInt64(second)]
  }
}

/// Korean syllables, which decompose by arithmetic: The Unicode Standard, section 3.12.
enum Hangul {
  static let syllables: Range<UInt32> = 0xAC00..<0xD7A4
  static let leads: Range<UInt32> = 0x1100..<0x1113
  static let vowels: Range<UInt32> = 0x1161..<0x1176
  static let trails: Range<UInt32> = 0x11A8..<0x11C3
  /// Syllables of one lead and vowel: without a trail, and with each.
  private static let trailCount: UInt32 = 28

  /// The two or three letters of a syllable, or nil.
  static func decompose(_ value: UInt32) -> [UInt32]? {
    guard syllables.contains(value) else { return nil }
    let index = value - syllables.lowerBound
    let vowelCount = UInt32(vowels.count)
    let lead = leads.lowerBound + index / (vowelCount * trailCount)
    let vowel = vowels.lowerBound + index / trailCount % vowelCount
    let trail = index % trailCount
    return trail == 0 ? [lead, vowel] : [lead, vowel, trails.lowerBound - 1 + trail]
  }

  /// The syllable of a lead and a vowel, or of a syllable without trail and a trail; else nil.
  static func compose(_ first: UInt32, _ second: UInt32) -> UInt32? {
    if leads.contains(first), vowels.contains(second) {
      let pair = (first - leads.lowerBound) * UInt32(vowels.count) + second - vowels.lowerBound
      return syllables.lowerBound + pair * trailCount
    }
    if syllables.contains(first), (first - syllables.lowerBound) % trailCount == 0,
      trails.contains(second)
    {
      return first + second - trails.lowerBound + 1
    }
    return nil
  }
}
