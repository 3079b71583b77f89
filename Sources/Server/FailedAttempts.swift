internal import Chat

/// Slows those down who try keys: an address that has sent too many wrong ones may try one now and then only, and what it sends
/// meanwhile is refused unseen. Keys that were right from there before go on, so that nobody is shut out by a neighbour.
struct FailedAttempts: Sendable {
  private struct Record: Sendable {
    /// Wrong keys that may still come at once.
    var level: Double
    var time: ContinuousClock.Instant
  }

  private struct Visitor: Hashable, Sendable {
    let address: String
    let key: String
  }

  /// Wrong keys at once, and the seconds after which another may come.
  let burst: Int
  static let secondsEach = 6.0
  /// Addresses and keys that are remembered: whoever has many addresses must not use up memory.
  static let most = 4096

  private var records: [String: Record] = [:]
  private var welcome: Set<Visitor> = []

  init(burst: Int) { self.burst = burst }

  /// Seconds until the address may try again; 0 when it may.
  func wait(_ address: String, _ now: ContinuousClock.Instant = .now) -> Double {
    guard let record = records[address] else { return 0 }
    return max(0, (1 - level(record, now)) * FailedAttempts.secondsEach)
  }

  /// Whether a key has been right from this address.
  func isWelcome(_ address: String, _ key: String) -> Bool { welcome.contains(Visitor(address: address, key: key)) }

  /// A key was right.
  mutating func succeed(_ address: String, _ key: String) {
    let visitor = Visitor(address: address, key: key)
    guard !welcome.contains(visitor) else { return }
    if welcome.count >= FailedAttempts.most { welcome = [] }
    welcome.insert(visitor)
  }

  /// A key was wrong.
  mutating func fail(_ address: String, _ now: ContinuousClock.Instant = .now) {
    if records[address] == nil, records.count >= FailedAttempts.most {
      // First those who have done nothing for long, then, if nobody has, those who did something longest ago.
      records = records.filter { level($0.value, now) < Double(burst) }
      if records.count >= FailedAttempts.most, let eldest = records.min(by: { $0.value.time < $1.value.time }) {
        records[eldest.key] = nil
      }
    }
    let rest = records[address].map { level($0, now) } ?? Double(burst)
    records[address] = Record(level: max(0, rest - 1), time: now)
  }

  private func level(_ record: Record, _ now: ContinuousClock.Instant) -> Double {
    min(Double(burst), record.level + (now - record.time).seconds / FailedAttempts.secondsEach)
  }

  /// Whom an address stands for: of IPv6, where everybody has many, the network.
  static func name(_ address: String) -> String {
    guard address.contains(":") else { return address }
    // The first four groups; an address that is shortened within them stands for itself.
    let groups = address.split(separator: ":", omittingEmptySubsequences: false).prefix(4)
    return groups.count == 4 && !groups.contains("") ? groups.joined(separator: ":") : address
  }
}
