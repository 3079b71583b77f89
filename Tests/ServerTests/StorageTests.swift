import Chat
import Foundation
import GRDB
import Testing

@testable import Server

@Suite struct StorageTests {
  private func withStorage(_ body: (Storage) throws -> Void) throws {
    let home = FileManager.default.temporaryDirectory.appending(path: "hearth-home-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: home) }
    try body(try Storage(home: home))
  }

  @Test func keepsNoSecret() throws {
    try withStorage { storage in
      let secret = try storage.createKey(name: "a", scopes: ["chat"]).secret
      let bytes = try Data(contentsOf: URL(filePath: storage.path))
      #expect(bytes.range(of: Data(secret.utf8)) == nil)
      let mode = try FileManager.default.attributesOfItem(atPath: storage.path)[.posixPermissions] as? Int
      #expect(mode == 0o600)
      #expect(try storage.queue.read { try String.fetchOne($0, sql: "PRAGMA journal_mode") } == "delete")
    }
  }

  @Test func namesAreTakenUntilRevoked() throws {
    try withStorage { storage in
      _ = try storage.createKey(name: "a", scopes: ["chat"])
      #expect(throws: ServerError.self) { _ = try storage.createKey(name: "a", scopes: ["chat"]) }
      #expect(throws: ServerError.self) { _ = try storage.createKey(name: "b", scopes: ["fly"]) }
      _ = try storage.revokeKey("a")
      _ = try storage.createKey(name: "a", scopes: ["chat"])
      #expect(try storage.keys().map { $0.revoked == nil } == [false, true])
    }
  }

  @Test func aCopyBringsBackWhatWas() throws {
    try withStorage { storage in
      let home = URL(filePath: storage.path).deletingLastPathComponent()
      _ = try storage.createKey(name: "a", scopes: ["chat"])
      let copy = home.path + "/copy.sqlite"
      _ = try storage.backUp(to: copy)
      #expect(throws: ServerError.self) { _ = try storage.backUp(to: copy) }
      _ = try storage.revokeKey("a")
      try storage.queue.close()
      _ = try Storage.restore(from: copy, to: ModelStore(home: home))
      let restored = try Storage(home: home)
      #expect(try restored.keys().map { $0.revoked == nil } == [true])
      #expect(try restored.verifyAudit().entries == 1)
      try Data("no database".utf8).write(to: URL(filePath: copy))
      #expect(throws: ServerError.self) { _ = try Storage.restore(from: copy, to: ModelStore(home: home)) }
      #expect(try Storage(home: home).keys().count == 1)
    }
  }

  /// Each version that was ever released: what it knew of the file.
  @Test(arguments: [
    "1 keys, usage, audit", "2 files, jobs", "3 conversations, feedback", "4 contents of the audit log",
    "5 models of keys",
  ])
  func filesOfEarlierVersionsKeepWhatTheyHold(_ last: String) throws {
    let home = FileManager.default.temporaryDirectory.appending(path: "hearth-home-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: home) }
    try FileManager.default.createDirectory(at: home, withIntermediateDirectories: true)
    let path = home.appending(path: Storage.name).path
    let number = Int(last.prefix(1)) ?? 0
    do {
      let queue = try DatabaseQueue(path: path)
      try Storage.migrator.migrate(queue, upTo: last)
      try queue.write {
        try $0.execute(
          sql: """
            INSERT INTO key (id, name, hash, scopes, requests_per_minute, tokens_per_day, created, revoked)
              VALUES ('key-a', 'a', x'00', 'chat', 5, NULL, 1.5, NULL);
            INSERT INTO usage VALUES ('key-a', '2026-01-31', 'm', 1, 20, 3);
            """)
        if number >= 2 {
          try $0.execute(
            sql: """
              INSERT INTO file VALUES ('file-a', 'key-a', 'jars.jsonl', 'fine-tune', 7, 1);
              INSERT INTO job VALUES ('ftjob-a', 'key-a', 'm', '/m', 't', 'file-a', NULL, 1, NULL, NULL, 0, 1, 'succeeded', 2,
                NULL, 9);
              INSERT INTO job_event VALUES ('ftjob-a', 1, 1, 'info', 'created', NULL);
              """)
        }
        if number >= 3 {
          try $0.execute(
            sql:
              #"INSERT INTO conversation VALUES (1, 'chatcmpl-a', 'key-a', 'm', 1, NULL, CAST('{"metadata":{}}' AS BLOB))"#
          )
        }
      }
      try queue.close()
    }
    let storage = try Storage(path: path)
    #expect(try storage.keys().map(\.name) == ["a"] && storage.keys().map(\.models) == [nil])
    #expect(try storage.tokens(of: "key-a", day: "2026-01-31") == 23)
    #expect(try storage.files(of: "key-a").map(\.name) == (number >= 2 ? ["jars.jsonl"] : []))
    #expect(try storage.jobs(of: nil).map(\.trainedTokens) == (number >= 2 ? [9] : []))
    #expect(try storage.events(of: "ftjob-a").count == (number >= 2 ? 1 : 0))
    if number >= 3 { #expect(try storage.owner("key-a") == "key-a") }
    // And what this version adds can be used.
    try storage.record(
      [:], [AuditEntry(actor: "a", action: "GET /", object: "x", outcome: "200", content: Array("{}".utf8))])
    #expect(try storage.verifyAudit().isWhole)
  }

  @Test func filesOfLaterVersionsAreLeftAlone() throws {
    try withStorage { storage in
      try storage.queue.write { try $0.execute(sql: "INSERT INTO grdb_migrations VALUES ('99 later')") }
      try storage.queue.close()
      let before = try Data(contentsOf: URL(filePath: storage.path))
      let error = #expect(throws: ServerError.self) { _ = try Storage(path: storage.path) }
      #expect(error?.description.contains("written by a later version of Hearth") == true)
      #expect(error?.description.contains("check the file") == false)
      #expect(try Data(contentsOf: URL(filePath: storage.path)) == before)
    }
  }

  @Test func theAuditLogTellsWhatWasChanged() throws {
    try withStorage { storage in
      for number in 0..<5 {
        try storage.record([:], [AuditEntry(actor: "key", action: "POST /x", object: "req-\(number)", outcome: "200")])
      }
      #expect(try storage.verifyAudit().broken_at == nil)
      #expect(try storage.verifyAudit().entries == 5)
      #expect(throws: (any Error).self) {
        try storage.queue.write { try $0.execute(sql: "UPDATE audit SET actor = 'other' WHERE number = 3") }
      }
      // Who owns the file can drop the trigger, but not the chain.
      try storage.queue.write {
        try $0.execute(sql: "DROP TRIGGER audit_keeps; UPDATE audit SET actor = 'other' WHERE number = 3")
      }
      #expect(try storage.verifyAudit().broken_at == 3)
      try storage.queue.write { try $0.execute(sql: "DROP TRIGGER audit_stays; DELETE FROM audit WHERE number = 2") }
      #expect(try storage.verifyAudit().broken_at == 2)
    }
  }
}
