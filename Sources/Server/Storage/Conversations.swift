internal import Chat
internal import Foundation
internal import GRDB

/// A conversation that was kept because whoever had it asked for that: what was said, and what was answered.
struct StoredConversation: Sendable, Equatable {
  /// That of the answer, `chatcmpl-…`.
  let id: String
  /// The key that asked; nobody else sees it.
  let owner: String
  let model: String
  let created: Int
  /// The messages up to the answer, as they were sent.
  let messages: [JSON]
  /// The answer as it was given, `chat.completion`.
  let completion: JSON
  /// Pairs of words that its owner chose.
  var metadata: JSON

  fileprivate var content: JSON { ["messages": .array(messages), "completion": completion, "metadata": metadata] }
  fileprivate var place: [String] { ["conversation", id, owner, model, String(created)] }
}

/// Which stored conversations are wanted.
struct ConversationQuery: Sendable {
  var owner: String?
  var model: String?
  /// Pairs that the metadata must have.
  var metadata: [JSONElement.Member] = []
  /// The id of the last one that is known already.
  var after: String?
  var isAscending = true
  var limit = 20
}

extension Storage {
  /// Keeps a conversation.
  ///
  /// - Parameter most: Bytes that one owner may have.
  /// - Throws: `APIError` when there is no room, `ServerError`.
  func add(_ conversation: StoredConversation, most: Int) async throws {
    try await write { [self] database in
      let (keyID, content) = try sealed(conversation.content, conversation.place, database)
      guard try Storage.bytes(of: conversation.owner, database) + content.count <= most else {
        throw Storage.full(most)
      }
      try database.execute(
        sql: "INSERT INTO conversation (id, owner, model, created, key_id, content) VALUES (?, ?, ?, ?, ?, ?)",
        arguments: [
          conversation.id, conversation.owner, conversation.model, conversation.created, keyID, content,
        ])
    }
  }

  /// Says before an answer is computed that there is no room to keep it.
  func requireRoom(_ owner: String, most: Int) async throws {
    let used = try await queue.read { try Storage.bytes(of: owner, $0) }
    guard used < most else { throw Storage.full(most) }
  }

  private static func full(_ most: Int) -> APIError {
    APIError(
      .quotaExceeded, "this key's stored conversations fill the \(most >> 20) MB that there are for it: delete some",
      code: "storage_full")
  }

  private static func bytes(of owner: String, _ database: Database) throws -> Int {
    try Int.fetchOne(
      database, sql: "SELECT COALESCE(SUM(LENGTH(content)), 0) FROM conversation WHERE owner = ?", arguments: [owner])
      ?? 0
  }

  /// A conversation of a key; nil when there is none of this id, or it is another's.
  func conversation(_ id: String, of owner: String) async throws -> StoredConversation? {
    try await queue.read { [self] database in try conversation(id, of: owner, database) }
  }

  func conversation(_ id: String, of owner: String, _ database: Database) throws -> StoredConversation? {
    try Row.fetchOne(
      database, sql: "SELECT * FROM conversation WHERE id = ? AND owner = ?", arguments: [id, owner]
    ).map(conversation)
  }

  /// The conversations that are wanted, and whether there are more.
  func conversations(_ query: ConversationQuery) async throws -> (found: [StoredConversation], hasMore: Bool) {
    try await queue.read { [self] database in
      let place = try query.after.map {
        try Int.fetchOne(
          database, sql: "SELECT number FROM conversation WHERE id = ?1 AND (?2 IS NULL OR owner = ?2)",
          arguments: [$0, query.owner]) ?? -1
      }
      if place == -1 { throw APIError.invalid("after", "after: there is no stored conversation of this id") }
      let (sign, order) = query.isAscending ? (">", "ASC") : ("<", "DESC")
      let rows = try Row.fetchCursor(
        database,
        sql: """
          SELECT * FROM conversation WHERE (?1 IS NULL OR owner = ?1) AND (?2 IS NULL OR model = ?2)
            AND (?3 IS NULL OR number \(sign) ?3) ORDER BY number \(order)
          """, arguments: [query.owner, query.model, place])
      var found: [StoredConversation] = []
      while let row = try rows.next() {
        let conversation = try conversation(row)
        guard query.metadata.allSatisfy({ conversation.metadata[$0.key] == $0.value }) else { continue }
        if found.count == query.limit { return (found, true) }
        found.append(conversation)
      }
      return (found, false)
    }
  }

