internal import Foundation
internal import Synchronization

/// Who may come in: counts the answers under way, and says no at once when there are too many.
///
/// A value apart from the engine's thread, so that nobody waits for a step of the model to hear a no.
struct Admission: Sendable {
  let laneCount: Int
  let queueLimit: Int
  let keyLimit: Int
  private(set) var isClosed = false
  private(set) var count = 0
  private var byKey: [String: Int] = [:]
  /// How long an answer took lately, a moving average.
  private var meanSeconds = 2.0

  init(laneCount: Int, queueLimit: Int, keyLimit: Int) {
    self.laneCount = laneCount
    self.queueLimit = queueLimit
    self.keyLimit = keyLimit
  }

  /// Counts `answers` more for `key`.
  ///
  /// - Throws: When there is no place for them.
  mutating func enter(_ answers: Int, key: String) throws(EngineRoomError) {
    if isClosed { throw .closing }
    if count + answers > laneCount + queueLimit {
      throw .full(waiting: max(0, count - laneCount), retryAfterSeconds: retryAfterSeconds)
    }
    if byKey[key, default: 0] + answers > keyLimit {
      throw .keyFull(limit: keyLimit, retryAfterSeconds: retryAfterSeconds)
    }
    count += answers
    byKey[key, default: 0] += answers
  }

  /// They have gone.
  ///
  /// - Parameter seconds: How long they were here; nil when they were not answered.
  mutating func leave(_ answers: Int, key: String, seconds: Double?) {
    count -= answers
    let rest = byKey[key, default: 0] - answers
    byKey[key] = rest > 0 ? rest : nil
    if let seconds { meanSeconds += (seconds - meanSeconds) / 8 }
  }

  mutating func close() { isClosed = true }

  /// When a place may be free: what those here take, as many at a time as there are lanes.
  private var retryAfterSeconds: Int {
    let rounds = Double(count) / Double(max(1, laneCount))
    return max(1, min(60, Int((meanSeconds * rounds).rounded(.up))))
  }
}
