internal import Chat
internal import Foundation
internal import GRDB
internal import Synchronization

/// How contents (of stored conversations, of the audit log) lie in the file: as they are, or encrypted with one key, which the file knows by
/// its id and by a proof. Rows of the other kind are refused, so that nobody who can write the file can put plain ones in.
extension Storage {
  private static let proof = Data("hearth".utf8)
  private static let proofPlace = ["encryption", "proof"]

  /// Makes ready to read and write contents.
  ///
  /// - Parameter key: What they are encrypted with; nil when they are not.
  /// - Throws: `ServerError` when that is not how they are.
  public func unlock(_ key: StorageKey?) throws(ServerError) {
    let cipher = key.map { ContentCipher($0) }
    try change { database in
      if let cipher, try Storage.keyID(database) == nil, try !Storage.hasContents(database) {
        try Storage.begin(cipher, database)
      }
      try Storage.require(cipher, database, path)
    }
    self.cipher.withLock { $0 = cipher }
  }

  /// Encrypts all contents with another key, or with the first one, or not any more: all of it or nothing.
  ///
  /// - Returns: How many rows were written anew.
  /// - Throws: `ServerError` when `old` is not the key; nothing has changed then.
  public func rotate(from old: StorageKey?, to new: StorageKey?) throws(ServerError) -> Int {
    let (old, new) = (old.map { ContentCipher($0) }, new.map { ContentCipher($0) })
    let count = try change { database in
      try Storage.require(old, database, path)
      var count = 0
      for row in try Row.fetchAll(database, sql: "SELECT number FROM conversation") {
        let number: Int = row["number"]
        guard
          let found = try Row.fetchOne(
            database, sql: "SELECT * FROM conversation WHERE number = ?", arguments: [number])
        else { continue }
        let place = Storage.place(ofConversation: found)
        let content = try Storage.seal(Storage.open(found, place, old), place, new)
        try database.execute(
          sql: "UPDATE conversation SET key_id = ?, content = ? WHERE number = ?",
          arguments: [new?.keyID, content, number])
        count += 1
      }
      for row in try Row.fetchAll(database, sql: "SELECT * FROM feedback") {
        let place = Storage.place(ofFeedback: row)
        let content = try Storage.seal(Storage.open(row, place, old), place, new)
        try database.execute(
          sql: "UPDATE feedback SET key_id = ?, content = ? WHERE id = ?",
          arguments: [new?.keyID, content, row["id"] as String])
        count += 1
      }
      count += try Storage.rotateAudit(old, new, database)
      try database.execute(sql: "DELETE FROM encryption")
      if let new { try Storage.begin(new, database) }
      try Storage.append(
        [
          AuditEntry(
            actor: "command line", action: "conversations.rotate", object: new?.keyID ?? "plain",
            outcome: "\(count) rows")
        ], database)
      return count
    }
    cipher.withLock { $0 = new }
    return count
  }

  /// The same of what the audit log holds, whose hashes are of what was said and not of how it is encrypted.
  private static func rotateAudit(_ old: ContentCipher?, _ new: ContentCipher?, _ database: Database) throws -> Int {
    let numbers = try Int.fetchAll(database, sql: "SELECT number FROM audit_content")
    for number in numbers {
      guard
        let row = try Row.fetchOne(
          database,
          sql:
            "SELECT number, content_hash, key_id, content FROM audit JOIN audit_content USING (number) WHERE number = ?",
          arguments: [number])
      else { throw ServerError("audit content \(number): belongs to no entry: see hearth audit verify") }
      let place = AuditContent.place(of: row)
      try database.execute(
        sql: "UPDATE audit_content SET key_id = ?, content = ? WHERE number = ?",
        arguments: [new?.keyID, try Storage.seal(Storage.open(row, place, old), place, new), number])
    }
    return numbers.count
  }

  private static func begin(_ cipher: ContentCipher, _ database: Database) throws {
    try database.execute(
      sql: "INSERT INTO encryption (id, key_id, proof) VALUES (1, ?, ?)",
      arguments: [cipher.keyID, try cipher.seal(proof, proofPlace)])
  }

  private static func keyID(_ database: Database) throws -> String? {
    try String.fetchOne(database, sql: "SELECT key_id FROM encryption")
  }

  private static func hasContents(_ database: Database) throws -> Bool {
    try Bool.fetchOne(
      database, sql: "SELECT EXISTS (SELECT 1 FROM conversation) OR EXISTS (SELECT 1 FROM audit_content)") ?? true
  }

  private static func require(_ cipher: ContentCipher?, _ database: Database, _ path: String) throws {
    let found = try Row.fetchOne(database, sql: "SELECT key_id, proof FROM encryption")
    switch (found, cipher) {
    case (nil, nil): break
    case (nil, .some):
      throw ServerError(
        "\(path): what was said is not encrypted yet: encrypt it first, with hearth conversations rotate --new-key FILE"
      )
    case (.some(let row), nil):
      throw ServerError(
        "\(path): what was said is encrypted with the key \(row["key_id"] as String): give it with --encryption-key FILE, "
          + "or in $\(StorageKey.variable)")
    case (.some(let row), let cipher?):
      let expected: String = row["key_id"]
      guard expected == cipher.keyID else {
        throw ServerError(
          "\(path): what was said is encrypted with the key \(expected), and the one given is \(cipher.keyID): give the "
            + "right one, or change keys with hearth conversations rotate")
      }
      guard try cipher.open(row["proof"], proofPlace) == proof else {
        throw ServerError("\(path): its note of the key is not what was written: restore the file from a backup")
      }
    }
  }

  /// What is written of a content now, inside of a transaction.
  ///
  /// - Throws: `ServerError` when the file has come to another key since it was opened.
  func sealed(_ content: JSON, _ place: [String], _ database: Database) throws -> (keyID: String?, content: Data) {
    try sealed(Data(content.bytes), place, database)
  }

  func sealed(_ content: Data, _ place: [String], _ database: Database) throws -> (keyID: String?, content: Data) {
    let cipher = cipher.withLock { $0 }
    guard try Storage.keyID(database) == cipher?.keyID else {
      throw ServerError(
        "\(path): its contents have another key since the server began: start it anew with that key")
    }
    return (cipher?.keyID, try Storage.seal(content, place, cipher))
  }

  /// The content of a row.
  func content(_ row: Row, _ place: [String]) throws -> JSON {
    let bytes = try Storage.open(row, place, cipher.withLock { $0 })
    guard let content = try? JSON(parsing: Array(bytes)) else {
      throw ServerError("\(place.prefix(2).joined(separator: " ")): is not what was written")
    }
    return content
  }

  private static func seal(_ content: Data, _ place: [String], _ cipher: ContentCipher?) throws -> Data {
    try cipher?.seal(content, place) ?? content
  }

  private static func open(_ row: Row, _ place: [String], _ cipher: ContentCipher?) throws -> Data {
    let keyID: String? = row["key_id"]
    guard keyID == cipher?.keyID else {
      throw ServerError(
        "\(place.prefix(2).joined(separator: " ")): is encrypted with \(keyID.map { "the key \($0)" } ?? "no key"), expected "
          + (cipher.map { "the key \($0.keyID)" } ?? "no key"))
    }
    return try cipher?.open(row["content"], place) ?? row["content"]
  }
}
