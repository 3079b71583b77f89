import Chat
import Engine
import Foundation
import GRDB
import HTTPTypes
import Logging
import Testing

@testable import Server

/// Where there is no room nothing is kept, and whoever asked is told which file system is full.
@Suite struct FullDiskTests {
  /// A store whose file may not grow, which SQLite takes for a full disk.
  private func withFullStorage(_ body: (Storage, ServerState) async throws -> Void) async throws {
    let home = FileManager.default.temporaryDirectory.appending(path: "hearth-home-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: home) }
    let storage = try Storage(home: home)
    try await storage.queue.writeWithoutTransaction { try $0.execute(sql: "PRAGMA max_page_count = 1") }
    let state = ServerState(
      ServerSettings(), storage: storage, room: EngineRoom(), logger: Logger(label: "test"), started: 0)
    try await body(storage, state)
  }

  private static func job(_ id: String, _ text: String) -> JobRecord {
    JobRecord(
      id: id, owner: "a", model: text, modelPath: "/m", tunedName: "t", trainingFile: "f", validationFile: nil,
      epochs: nil, batchSize: nil, learningRateMultiplier: nil, seed: 0, created: 0)
  }

  @Test func nothingIsHalfKept() async throws {
    try await withFullStorage { storage, state in
      // Longer than what is left of a page.
      let long = String(repeating: "x", count: 5000)
      let line = Array(#"{"prompt": "what is it?", "completion": "a jar"}"#.utf8)
      let jobError = #expect(throws: ServerError.self) { try storage.add(FullDiskTests.job("ftjob-a", long)) }
      #expect(jobError?.fullDisk != nil && APIError(jobError ?? ServerError("")).status.code == 507)
      #expect(try storage.jobs(of: nil).isEmpty && storage.events(of: "ftjob-a").isEmpty)
      // Small rows find room for a while, and then none.
      var (keys, files) = (0, 0)
      let keyError = #expect(throws: ServerError.self) {
        while keys < 1000 {
          _ = try storage.createKey(name: "key \(keys)", scopes: ["chat"])
          keys += 1
        }
      }
      #expect(keyError?.description.contains("is full") == true, "\(keyError?.description ?? "")")
      #expect(try storage.keys().count == keys && storage.verifyAudit().entries == keys)
      let part = Multipart.Part(name: "file", fileName: "a.jsonl", content: line[...])
      #expect(throws: ServerError.self) {
        while files < 1000 {
          _ = try UploadedFiles(state).add(part, owner: "a")
          files += 1
        }
      }
      let folder = URL(filePath: storage.path).deletingLastPathComponent().appending(path: "files").path
      #expect(try storage.files(of: "a").count == files)
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder).count == files)
      let conversation = StoredConversation(
        id: "chatcmpl-a", owner: "a", model: "m", created: 0, messages: [["role": "user", "content": .string(long)]],
        completion: [:], metadata: [:])
      let error = await #expect(throws: FullDisk.self) { try await storage.add(conversation, most: 1 << 30) }
      #expect(try await storage.conversation("chatcmpl-a", of: "a") == nil)
      let mount = try #require(error?.mount)
      #expect(folder.hasPrefix(mount) || mount == "/", "\(mount)")
      // And the file is whole.
      #expect(try storage.look { try String.fetchOne($0, sql: "PRAGMA integrity_check") } == "ok")
    }
  }

  @Test func clientsAreToldNotToRepeatIt() throws {
    let error = try #require(FullDisk(FileError(path: "/tmp/x", action: "write", errno: ENOSPC), at: "/tmp/x"))
    for (dialect, path) in [(Dialect.openAI, "type"), (.anthropic, "type"), (.ollama, nil)] as [(Dialect, String?)] {
      let failure = APIError(error)
      let headers = dialect.headers(of: failure)
      #expect(failure.status.code == 507 && headers[.shouldRetry] == "false" && headers[.retryAfter] == nil)
      let body = dialect.body(of: failure, requestID: "req-x")
      #expect(body.line.contains("file system at ") && body.line.contains("free space"), "\(body.line)")
      if let path { #expect(["server_error", "api_error"].contains(body["error"]?[path]?.text ?? "")) }
    }
    #expect(FullDisk(FileError(path: "/tmp/x", action: "write", errno: EACCES), at: "/tmp/x") == nil)
    #expect(FullDisk(DatabaseError(resultCode: .SQLITE_BUSY), at: "/tmp/x") == nil)
    #expect(FullDisk(CocoaError(.fileWriteOutOfSpace), at: "/no/such/folder/x")?.mount == "/")
  }

  /// `HEARTH_TEST_FULL_DISK` names a folder on a disk of at most 1 MB.
  @Test(.enabled(if: ProcessInfo.processInfo.environment["HEARTH_TEST_FULL_DISK"] != nil))
  func aServerOnAFullDiskKeepsWhatItHas() async throws {
    let disk = URL(filePath: try #require(ProcessInfo.processInfo.environment["HEARTH_TEST_FULL_DISK"]))
    try await TestServer.run(on: disk) { server in
      func upload(_ count: Int) async throws -> HTTPClient.Reply {
        let line = #"{"prompt": "what is it?", "completion": "a jar"}"#
        let form = [
          "--x", #"Content-Disposition: form-data; name="purpose""#, "", "fine-tune", "--x",
          #"Content-Disposition: form-data; name="file"; filename="jars.jsonl""#, "",
          [String](repeating: line, count: count).joined(separator: "\n"), "--x--", "",
        ].joined(separator: "\r\n")
        return try await server.client.send(
          "POST", "/v1/files", headers: ["Content-Type": "multipart/form-data; boundary=x"], body: Array(form.utf8))
      }
      var ids: [String] = []
      var refused: HTTPClient.Reply?
      // First large ones until none fits, then small ones.
      for count in [1000, 100, 1] {
        for _ in 0..<200 {
          let reply = try await upload(count)
          guard reply.status == 200 else {
            refused = reply
            break
          }
          ids.append(reply.json["id"]?.text ?? "")
        }
        #expect(refused?.status == 507 && refused?.json["error"]?["code"] == "disk_full", "\(refused?.text ?? "")")
        #expect(
          refused?.text.contains("file system at \(disk.resolvingSymlinksInPath().path) is full") == true,
          "\(refused?.text ?? "")")
        refused = nil
      }
      let folder = server.home.appending(path: "files").path
      #expect(try Set(FileManager.default.contentsOfDirectory(atPath: folder)) == Set(ids.map { $0 + ".jsonl" }))
      #expect(try await server.client.get("/v1/files").json["data"]?.elements?.count == ids.count)
      #expect(try server.storage.look { try String.fetchOne($0, sql: "PRAGMA integrity_check") } == "ok")
      #expect(try await server.chat(["max_tokens": 1]).status == 200)
      // With room again it goes on.
      #expect(try await server.client.send("DELETE", "/v1/files/\(ids[0])").status == 200)
      #expect(try await upload(100).status == 200)
    }
  }
}
