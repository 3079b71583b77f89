internal import Chat
internal import Foundation
internal import GRDB

/// What somebody thought of one answer of a stored conversation.
struct FeedbackRecord: Sendable, Equatable {
  enum Rating: String, Sendable, CaseIterable { case up, down }

  let id: String
  /// The key whose conversation it is.
  let owner: String
  /// The id of the conversation, and which of its answers is meant.
  let conversation: String
  let choice: Int
  let created: Int
  let rating: Rating
  /// Why.
  let comment: String?
  /// What should have been answered.
  let correction: String?

  fileprivate var content: JSON {
    ["rating": .string(rating.rawValue), "comment": .optional(comment), "correction": .optional(correction)]
  }
  fileprivate var place: [String] { ["feedback", id, owner, conversation, String(choice), String(created)] }
}

extension Storage {
  /// Keeps what was thought of an answer, in the place of what was thought of it before.
  func put(_ feedback: FeedbackRecord) async throws {
    try await write { [self] database in
      let (keyID, content) = try sealed(feedback.content, feedback.place, database)
      try database.execute(
        sql: "DELETE FROM feedback WHERE conversation = ? AND choice = ?",
        arguments: [feedback.conversation, feedback.choice])
      try database.execute(
        sql: """
          INSERT INTO feedback (id, owner, conversation, choice, created, key_id, content) VALUES (?, ?, ?, ?, ?, ?, ?)
          """,
        arguments: [
          feedback.id, feedback.owner, feedback.conversation, feedback.choice, feedback.created, keyID, content,
        ])
    }
  }

  /// Feedback of a key, the eldest first, after the one that is known already, and whether there is more.
  ///
  /// - Parameter owner: nil for everybody's.
  func feedback(
    of owner: String?, after: String? = nil, limit: Int
  ) async throws -> (found: [FeedbackRecord], hasMore: Bool) {
    try await queue.read { [self] database in
      let place = try after.map {
        try Int.fetchOne(
          database, sql: "SELECT number FROM feedback WHERE id = ?1 AND (?2 IS NULL OR owner = ?2)",
          arguments: [$0, owner])
          ?? -1
      }
      if place == -1 { throw APIError.invalid("after", "after: there is no feedback of this id") }
      let rows = try Row.fetchAll(
        database,
        sql: """
          SELECT * FROM feedback WHERE (?1 IS NULL OR owner = ?1) AND (?2 IS NULL OR number > ?2) ORDER BY number LIMIT ?3
          """, arguments: [owner, place, limit + 1])
      return (try rows.prefix(limit).map(feedback), rows.count > limit)
    }
  }

  /// Feedback of a key; nil when there is none of this id, or it is another's.
  func feedback(_ id: String, of owner: String) async throws -> FeedbackRecord? {
    try await queue.read { [self] database in
      try Row.fetchOne(database, sql: "SELECT * FROM feedback WHERE id = ? AND owner = ?", arguments: [id, owner])
        .map(feedback)
    }
  }

  /// - Returns: Whether there was some.
  func removeFeedback(_ id: String, of owner: String) async throws -> Bool {
    try await write { database in
      try database.execute(sql: "DELETE FROM feedback WHERE id = ? AND owner = ?", arguments: [id, owner])
      return database.changesCount > 0
    }
  }

  static func place(ofFeedback row: Row) -> [String] {
    [
      "feedback", row["id"], row["owner"], row["conversation"], String(row["choice"] as Int),
      String(row["created"] as Int),
    ]
  }

  private func feedback(_ row: Row) throws -> FeedbackRecord {
    let content = try content(row, Storage.place(ofFeedback: row))
    guard let rating = content["rating"]?.text.flatMap(FeedbackRecord.Rating.init) else {
      throw ServerError("\(row["id"] as String): is not what was written")
    }
    return FeedbackRecord(
      id: row["id"], owner: row["owner"], conversation: row["conversation"], choice: row["choice"],
      created: row["created"],
      rating: rating, comment: content["comment"]?.text, correction: content["correction"]?.text)
  }
}
