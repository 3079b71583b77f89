/// A small random generator: a counter, passed through a mixing function.
///
///     state ← state + 0x9E3779B97F4A7C15      output = mix(state)
///
/// Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators" (OOPSLA 2014), figure 17.
/// The period is 2⁶⁴ and every seed, also 0 and neighbours, starts an unrelated-looking stream.
///
/// The whole state is one public integer: store it and a run resumes with the next number. Not for
/// keys or tokens of any secret; use the system's generator there.
public struct SplitMix64: RandomNumberGenerator, Sendable, Hashable, Codable {
  /// The counter. A generator seeded with this value continues the stream.
  public private(set) var state: UInt64

  /// Starts the stream of a seed.
  public init(seed: UInt64) { state = seed }

  /// The next 64 bits.
  public mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// The next number in [0, 1): the upper 53 bits of one output, times 2⁻⁵³.
  public mutating func nextUnit() -> Double {
    Double(next() >> 11) * 0x1p-53
  }
}
