internal import Chat
internal import Crypto
internal import Foundation
internal import GRDB

/// What was asked and answered, as an entry of the audit log vouches for it.
///
/// The entry holds a hash of the content, and the chain holds that; the content lies in a table of its own. So it can be encrypted
/// anew, or removed, and the chain stays what it is. The hash covers 256 random bits beside the text, which lie with the text and go
/// with it: who has the hash of a content that is gone cannot try out what it was.
struct AuditContent {
  private static let saltByteCount = 32

  let number: Int
  /// The random bits, then the text.
  let bytes: Data

  init(_ text: [UInt8], number: Int) {
    self.number = number
    bytes = SymmetricKey(size: .bits256).withUnsafeBytes { Data($0) } + Data(text)
  }

  var hash: Data { Data(SHA256.hash(data: bytes)) }
  var place: [String] { AuditContent.place(number, hash) }

  private static func place(_ number: Int, _ hash: Data) -> [String] {
    ["audit content", String(number), hash.hexadecimal]
  }

  /// Where the content of an entry belongs.
  static func place(of row: Row) -> [String] { place(row["number"], row["content_hash"] ?? Data()) }

  /// The text of an entry's content.
  ///
  /// - Parameter row: The entry with `key_id` and `content`.
  /// - Returns: nil when the content is not there.
  /// - Throws: `ServerError` when the cipher is not the right one, or the content is not what was written.
  static func text(of row: Row, _ cipher: ContentCipher?) throws -> String? {
    guard let content: Data = row["content"] else { return nil }
    let keyID: String? = row["key_id"]
    if let keyID, keyID != cipher?.keyID {
      throw ServerError(
        "what was said is encrypted with the key \(keyID): give it with --encryption-key FILE, or in $\(StorageKey.variable)"
      )
    }
    let bytes = try keyID == nil ? content : cipher?.open(content, place(of: row)) ?? Data()
    guard Data(SHA256.hash(data: bytes)) == row["content_hash"] else {
      throw ServerError("the content of entry \(row["number"] as Int) is not what was written: see hearth audit verify")
    }
    return String(decoding: bytes.dropFirst(saltByteCount), as: UTF8.self)
  }
}

/// Looks at the contents of one entry after the other.
struct AuditContentCheck {
  /// What was removed on purpose, as entries of the log say it.
  private struct Removal {
    let number: Int
    /// Whose; nil for everybody's.
    let actor: String?
    let upTo: Int
  }

  private let removals: [Removal]
  private let firstStray: Int?
  private var contents = 0
  private var removed = 0
  private var unchecked = 0
  private var brokenAt: Int?

  init(_ database: Database) throws {
    removals = try Row.fetchAll(
      database, sql: "SELECT number, object FROM audit WHERE actor = ? AND action = ?",
      arguments: [AuditForgetting.actor, AuditForgetting.action]
    ).compactMap { row in
      AuditForgetting.read(row["object"]).map { Removal(number: row["number"], actor: $0.actor, upTo: $0.upTo) }
    }
    firstStray = try Int.fetchOne(
      database,
      sql: """
        SELECT MIN(number) FROM audit_content
        WHERE number NOT IN (SELECT number FROM audit WHERE content_hash IS NOT NULL)
        """)
  }

  /// - Parameter row: The entry, which the chain vouches for, with `key_id` and `content`.
  mutating func look(at row: Row, _ cipher: ContentCipher?) {
    guard row["content_hash"] != nil else { return }
    let (number, actor): (Int, String) = (row["number"], row["actor"])
    guard row["content"] != nil else {
      let isMeant = removals.contains { removal in
        removal.number > number && removal.upTo >= number && (removal.actor ?? actor) == actor
      }
      if isMeant { removed += 1 } else { brokenAt = brokenAt ?? number }
      return
    }
    contents += 1
    if let keyID: String = row["key_id"], keyID != cipher?.keyID {
      unchecked += 1
    } else if (try? AuditContent.text(of: row, cipher)) == nil {
      brokenAt = brokenAt ?? number
    }
  }

  func verdict(entries: Int, head: String, brokenAt place: Int?) -> AuditVerdict {
    var verdict = AuditVerdict(entries: entries, head: head, broken_at: place)
    (verdict.contents, verdict.contents_removed, verdict.contents_unchecked) = (contents, removed, unchecked)
    verdict.contents_broken_at = [brokenAt, firstStray].compactMap { $0 }.min()
    return verdict
  }
}

/// The entry that says which contents were removed.
enum AuditForgetting {
  static let actor = "command line"
  static let action = "audit.forget"
  private static let middle = " up to "

  /// - Parameter actor: nil for everybody's.
  static func object(_ actor: String?, upTo number: Int) -> String { (actor ?? "all") + middle + String(number) }

  static func read(_ object: String) -> (actor: String?, upTo: Int)? {
    guard let place = object.range(of: middle, options: .backwards), let number = Int(object[place.upperBound...])
    else { return nil }
    let actor = String(object[..<place.lowerBound])
    return (actor == "all" ? nil : actor, number)
  }
}

extension Storage {
  /// Keeps what an entry of the audit log vouches for, inside of a transaction.
  func keep(_ content: AuditContent, _ database: Database) throws {
    let (keyID, sealed) = try sealed(content.bytes, content.place, database)
    try database.execute(
      sql: "INSERT INTO audit_content (number, key_id, content) VALUES (?, ?, ?)",
      arguments: [content.number, keyID, sealed])
  }

  /// Removes contents from the audit log; their entries stay, and their hashes.
  ///
  /// - Parameters:
  ///   - actor: Whose requests are meant, as the log has it; nil for everybody's.
  ///   - days: Only those that are older; nil for all.
  /// - Returns: How many there were.
  public func forgetAudit(of actor: String?, days: Int?) throws(ServerError) -> Int {
    try change { database in
      let arguments: StatementArguments = [actor, days.map { Date().timeIntervalSince1970 - Double($0) * 86_400 }]
      let meant = "(SELECT number FROM audit WHERE (?1 IS NULL OR actor = ?1) AND (?2 IS NULL OR time < ?2))"
      let last = try Int.fetchOne(
        database, sql: "SELECT MAX(number) FROM audit_content WHERE number IN " + meant, arguments: arguments)
      try database.execute(sql: "DELETE FROM audit_content WHERE number IN " + meant, arguments: arguments)
      let count = database.changesCount
      try Storage.append(
        [
          AuditEntry(
            actor: AuditForgetting.actor, action: AuditForgetting.action,
            object: AuditForgetting.object(actor, upTo: last ?? 0), outcome: "\(count) contents removed")
        ], database)
      return count
    }
  }

  /// Whose contents a name stands for: a key's name or id, also of one that is revoked, or a subject's as the audit log has it.
  ///
  /// - Throws: `ServerError` when the log holds no contents of anybody of this name, or of several.
  public func auditActor(_ name: String) throws(ServerError) -> String {
    let actors = try look { database in
      try String.fetchAll(
        database,
        sql: "SELECT DISTINCT actor FROM audit JOIN audit_content USING (number) WHERE " + Storage.isNamed("actor"),
        arguments: [name])
    }
    guard actors.count < 2 else {
      throw ServerError("\(name): several go by this name: expected one of \(actors.joined(separator: ", "))")
    }
    guard let actor = actors.first else { throw ServerError("\(name): the audit log holds no contents of this key") }
    return actor
  }
}
