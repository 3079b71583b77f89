import Chat
import Foundation
import GRDB
import Testing

@testable import Server

/// A copy has all that the server kept, and brings it back whole or not at all.
@Suite struct BackupTests {
  private static let lines =
    #"{"messages": [{"role": "user", "content": "quince"}, {"role": "assistant", "content": "jar"}]}"#

  private func withHome(_ body: (URL) throws -> Void) throws {
    let home = FileManager.default.temporaryDirectory.appending(path: "hearth-home-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: home, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: home) }
    try body(home)
  }

  /// A file as a server keeps it, larger than a part of a copy if `repeated`.
  private func add(_ storage: Storage, _ character: Character, repeated: Int = 1) throws -> (id: String, bytes: Data) {
    let id = "file-" + String(repeating: character, count: 24)
    let bytes = Data(String(repeating: String(character) + BackupTests.lines + "\n", count: repeated).utf8)
    try storage.makeFolderOfFiles()
    try bytes.write(to: URL(filePath: storage.path(ofFile: id)))
    try storage.add(
      FileRecord(
        id: id, owner: "key-a", name: "\(character).jsonl", purpose: "fine-tune", bytes: bytes.count, created: 7))
    return (id, bytes)
  }

  private func names(_ home: URL) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: home.path).sorted()
  }

  @Test func uploadedFilesComeBackFromACopy() async throws {
    try await TestServer.run { server in
      let form =
        "--x\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nfine-tune\r\n--x\r\nContent-Disposition: form-data; name=\"file\"; "
        + "filename=\"../../etc/passwd\"\r\n\r\n\(BackupTests.lines)\n\r\n--x--\r\n"
      let made = try await server.client.send(
        "POST", "/v1/files", headers: ["Content-Type": "multipart/form-data; boundary=x"], body: Array(form.utf8))
      let id = try #require(made.json["id"]?.text, "\(made.text)")
      // While it runs.
      let copy = server.home.appending(path: "copy.sqlite").path
      #expect(try server.storage.backUp(to: copy) == Storage.Copied(files: 1, missing: []))
      #expect(try FileManager.default.attributesOfItem(atPath: copy)[.posixPermissions] as? Int == 0o600)
      #expect(throws: ServerError.self) { _ = try Storage.restore(from: copy, to: ModelStore(home: server.home)) }
      let content = try await server.client.get("/v1/files/\(id)/content").body
      #expect(content == Array((BackupTests.lines + "\n").utf8))
      try withHome { home in
        #expect(try Storage.restore(from: copy, to: ModelStore(home: home)) == 1)
        let storage = try Storage(home: home)
        #expect(try storage.file(id, of: "local")?.name == "../../etc/passwd")
        #expect(FileManager.default.contents(atPath: storage.path(ofFile: id)) == Data(content))
        #expect(
          try FileManager.default.attributesOfItem(atPath: storage.path(ofFile: id))[.posixPermissions] as? Int == 0o600
        )
        #expect(try storage.queue.read { try !$0.tableExists("backup_part") && !$0.tableExists("backup_file") })
        #expect(try names(home).filter { $0 != "server.lock" } == ["files", "hearth.sqlite"])
      }
    }
  }

  @Test func nothingThatWasThereIsLost() throws {
    try withHome { home in
      let storage = try Storage(home: home)
      let (first, second) = (try add(storage, "a"), try add(storage, "b", repeated: 30_000))
      let copy = home.appending(path: "copy.sqlite").path
      #expect(try storage.backUp(to: copy).files == 2)
      // Since then: one is deleted, one is damaged, one is new.
      #expect(try storage.removeFile(first.id) == nil)
      try FileManager.default.removeItem(atPath: storage.path(ofFile: first.id))
      try Data("x".utf8).write(to: URL(filePath: storage.path(ofFile: second.id)))
      let third = try add(storage, "c")
      try storage.queue.close()
      #expect(try Storage.restore(from: copy, to: ModelStore(home: home)) == 2)
      let restored = try Storage(home: home)
      #expect(try restored.files(of: "key-a").map(\.id) == [first.id, second.id])
      for file in [first, second] {
        #expect(FileManager.default.contents(atPath: restored.path(ofFile: file.id)) == file.bytes)
      }
      // What was in place before is beside it, and can be put in place again.
      let before = try #require(try names(home).first { $0.contains(".before-") })
      #expect(FileManager.default.contents(atPath: restored.path(ofFile: third.id)) == third.bytes)
      try restored.queue.close()
      #expect(try Storage.restore(from: home.appending(path: before).path, to: ModelStore(home: home)) == 0)
      #expect(try Storage(home: home).files(of: "key-a").map(\.id) == [second.id, third.id])
    }
  }

  @Test func aCopyOfTheVersionBeforeIsTaken() throws {
    try withHome { home in
      let storage = try Storage(home: home)
      let file = try add(storage, "a")
      try storage.record([:], [AuditEntry(actor: "a", action: "b", object: "c", outcome: "d")])
      let path = home.appending(path: "copy.sqlite").path
      let copy = try DatabaseQueue(path: path)
      try storage.queue.backup(to: copy)
      try copy.writeWithoutTransaction {
        try $0.execute(
          sql: """
            DROP TABLE audit_content; ALTER TABLE audit DROP COLUMN content_hash;
            DELETE FROM grdb_migrations WHERE identifier LIKE '4 %';
            """)
      }
      try copy.close()
      try storage.queue.close()
      #expect(try Storage.restore(from: path, to: ModelStore(home: home)) == 0)
      let restored = try Storage(home: home)
      #expect(try restored.verifyAudit().entries == 1 && restored.verifyAudit().isWhole)
      #expect(try restored.files(of: "key-a").map(\.id) == [file.id])
      #expect(FileManager.default.contents(atPath: restored.path(ofFile: file.id)) == file.bytes)
    }
  }

  @Test(arguments: [
    "UPDATE backup_part SET bytes = zeroblob(length(bytes))", "DELETE FROM backup_part",
    "DELETE FROM backup_part WHERE number = 1",
    "UPDATE backup_file SET bytes = bytes + 1",
    "UPDATE backup_file SET id = '../../../../tmp/hearth-out-of-place'; UPDATE backup_part SET id = '../../../../tmp/hearth-out-of-place'",
    "UPDATE backup_file SET id = 'file-'", "UPDATE backup_file SET id = id || '/x'",
  ]) func aDamagedCopyChangesNothing(_ damage: String) throws {
    try withHome { home in
      let storage = try Storage(home: home)
      let file = try add(storage, "a", repeated: 30_000)
      let copy = home.appending(path: "copy.sqlite").path
      #expect(try storage.backUp(to: copy).files == 1)
      let other = try DatabaseQueue(path: copy)
      try other.write { try $0.execute(sql: damage) }
      try other.close()
      try FileManager.default.removeItem(atPath: storage.path(ofFile: file.id))
      try storage.queue.close()
      let before = (try names(home), try Data(contentsOf: URL(filePath: storage.path)))
      #expect(throws: ServerError.self) { _ = try Storage.restore(from: copy, to: ModelStore(home: home)) }
      #expect(try names(home).filter { $0 != "server.lock" } == before.0)
      #expect(try Data(contentsOf: URL(filePath: storage.path)) == before.1)
      #expect(try FileManager.default.contentsOfDirectory(atPath: home.appending(path: "files").path).isEmpty)
      #expect(!FileManager.default.fileExists(atPath: "/tmp/hearth-out-of-place.jsonl"))
    }
  }

  @Test func whatIsDamagedIsReplacedWithWhatWasLeftBesideIt() throws {
    try withHome { home in
      let storage = try Storage(home: home)
      _ = try storage.createKey(name: "a", scopes: ["chat"])
      let copy = home.appending(path: "copy.sqlite").path
      _ = try storage.backUp(to: copy)
      try storage.queue.close()
      try Data("nothing that SQLite knows".utf8).write(to: URL(filePath: storage.path))
      try Data("a write that was interrupted".utf8).write(to: URL(filePath: storage.path + "-journal"))
      _ = try Storage.restore(from: copy, to: ModelStore(home: home))
      #expect(try Storage(home: home).keys().count == 1)
      #expect(try !names(home).contains("hearth.sqlite-journal"))
    }
  }

  @Test func filesThatAreGoneAreNamed() throws {
    try withHome { home in
      let storage = try Storage(home: home)
      let (first, second) = (try add(storage, "a"), try add(storage, "b"))
      try FileManager.default.removeItem(atPath: storage.path(ofFile: first.id))
      let copy = home.appending(path: "copy.sqlite").path
      #expect(try storage.backUp(to: copy) == Storage.Copied(files: 1, missing: [first.id]))
      #expect(try names(home).filter { $0.contains("partial") }.isEmpty)
      try storage.queue.close()
      try withHome { home in
        #expect(try Storage.restore(from: copy, to: ModelStore(home: home)) == 1)
        let restored = try Storage(home: home)
        #expect(FileManager.default.contents(atPath: restored.path(ofFile: second.id)) == second.bytes)
      }
    }
  }
}
