public import Foundation

/// Random damage to the bytes of a file: the same in every run of the suite, other damage in `make fuzz`.
public struct Damage {
  private var state: UInt64

  /// How many seconds each kind of file is damaged for; nil is a fixed number of rounds (HEARTH_FUZZ_SECONDS).
  public static let seconds = ProcessInfo.processInfo.environment["HEARTH_FUZZ_SECONDS"].flatMap { Double($0) }

  /// - Parameter seed: Mixed with the clock when the damage is to last.
  public init(seed: UInt64) {
    state = seed
    if Damage.seconds != nil { state ^= DispatchTime.now().uptimeNanoseconds }
  }

  /// The numbers of the rounds: as many as asked for, or as many as fit into the time.
  public static func rounds(_ count: Int) -> AnySequence<Int> {
    guard let seconds else { return AnySequence(0..<count) }
    let end = Date(timeIntervalSinceNow: seconds)
    return AnySequence(sequence(first: 0) { Date() < end ? $0 + 1 : nil })
  }

  /// SplitMix64 (Steele, Lea and Flood, 2014).
  private mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  private mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(max(1, bound))) }

  /// `bytes` with bits flipped, bytes and words set to telling values, pieces cut off, doubled or removed.
  public mutating func damaged(_ bytes: [UInt8]) -> [UInt8] {
    var result = bytes
    for _ in 0...below(3) where !result.isEmpty {
      let place = below(result.count)
      switch below(7) {
      case 0: result[place] ^= 1 << UInt8(below(8))
      case 1: result[place] = UInt8(below(256))
      case 2: result.removeLast(result.count - place)
      case 3: set([0, 1, .max, 1 << 63, 1 << 62, 1 << 32, .max - 31, 1 << 31] as [UInt64], at: place, &result)
      case 4: set([0, 1, 8, 9, 13, .max, 1 << 31] as [UInt32], at: place, &result)
      case 5: result.removeSubrange(place..<min(result.count, place + 1 + below(32)))
      default:
        result.insert(contentsOf: result[place..<min(result.count, place + 1 + below(32))], at: place)
      }
    }
    return result
  }

  private mutating func set<Word: FixedWidthInteger>(_ words: [Word], at place: Int, _ bytes: inout [UInt8]) {
    let width = Word.bitWidth / 8
    guard place + width <= bytes.count else { return }
    let word = words[below(words.count)]
    for index in 0..<width { bytes[place + index] = UInt8(truncatingIfNeeded: word >> (8 * index)) }
  }
}
