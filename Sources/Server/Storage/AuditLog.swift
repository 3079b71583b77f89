internal import Chat
internal import Crypto
internal import Foundation
internal import GRDB

/// One line of the audit log: who did what to what, and what was said only where its owner wants that.
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
  /// What was asked and answered, a line of JSON; nil unless the server keeps that.
  var content: [UInt8]?

  /// About how many bytes it takes while it waits to be written.
  var weight: Int { 256 + (content?.count ?? 0) }
}

/// What `hearth audit verify` found.
public struct AuditVerdict: Sendable, Encodable, Equatable {
  /// Entries that there are.
  public let entries: Int
  /// The hash of the last one: kept elsewhere, it tells later whether the log's end was cut off.
  public let head: String
  /// The first entry that is not what was written, or follows one that is missing; nil when all are.
  public let broken_at: Int?
  /// Entries whose contents are there, those whose contents were removed by `hearth audit forget`, and those whose contents are
  /// encrypted with another key than was given.
  public var contents = 0, contents_removed = 0, contents_unchecked = 0
  /// The first entry whose contents are not what was written, are missing although nobody removed them, or were put in.
  public var contents_broken_at: Int?

  /// Whether all is what was written, as far as that could be looked at.
  public var isWhole: Bool { broken_at == nil && contents_broken_at == nil }
}

extension Storage {
  private static let origin = Data(repeating: 0, count: 32)

  /// The hash of an entry covers all of it and the hash of the one before, so that nothing can be changed, taken out or put in
  /// between without all that follows being wrong.
  ///
  /// - Parameter content: The hash of its content; entries that have none are hashed as they were before there were contents.
  private static func hash(_ number: Int, _ entry: AuditEntry, _ content: Data?, after previous: Data) -> Data {
    var fields: [JSON] = [
      .integer(number), .string(String(entry.time.bitPattern)), .string(entry.actor), .string(entry.action),
      .string(entry.object), .string(entry.outcome),
    ]
    if let content { fields.append(.string(content.hexadecimal)) }
    return Data(SHA256.hash(data: previous + Data(JSON.array(fields).bytes)))
  }

  /// Appends entries, inside of a transaction.
  ///
  /// - Parameter keep: Keeps what an entry's hash vouches for; nil where entries have no contents.
  static func append(
    _ entries: [AuditEntry], _ database: Database, keep: ((AuditContent) throws -> Void)? = nil
  ) throws {
    let last = try Row.fetchOne(database, sql: "SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1")
    var (number, previous): (Int, Data) = (last?["number"] ?? 0, last?["hash"] ?? origin)
    for entry in entries {
      number += 1
      let content = keep == nil ? nil : entry.content.map { AuditContent($0, number: number) }
      previous = hash(number, entry, content?.hash, after: previous)
      try database.execute(
        sql: """
          INSERT INTO audit (number, time, actor, action, object, outcome, hash, content_hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
          """,
        arguments: [
          number, entry.time, entry.actor, entry.action, entry.object, entry.outcome, previous, content?.hash,
        ])
      if let content { try keep?(content) }
    }
  }

  /// Recomputes the whole chain, and looks at the contents that are there.
  ///
  /// - Parameter key: What contents are encrypted with; those of other keys are counted and not looked at.
  public func verifyAudit(_ key: StorageKey? = nil) throws(ServerError) -> AuditVerdict {
    let cipher = key.map { ContentCipher($0) }
    return try look { database in
      var (count, previous) = (0, Storage.origin)
      var contents = try AuditContentCheck(database)
      let rows = try Row.fetchCursor(
        database,
        sql: "SELECT audit.*, key_id, content FROM audit LEFT JOIN audit_content USING (number) ORDER BY number")
      while let row = try rows.next() {
        let entry = AuditEntry(
          time: row["time"], actor: row["actor"], action: row["action"], object: row["object"], outcome: row["outcome"])
        let expected = Storage.hash(count + 1, entry, row["content_hash"], after: previous)
        guard row["number"] == count + 1, row["hash"] == expected else {
          return contents.verdict(entries: count, head: previous.hexadecimal, brokenAt: count + 1)
        }
        (count, previous) = (count + 1, expected)
        contents.look(at: row, cipher)
      }
      return contents.verdict(entries: count, head: previous.hexadecimal, brokenAt: nil)
    }
  }

  /// Lines of the log, the latest last.
  ///
  /// - Parameters:
  ///   - contents: Whether what was asked and answered is shown under each entry that has it.
  ///   - key: What contents are encrypted with.
  /// - Throws: `ServerError` also when contents are wanted that the key does not open.
  public func auditLines(
    last count: Int, contents: Bool = false, _ key: StorageKey? = nil
  ) throws(ServerError) -> [String] {
    let cipher = key.map { ContentCipher($0) }
    return try look { database in
      try Row.fetchAll(
        database,
        sql: """
          SELECT audit.*, key_id, content FROM audit LEFT JOIN audit_content USING (number)
          WHERE number > (SELECT COALESCE(MAX(number), 0) FROM audit) - ? ORDER BY number
          """, arguments: [count]
      ).flatMap { row -> [String] in
        let date = Date(timeIntervalSince1970: row["time"]).ISO8601Format()
        let line =
          "\(row["number"] as Int)  \(date)  \(row["actor"] as String)  \(row["action"] as String)  \(row["object"] as String)  \(row["outcome"] as String)"
        guard contents, row["content_hash"] != nil else { return [line.withoutControls] }
        let content = try AuditContent.text(of: row, cipher) ?? "what was said is removed"
        return [line.withoutControls, "    " + content.withoutControls]
      }
    }
  }
}

extension String {
  /// The text with what would steer a terminal, or turn the line around, spelled out as JSON spells it.
  var withoutControls: String {
    var text = ""
    for scalar in unicodeScalars {
      switch scalar.value {
      case ..<0x20, 0x7F..<0xA0, 0x2028...0x202E, 0x2066...0x2069:
        let digits = String(scalar.value, radix: 16)
        text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: text.unicodeScalars.append(scalar)
      }
    }
    return text
  }
}