  /// Puts other metadata in the place of a conversation's.
  ///
  /// - Returns: What it is now; nil when there is no such conversation.
  func setMetadata(_ metadata: JSON, of id: String, owner: String) async throws -> StoredConversation? {
    try await write { [self] database in
      guard var conversation = try conversation(id, of: owner, database) else { return nil }
      conversation.metadata = metadata
      let (_, content) = try sealed(conversation.content, conversation.place, database)
      try database.execute(sql: "UPDATE conversation SET content = ? WHERE id = ?", arguments: [content, id])
      return conversation
    }
  }

  /// Deletes a conversation with what was thought of it.
  ///
  /// - Returns: Whether there was one.
  func removeConversation(_ id: String, of owner: String) async throws -> Bool {
    try await write { database in
      try database.execute(sql: "DELETE FROM conversation WHERE id = ? AND owner = ?", arguments: [id, owner])
      return database.changesCount > 0
    }
  }

  /// Deletes conversations with their feedback.
  ///
  /// - Parameters:
  ///   - owner: nil for everybody's.
  ///   - days: Only those that are older; nil for all.
  /// - Returns: How many there were.
  public func removeConversations(of owner: String?, days: Int?) throws(ServerError) -> Int {
    try change { database in
      try database.execute(
        sql: "DELETE FROM conversation WHERE (?1 IS NULL OR owner = ?1) AND (?2 IS NULL OR created < ?2)",
        arguments: [owner, days.map { Double(Clock.seconds) - Double($0) * 86_400 }])
      let count = database.changesCount
      try Storage.append(
        [
          AuditEntry(
            actor: "command line", action: "conversations.delete", object: owner ?? "all", outcome: "\(count) deleted")
        ], database)
      return count
    }
  }

  /// Whose conversations a name stands for: a key's name or id, also of one that is revoked, or a subject's as the audit log
  /// has it.
  ///
  /// - Throws: `ServerError` when nobody has stored any under it.
  public func owner(_ name: String) throws(ServerError) -> String {
    let owners = try look { database in
      try String.fetchAll(
        database,
        sql: "SELECT DISTINCT owner FROM conversation WHERE " + Storage.isNamed("owner"), arguments: [name])
    }
    guard owners.count < 2 else {
      throw ServerError(
        "\(name): several have stored conversations under it: expected one of \(owners.joined(separator: ", "))")
    }
    guard let owner = owners.first else { throw ServerError("\(name): has stored no conversations") }
    return owner
  }

  /// The condition that a column is the id of whom the first argument names.
  static func isNamed(_ column: String) -> String {
    """
    (\(column) = ?1 OR \(column) IN (SELECT id FROM key WHERE name = ?1)
      OR substr(\(column), 1, length(?1) + 6) = 'oidc:' || ?1 || ' ')
    """
  }

  static func place(ofConversation row: Row) -> [String] {
    ["conversation", row["id"], row["owner"], row["model"], String(row["created"] as Int)]
  }

  private func conversation(_ row: Row) throws -> StoredConversation {
    let content = try content(row, Storage.place(ofConversation: row))
    return StoredConversation(
      id: row["id"], owner: row["owner"], model: row["model"], created: row["created"],
      messages: content["messages"]?.elements ?? [], completion: content["completion"] ?? .null,
      metadata: content["metadata"] ?? [:])
  }
}
