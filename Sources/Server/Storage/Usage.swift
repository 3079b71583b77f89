internal import Foundation
internal import GRDB

/// What a key used of a model in a day.
struct UsageCount: Sendable {
  var requests = 0
  var promptTokens = 0
  var completionTokens = 0
  var tokens: Int { promptTokens + completionTokens }
}

extension Storage {
  /// Adds what was used, and what was done, in one transaction.
  func record(_ usage: [UsageKey: UsageCount], _ entries: [AuditEntry]) throws(ServerError) {
    guard !usage.isEmpty || !entries.isEmpty else { return }
    try change { database in
      for (key, count) in usage {
        try database.execute(
          sql: """
            INSERT INTO usage (key, day, model, requests, prompt_tokens, completion_tokens) VALUES (?, ?, ?, ?, ?, ?)
            ON CONFLICT (key, day, model) DO UPDATE SET requests = requests + excluded.requests,
              prompt_tokens = prompt_tokens + excluded.prompt_tokens,
              completion_tokens = completion_tokens + excluded.completion_tokens
            """,
          arguments: [key.key, key.day, key.model, count.requests, count.promptTokens, count.completionTokens])
      }
      try Storage.append(entries, database) { try self.keep($0, database) }
    }
  }

  /// Tokens of a key in a day, all models together.
  func tokens(of key: String, day: String) throws(ServerError) -> Int {
    try look {
      try Int.fetchOne(
        $0, sql: "SELECT SUM(prompt_tokens + completion_tokens) FROM usage WHERE key = ? AND day = ?",
        arguments: [key, day])
        ?? 0
    }
  }
}

/// Whose use of what is counted.
struct UsageKey: Hashable, Sendable {
  let key: String
  /// `2026-01-31`, UTC.
  let day: String
  let model: String

  static func day(_ date: Date = Date()) -> String { String(date.ISO8601Format().prefix(10)) }
}
