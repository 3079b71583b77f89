/// Cuts an answer at the first stop string, while it streams, without ever showing a part of one.
///
/// The answer arrives in pieces of any size. What can no longer belong to a stop string is handed on
/// at once; the rest is held back until it is clear. The text handed on in all is the same however
/// it was cut into pieces: everything before the place where a stop string first begins.
///
/// Comparison is by UTF-8 bytes, so an "é" of one scalar and one of two (e, combining accent) differ, and
/// a stop string "e" is found in the latter. What is handed on always ends on a scalar's border,
/// not always on a character's: a combining accent may follow its letter in the next piece.
public struct StopStrings: Sendable {
  /// A stop string that cannot be searched for.
  public enum ValidationError: Error, Hashable, CustomStringConvertible {
    /// The stop string at this index (from 0) is empty, and would end every answer at its start.
    case empty(index: Int)

    /// The message for the person at the keyboard.
    public var description: String {
      switch self {
      case .empty(let index): "stop string \(index + 1) is empty, expected at least one character"
      }
    }
  }

  /// The stop string that ended the answer.
  public private(set) var match: String?
  private let stops: [(text: String, bytes: [UInt8])]
  /// What ends the search; nil for nothing.
  private let marker: [UInt8]?
  private var isPastMarker = false
  /// Text that may be the beginning of a stop string.
  private var held: [UInt8] = []

  /// Watches for any of `stops`; for none if the list is empty.
  ///
  /// - Parameter marker: A text with which something begins that no stop string cuts, like the call of a tool; where both begin at the
  ///   same place, it does.
  /// - Throws: `ValidationError.empty`.
  public init(_ stops: [String], before marker: String? = nil) throws(ValidationError) {
    self.marker = marker.map { Array($0.utf8) }
    for (index, stop) in stops.enumerated() where stop.isEmpty { throw .empty(index: index) }
    self.stops = stops.map { ($0, Array($0.utf8)) }
  }

  /// Whether a stop string was found.
  public var isStopped: Bool { match != nil }

  /// Takes the next piece of the answer.
  ///
  /// If two stop strings overlap, the one that begins first counts; so an answer may have to go on a
  /// little after one is complete, while another that began earlier may still become so.
  ///
  /// - Returns: `emit`, what may be shown now; `stopped`, whether the answer has ended. Once it has,
  ///   more text is ignored.
  public mutating func append(_ text: String) -> (emit: String, stopped: Bool) {
    guard !isStopped else { return ("", true) }
    held += text.utf8
    return (release(isEnd: false), isStopped)
  }

  /// The answer ended otherwise: what was held back and is no stop string after all.
  ///
  /// `match` may be set by this, if an earlier, longer stop string was still possible until now.
  public mutating func finish() -> String {
    isStopped ? "" : release(isEnd: true)
  }

  /// Takes from `held` what comes before the first place where a stop string is or may yet be.
  private mutating func release(isEnd: Bool) -> String {
    var place = held.count
    search: for start in isPastMarker ? 0..<0 : held.indices {
      var mayMatch = false
      if let marker, marker.first == held[start] {
        switch compare(marker, at: start) {
        case .whole:
          isPastMarker = true
          break search
        case .part where !isEnd:
          place = start
          break search
        case .part, .none: break
        }
      }
      for stop in stops where stop.bytes[0] == held[start] {
        switch compare(stop.bytes, at: start) {
        case .whole:
          match = stop.text
          place = start
          break search
        case .part: mayMatch = true
        case .none: break
        }
      }
      if mayMatch, !isEnd {
        place = start
        break
      }
    }
    // `place` is where the first byte of a valid string matched, so no scalar is cut in two.
    let text = String(decoding: held[..<place], as: UTF8.self)
    held = isStopped ? [] : Array(held[place...])
    return text
  }

  private enum Comparison { case none, part, whole }

  /// How much of `stop` the held text has at `start`, up to its end.
  private func compare(_ stop: [UInt8], at start: Int) -> Comparison {
    let count = min(stop.count, held.count - start)
    for i in 0..<count where held[start + i] != stop[i] { return .none }
    return count == stop.count ? .whole : .part
  }
}
