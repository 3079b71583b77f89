internal import Crypto
internal import Foundation
internal import GRDB

/// A key as its owner sees it, without its secret.
public struct KeyRecord: Sendable, Encodable, Equatable {
  /// Names the key in logs and when it is revoked.
  public let id: String
  /// What its owner called it.
  public let name: String
  /// What it may be used for.
  public let scopes: [String]
  /// Requests that it may make in a minute; nil is any number.
  public let requests_per_minute: Int?
  /// Tokens that it may read and write in a day (UTC); nil is any number.
  public let tokens_per_day: Int?
  /// Models that it may be used with, beside those that its own jobs make; nil is any.
  public let models: [String]?
  /// Seconds since 1970.
  public let created: Double
  /// When it ceased to be valid; nil while it is.
  public let revoked: Double?
}

extension Storage {
  /// Makes a key.
  ///
  /// - Returns: The record, and the secret, which is shown this once: only its SHA-256 is kept. It has 256 random bits, so that
  ///   hash needs neither salt nor stretching.
  /// - Throws: `ServerError` when a scope is unknown, the name is taken, or models are named by no names.
  public func createKey(
    name: String, scopes: [String], requestsPerMinute: Int? = nil, tokensPerDay: Int? = nil, models: [String]? = nil
  ) throws(ServerError) -> (record: KeyRecord, secret: String) {
    for scope in scopes where Scope(rawValue: scope) == nil {
      throw ServerError("\(scope): is no scope: expected \(Scope.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    guard !scopes.isEmpty else { throw ServerError("a key needs at least one scope") }
    guard !name.isEmpty, name.utf8.count <= 100, name.allSatisfy({ !$0.isNewline }) else {
      throw ServerError("\"\(name)\": is no name for a key: expected 1 to 100 bytes on one line")
    }
    if let models { try ModelNames.require(models) }
    let secret = "hearth_" + SymmetricKey(size: .bits256).withUnsafeBytes { Data($0) }.hexadecimal
    let record = KeyRecord(
      id: Identifier.make("key"), name: name, scopes: scopes, requests_per_minute: requestsPerMinute,
      tokens_per_day: tokensPerDay, models: models, created: Date().timeIntervalSince1970, revoked: nil)
    try change { database in
      guard
        try Row.fetchOne(database, sql: "SELECT 1 FROM key WHERE name = ? AND revoked IS NULL", arguments: [name])
          == nil
      else { throw ServerError("\(name): there is a key of this name: revoke it first, or choose another") }
      try database.execute(
        sql: """
          INSERT INTO key (id, name, hash, scopes, requests_per_minute, tokens_per_day, models, created)
          VALUES (?, ?, ?, ?, ?, ?, ?, ?)
          """,
        arguments: [
          record.id, name, Storage.hash(of: secret), scopes.joined(separator: ","), requestsPerMinute, tokensPerDay,
          models?.joined(separator: ","), record.created,
        ])
      try Storage.append(
        [
          AuditEntry(
            actor: "command line", action: "key.create", object: record.id + " " + name,
            outcome: scopes.joined(separator: ",") + (models.map { "; models " + $0.joined(separator: ",") } ?? ""))
        ],
        database)
    }
    return (record, secret)
  }

  /// Every key, the eldest first.
  public func keys() throws(ServerError) -> [KeyRecord] {
    try look { database in
      try Row.fetchAll(database, sql: "SELECT * FROM key ORDER BY created, id").map(Storage.record)
    }
  }

  /// Ends a key, by its id or name; it is refused from the next request on.
  ///
  /// - Throws: `ServerError` when there is no such key.
  public func revokeKey(_ key: String) throws(ServerError) -> KeyRecord {
    try change { database in
      let row = try Row.fetchOne(
        database, sql: "SELECT * FROM key WHERE (id = ?1 OR name = ?1) AND revoked IS NULL", arguments: [key])
      guard let row else { throw ServerError("\(key): there is no valid key of this name or id: see hearth key list") }
      let record = Storage.record(row)
      try database.execute(
        sql: "UPDATE key SET revoked = ? WHERE id = ?", arguments: [Date().timeIntervalSince1970, record.id])
      try Storage.append(
        [
          AuditEntry(
            actor: "command line", action: "key.revoke", object: record.id + " " + record.name, outcome: "done")
        ], database)
      return record
    }
  }

  /// The valid key of a secret.
  ///
  /// Found by its hash, so that how long it takes says nothing about how much of a secret is right.
  func key(secret: String) async throws -> KeyRecord? {
    let hash = Storage.hash(of: secret)
    return try await queue.read { database in
      try Row.fetchOne(database, sql: "SELECT * FROM key WHERE hash = ? AND revoked IS NULL", arguments: [hash])
        .map(Storage.record)
    }
  }

  /// Whether there is any valid key.
  func hasKeys() throws(ServerError) -> Bool {
    try look { try Row.fetchOne($0, sql: "SELECT 1 FROM key WHERE revoked IS NULL LIMIT 1") != nil }
  }

  private static func hash(of secret: String) -> Data { Data(SHA256.hash(data: Data(secret.utf8))) }

  private static func record(_ row: Row) -> KeyRecord {
    KeyRecord(
      id: row["id"], name: row["name"], scopes: (row["scopes"] as String).split(separator: ",").map(String.init),
      requests_per_minute: row["requests_per_minute"], tokens_per_day: row["tokens_per_day"],
      models: (row["models"] as String?)?.split(separator: ",").map(String.init), created: row["created"],
      revoked: row["revoked"])
  }

  func change<Value>(_ body: (Database) throws -> Value) throws(ServerError) -> Value {
    do { return try queue.write(body) } catch let error as ServerError { throw error } catch {
      throw FullDisk(error, at: path).map { ServerError(path, $0) } ?? ServerError("\(path): \(error)")
    }
  }

  func look<Value>(_ body: (Database) throws -> Value) throws(ServerError) -> Value {
    do { return try queue.read(body) } catch { throw ServerError("\(path): \(error)") }
  }
}

/// Names of models in a list with commas.
enum ModelNames {
  /// - Throws: `ServerError` when there are none, or one of them is none.
  static func require(_ names: [String]) throws(ServerError) {
    guard !names.isEmpty else { throw ServerError("--models: expected at least one name") }
    for name in names {
      let isName = (1...1000).contains(name.utf8.count) && !name.contains { $0 == "," || $0.isNewline }
      guard isName else { throw ServerError("\"\(name)\": is no name of a model: expected some text without commas") }
    }
  }
}

extension Data {
  /// Two digits a byte.
  var hexadecimal: String { map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() }
}
