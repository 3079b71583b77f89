internal import Chat
internal import Crypto
internal import Foundation
internal import GRDB

/// One line of the audit log: who did what to what. Never what was said.
struct AuditEntry: Sendable {
  var time = Date().timeIntervalSince1970
  /// The key's id, or who else it was.
  var actor: String
  /// `key.create`, `POST /v1/chat/completions`.
  var action: String
  /// A key, a model, a request.
  var object: String
  /// `200`, or how else it went.
  var outcome: String
}

/// What `hearth audit verify` found.
public struct AuditVerdict: Sendable, Encodable, Equatable {
  /// Entries that there are.
  public let entries: Int
  /// The hash of the last one: kept elsewhere, it tells later whether the log's end was cut off.
  public let head: String
  /// The first entry that is not what was written, or follows one that is missing; nil when all are.
  public let broken_at: Int?
}

extension Storage {
  private static let origin = Data(repeating: 0, count: 32)

  /// The hash of an entry covers all of it and the hash of the one before, so that nothing can be changed, taken out or put in
  /// between without all that follows being wrong.
  private static func hash(_ number: Int, _ entry: AuditEntry, after previous: Data) -> Data {
    let fields: JSON = [
      .integer(number), .string(String(entry.time.bitPattern)), .string(entry.actor), .string(entry.action),
      .string(entry.object), .string(entry.outcome),
    ]
    return Data(SHA256.hash(data: previous + Data(fields.bytes)))
  }

  /// Appends entries, inside of a transaction.
  static func append(_ entries: [AuditEntry], _ database: Database) throws {
    let last = try Row.fetchOne(database, sql: "SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1")
    var (number, previous): (Int, Data) = (last?["number"] ?? 0, last?["hash"] ?? origin)
    for entry in entries {
      number += 1
      previous = hash(number, entry, after: previous)
      try database.execute(
        sql: "INSERT INTO audit (number, time, actor, action, object, outcome, hash) VALUES (?, ?, ?, ?, ?, ?, ?)",
        arguments: [number, entry.time, entry.actor, entry.action, entry.object, entry.outcome, previous])
    }
  }

  /// Recomputes the whole chain.
  public func verifyAudit() throws(ServerError) -> AuditVerdict {
    try look { database in
      var (count, previous) = (0, Storage.origin)
      let rows = try Row.fetchCursor(database, sql: "SELECT * FROM audit ORDER BY number")
      while let row = try rows.next() {
        let entry = AuditEntry(
          time: row["time"], actor: row["actor"], action: row["action"], object: row["object"], outcome: row["outcome"])
        let expected = Storage.hash(count + 1, entry, after: previous)
        guard row["number"] == count + 1, row["hash"] == expected else {
          return AuditVerdict(entries: count, head: previous.hexadecimal, broken_at: count + 1)
        }
        (count, previous) = (count + 1, expected)
      }
      return AuditVerdict(entries: count, head: previous.hexadecimal, broken_at: nil)
    }
  }

  /// Lines of the log, the latest last.
  public func auditLines(last count: Int) throws(ServerError) -> [String] {
    try look { database in
      try Row.fetchAll(
        database, sql: "SELECT * FROM (SELECT * FROM audit ORDER BY number DESC LIMIT ?) ORDER BY number",
        arguments: [count]
      ).map { row in
        let date = Date(timeIntervalSince1970: row["time"]).ISO8601Format()
        return
          "\(row["number"] as Int)  \(date)  \(row["actor"] as String)  \(row["action"] as String)  \(row["object"] as String)  \(row["outcome"] as String)"
      }
    }
  }
}
