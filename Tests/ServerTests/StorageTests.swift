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
