import Chat
import Foundation
import GRDB
import Testing

@testable import Server

/// What was said, in the audit log of who wants that.
@Suite struct AuditContentTests {
  private func key(_ number: UInt8) throws -> StorageKey {
    try StorageKey(text: Data(repeating: number, count: 32).base64EncodedString(), place: "test")
  }

  private func withStorage(_ body: (Storage) throws -> Void) throws {
    let home = FileManager.default.temporaryDirectory.appending(path: "hearth-home-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: home) }
    try body(try Storage(home: home))
  }

  /// An entry of which the log keeps what was said.
  private func entry(_ number: Int, actor: String = "key-a", daysAgo: Double = 0) -> AuditEntry {
    AuditEntry(
      time: Date().timeIntervalSince1970 - daysAgo * 86_400, actor: actor, action: "POST /x", object: "req-\(number)",
      outcome: "200", content: JSON.object(["asked": .string("marmalade \(number)")]).bytes)
  }

  private func holds(_ storage: Storage, _ words: String...) throws -> [String] {
    let bytes = try Data(contentsOf: URL(filePath: storage.path))
    return words.filter { bytes.range(of: Data($0.utf8)) != nil }
  }

  /// The contents that a server has written, once there are so many entries.
  private func contents(_ server: TestServer, entries count: Int, _ key: StorageKey? = nil) async throws -> [JSON] {
    for _ in 0..<600 {
      if try server.storage.verifyAudit().entries >= count { break }
      try await Task.sleep(for: .milliseconds(100))
    }
    return try server.storage.auditLines(last: 100, contents: true, key).filter { $0.hasPrefix("    ") }.map {
      try JSON(parsing: Array($0.dropFirst(4).utf8))
    }
  }

  /// Computed from the rule in another language: what entries without contents have hashed to since there are entries.
  @Test func theChainOfBeforeIsTheChainOfNow() throws {
    try withStorage { storage in
      try storage.record(
        [:],
        [
          AuditEntry(
            time: 1_700_000_000.25, actor: "key-a", action: "POST /v1/chat/completions", object: "req-1", outcome: "200"
          ),
          AuditEntry(
            time: 1_700_000_001.5, actor: "command line", action: "key.create", object: "key-b \"b\"\n",
            outcome: "chat,embed"),
        ])
      #expect(try storage.verifyAudit().head == "5469fc0c8fc59f560551f4086b4d564a8c71fb9e03be536811917a9b74ca12df")
    }
  }

  @Test func aFileOfBeforeGoesOn() throws {
    try withStorage { storage in
      let entries = (0..<3).map {
        AuditEntry(actor: "key-a", action: "POST /x", object: "req-\($0)", outcome: "200")
      }
      try storage.record([:], entries)
      let head = try storage.verifyAudit().head
      // As the version before had it.
      try storage.queue.write {
        try $0.execute(
          sql: """
            DROP TABLE audit_content; ALTER TABLE audit DROP COLUMN content_hash;
            DELETE FROM grdb_migrations WHERE identifier LIKE '4 %';
            """)
      }
      try storage.queue.close()
      let later = try Storage(path: storage.path)
      #expect(try later.verifyAudit() == AuditVerdict(entries: 3, head: head, broken_at: nil))
      try later.record([:], [entry(3)])
      #expect(try later.verifyAudit().isWhole && later.verifyAudit().contents == 1)
    }
  }

  @Test func nothingThatWasSaidIsKeptUnlessItsOwnerWantsThat() async throws {
    try await TestServer.run { (server: TestServer) async throws in
      #expect(try await server.chat(["max_tokens": 4, "messages": TestServer.question("marmalade")]).status == 200)
      #expect(try await contents(server, entries: 1).isEmpty)
      #expect(try holds(server.storage, "marmalade", "POST /v1/chat") == ["POST /v1/chat"])
    }
  }

  @Test(arguments: [false, true]) func everyAPIsContentsAreKept(_ isEncrypted: Bool) async throws {
    let key = isEncrypted ? try key(1) : nil
    try await TestServer.run {
      $0.auditsContents = true
      $0.storageKey = key
    } _: { server in
      let ask = TestServer.question("marmalade")
      let rest: [JSONElement.Member] = [
        .init(key: "model", value: .string(server.model)), .init(key: "temperature", value: 0),
      ]
      func body(_ more: KeyValuePairs<String, JSON?>) -> JSON { .object(rest + (JSON.object(more).members ?? [])) }
      var texts: [String] = []
      for isStreaming in [false, true] {
        let chat = try await server.client.post(
          "/v1/chat/completions", body(["messages": ask, "max_tokens": 6, "n": 2, "stream": .bool(isStreaming)]))
        if !isStreaming { texts = [0, 1].map { chat.json["choices"]?[$0]?["message"]?["content"]?.text ?? "?" } }
        for (path, request) in [
          (
            "/v1/completions",
            body(["prompt": ["marmalade", "quince"], "max_tokens": 6, "stream": .bool(isStreaming)])
          ),
          ("/v1/responses", body(["input": "marmalade", "max_output_tokens": 6, "stream": .bool(isStreaming)])),
          ("/v1/messages", body(["messages": ask, "max_tokens": 6, "stream": .bool(isStreaming)])),
        ] { #expect(try await server.client.post(path, request).status == 200, "\(path)") }
        for (path, name) in [("/api/chat", "messages"), ("/api/generate", "prompt")] {
          let request: JSON = [
            "model": .string(server.model), name: name == "prompt" ? "marmalade" : ask,
            "options": ["num_predict": 6, "temperature": 0], "stream": .bool(isStreaming),
          ]
          #expect(try await server.client.post(path, request).status == 200, "\(path)")
        }
      }
      let refused = try await server.client.post("/v1/chat/completions", body(["messages": ask, "quince": 1]))
      #expect(refused.status == 400)
      let embedded = try await server.client.post("/v1/embeddings", ["model": .string(server.model), "input": "lemon"])
      #expect(embedded.status == 200)
      let found = try await contents(server, entries: 14, key)
      // What was refused is not kept.
      #expect(found.count == 13 && found.allSatisfy { $0["asked"]?["quince"] == nil })
      for (whole, streamed) in zip(found[0..<6], found[6..<12]) {
        #expect(whole["asked"]?["model"]?.text == server.model && whole["asked"]?.line.contains("marmalade") == true)
        #expect(whole["answered"] == streamed["answered"] && whole["answered"] != nil)
        #expect(streamed["answered"]?[0]?["finish_reason"] != nil)
      }
      #expect(found[0]["answered"]?.elements?.compactMap { $0["text"]?.text } == texts)
      #expect(found[1]["answered"]?.elements?.count == 2)
      #expect(found[12] == ["asked": ["model": .string(server.model), "input": "lemon"]])
      #expect(try holds(server.storage, "marmalade").isEmpty == isEncrypted)
      let verdict = try server.storage.verifyAudit(key)
      #expect(verdict.isWhole && verdict.contents == 13 && verdict.contents_unchecked == 0)
      // Without the flag, lines are what they were.
      #expect(try server.storage.auditLines(last: 100).allSatisfy { !$0.contains("marmalade") })
    }
  }

  @Test func ofAnAnswerThatWasGivenUpWhatWasSentIsKept() async throws {
    try await TestServer.run(contextLength: 4096) {
      $0.auditsContents = true
    } _: { server in
      let body = JSON.object([
        "model": .string(server.model), "messages": TestServer.question("marmalade"), "stream": true, "temperature": 0,
        "logit_bias": ["2": -100, "0": -100],
      ]).bytes
      let head =
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: \(body.count)\r\n\r\n"
      let received = try await server.client.exchange(Array(head.utf8) + body, goingAfter: 4000)
      let found = try await contents(server, entries: 1)
      #expect(try server.storage.auditLines(last: 1)[0].hasSuffix("given up"))
      let sent = try HTTPClient.reply(received).events.compactMap { $0["choices"]?[0]?["delta"]?["content"]?.text }
        .joined()
      let kept = found.first?["answered"]?[0]?["text"]?.text ?? ""
      #expect(kept.hasPrefix(sent) && !sent.isEmpty, "\(sent) \(kept)")
      #expect(found.first?["answered"]?[0]?["finish_reason"] == nil)
    }
  }

  @Test(arguments: [
    "UPDATE audit_content SET content = zeroblob(length(content)) WHERE number = 2",
    "UPDATE audit_content SET content = (SELECT content FROM audit_content WHERE number = 3) WHERE number = 2",
    "UPDATE audit_content SET content = substr(content, 1, 5) WHERE number = 2",
    "UPDATE audit_content SET content = CAST(content || X'20' AS BLOB) WHERE number = 2",
    "UPDATE audit_content SET content = X'7B7D', key_id = NULL WHERE number = 2",
    "DELETE FROM audit_content WHERE number = 2",
    "INSERT INTO audit_content (number, content) VALUES (1, X'7B7D')",
    "PRAGMA foreign_keys = OFF; INSERT INTO audit_content (number, content) VALUES (0, X'7B7D')",
  ]) func contentsCannotBeChangedUnnoticed(_ change: String) throws {
    for cipher in [nil, try key(1)] {
      try withStorage { storage in
        try storage.unlock(cipher)
        try storage.record(
          [:], [AuditEntry(actor: "a", action: "b", object: "c", outcome: "d")] + (1..<4).map { entry($0) })
        #expect(try storage.verifyAudit(cipher).isWhole)
        try storage.queue.writeWithoutTransaction { try $0.execute(sql: "PRAGMA foreign_keys = OFF; " + change) }
        let verdict = try storage.verifyAudit(cipher)
        #expect(verdict.contents_broken_at ?? 9 <= 2 && verdict.broken_at == nil, "\(change) \(verdict)")
      }
    }
  }

  @Test func theHashOfAContentCannotBeTakenOutOfItsEntry() throws {
    try withStorage { storage in
      try storage.record([:], [entry(1), entry(2)])
      try storage.queue.write {
        try $0.execute(
          sql: """
            DROP TRIGGER audit_keeps; DELETE FROM audit_content WHERE number = 1;
            UPDATE audit SET content_hash = NULL WHERE number = 1;
            """)
      }
      #expect(try storage.verifyAudit().broken_at == 1)
    }
  }

  @Test func theChainOutlivesAChangeOfKeys() throws {
    try withStorage { storage in
      try storage.unlock(nil)
      try storage.record([:], (0..<4).map { entry($0) })
      #expect(try holds(storage, "marmalade") == ["marmalade"])
      func check(_ key: StorageKey?, _ place: Comment) throws {
        let verdict = try storage.verifyAudit(key)
        #expect(verdict.isWhole && verdict.contents_unchecked == 0 && verdict.contents >= 4, place)
        #expect(try storage.auditLines(last: 100, contents: true, key).contains { $0.contains("marmalade 3") }, place)
      }
      #expect(try storage.rotate(from: nil, to: key(1)) == 4)
      try check(key(1), "first key")
      #expect(try holds(storage, "marmalade") == [])
      #expect(try storage.rotate(from: key(1), to: key(2)) == 4)
      try check(key(2), "second key")
      // With another key or none, the chain is verified all the same, and what was not looked at is counted.
      for other in [nil, try key(1)] {
        let verdict = try storage.verifyAudit(other)
        #expect(verdict.isWhole && verdict.contents_unchecked == 4)
        #expect(throws: ServerError.self) { _ = try storage.auditLines(last: 100, contents: true, other) }
        #expect(try storage.auditLines(last: 100, contents: false, other).count == 6)
      }
      // Nor is a file with contents opened under another key.
      #expect(throws: ServerError.self) { try storage.unlock(key(1)) }
      #expect(throws: ServerError.self) { try storage.unlock(nil) }
      #expect(try storage.rotate(from: key(2), to: nil) == 4)
      try check(nil, "plain")
      #expect(throws: ServerError.self) { try storage.unlock(key(1)) }
    }
  }

  @Test func whatWasSaidCanBeForgottenAndNobodyElseCanForgetIt() throws {
    try withStorage { storage in
      try storage.record([:], [entry(1, daysAgo: 9), entry(2, actor: "key-b", daysAgo: 8), entry(3), entry(4)])
      let head = try storage.verifyAudit().head
      #expect(try storage.forgetAudit(of: nil, days: 30) == 0)
      #expect(try storage.forgetAudit(of: "key-b", days: 7) == 1)
      #expect(try holds(storage, "marmalade 1", "marmalade 2", "marmalade 3") == ["marmalade 1", "marmalade 3"])
      #expect(try storage.forgetAudit(of: nil, days: 7) == 1)
      #expect(try holds(storage, "marmalade 1", "marmalade 3") == ["marmalade 3"])
      let verdict = try storage.verifyAudit()
      #expect(verdict.isWhole && verdict.contents == 2 && verdict.contents_removed == 2 && verdict.head != head)
      let lines = try storage.auditLines(last: 100, contents: true)
      #expect(lines.filter { $0 == "    what was said is removed" }.count == 2 && lines.count == 11)
      // What the log does not say was removed, is missing: somebody else's, or said since.
      for number in [3, 4] {
        try storage.queue.inTransaction { database in
          try database.execute(sql: "DELETE FROM audit_content WHERE number = ?", arguments: [number])
          return .commit
        }
        #expect(try storage.verifyAudit().contents_broken_at == 3)
      }
      #expect(try storage.forgetAudit(of: nil, days: nil) == 0)
      #expect(try storage.verifyAudit().contents_broken_at == 3)
    }
  }

  @Test func namesStandForWhoeverSaidSomething() throws {
    try withStorage { storage in
      let id = try storage.createKey(name: "phone", scopes: ["chat"]).record.id
      #expect(throws: ServerError.self) { _ = try storage.auditActor("phone") }
      try storage.record([:], [entry(1, actor: id), entry(2, actor: "oidc:ann https://login.example.org"), entry(3)])
      #expect(try storage.auditActor("phone") == id && storage.auditActor(id) == id)
      #expect(try storage.auditActor("ann") == "oidc:ann https://login.example.org")
      #expect(throws: ServerError.self) { _ = try storage.auditActor("an") }
    }
  }

  @Test func whatCannotBeWrittenDownIsNotDone() async throws {
    try await TestServer.run {
      // No key is looked up, so that only the log needs the file.
      $0.isOpenOnLoopback = true
      $0.limits.auditBytes = 300
    } _: { server in
      #expect(try await server.chat(["max_tokens": 1]).status == 200)
      _ = try await contents(server, entries: 1)
      var configuration = Configuration()
      configuration.allowsUnsafeTransactions = true
      let other = try DatabaseQueue(path: server.storage.path, configuration: configuration)
      try await other.writeWithoutTransaction { try $0.execute(sql: "BEGIN IMMEDIATE") }
      var statuses: [Int] = []
      for _ in 0..<4 { statuses.append(try await server.chat(["max_tokens": 1]).status) }
      #expect(statuses == [200, 200, 503, 503])
      #expect(try await server.client.get("/metrics").status == 200)
      #expect(try await server.client.get("/health").status == 200)
      try await other.writeWithoutTransaction { try $0.execute(sql: "ROLLBACK") }
      _ = try await contents(server, entries: 5)
      let lines = try server.storage.auditLines(last: 100)
      #expect(lines.filter { $0.hasSuffix("200") && $0.contains("/v1/chat/completions") }.count == 3)
      #expect(lines.filter { $0.hasSuffix("503") }.count == 2)
      #expect(try await server.chat(["max_tokens": 1]).status == 200)
    }
  }

  @Test func atTheEndEntriesAreWorthMoreThanContents() throws {
    try withStorage { storage in
      let other = try Storage(path: storage.path)
      try storage.unlock(key(1))
      let access = AccessControl(storage, ServerSettings())
      access.note(entry(1))
      // Somebody encrypts all with another key while the server runs.
      #expect(try other.rotate(from: key(1), to: key(2)) == 0)
      #expect(throws: ServerError.self) { try access.flush() }
      #expect(try storage.verifyAudit().entries == 1)
      #expect(throws: ServerError.self) { try access.flush(isLast: true) }
      #expect(try storage.auditLines(last: 1)[0].hasSuffix("200, contents lost"))
      #expect(try storage.verifyAudit(key(2)).isWhole && holds(storage, "marmalade") == [])
    }
  }

  @Test func nothingInALineSteersATerminal() throws {
    try withStorage { storage in
      var said = entry(1, actor: "oidc:\u{1B}[2J\nkey-x")
      said.content = JSON.object(["asked": "\u{9B}2J \u{202E}abc \u{7F}é"]).bytes
      try storage.record([:], [said])
      let lines = try storage.auditLines(last: 1, contents: true)
      #expect(lines.count == 2 && lines[0].contains("oidc:\\u001b[2J\\u000akey-x"))
      #expect(lines[1] == #"    {"asked":"\u009b2J \u202eabc \u007fé"}"#)
      #expect(try JSON(parsing: Array(lines[1].utf8))["asked"] == "\u{9B}2J \u{202E}abc \u{7F}é")
    }
  }
}
