import Chat
import Foundation
import GRDB
import Testing

@testable import Server

@Suite struct ConversationTests {
  private static func stored(
    _ server: TestServer, _ key: String, _ text: String = "Hello there", _ more: KeyValuePairs<String, JSON?> = [:]
  ) async throws -> HTTPClient.Reply {
    let body = JSON.object([
      "model": .string(server.model), "messages": TestServer.question(text), "max_tokens": 12, "temperature": 0,
      "logit_bias": ["2": -100, "0": -100], "store": true, "metadata": ["topic": .string(text)],
    ])
    guard case .object(let members) = body, case .object(let given) = JSON.object(more) else {
      return try #require(nil)
    }
    return try await server.client.post("/v1/chat/completions", .object(members + given), bearer(key))
  }

  private static func bearer(_ key: String) -> [String: String] { ["Authorization": "Bearer \(key)"] }

  @Test func nothingIsKeptUnlessBothWantIt() async throws {
    try await TestServer.run { server in
      let reply = try await server.chat(["store": true, "max_tokens": 4])
      #expect(reply.status == 400 && reply.json["error"]?["param"] == "store", "\(reply.text)")
      #expect(try await server.chat(["store": false, "max_tokens": 4, "metadata": ["a": "b"]]).status == 200)
      #expect(try await server.client.get("/v1/chat/completions").json["data"]?.elements?.isEmpty == true)
    }
    try await TestServer.run {
      $0.storesConversations = true
    } _: { (server: TestServer) async throws in
      #expect(try await server.chat(["max_tokens": 4]).status == 200)
      #expect(try await server.client.get("/v1/chat/completions").json["data"]?.elements?.isEmpty == true)
      #expect(try await server.chat(["store": true, "max_tokens": 4, "metadata": ["a": 1]]).status == 400)
      #expect(try await server.chat(["store": true, "max_tokens": 4]).status == 200)
      #expect(try await server.client.get("/v1/chat/completions").json["data"]?.elements?.count == 1)
    }
  }

  @Test func whatIsKeptIsWhatWasSaid() async throws {
    try await TestServer.run {
      $0.storesConversations = true
    } _: { server in
      let key = try server.storage.createKey(name: "a", scopes: ["chat"]).secret
      let headers = ConversationTests.bearer(key)
      let whole = try await ConversationTests.stored(server, key, "one", ["n": 2]).json
      let id = try #require(whole["id"]?.text)
      let streamed = try await ConversationTests.stored(server, key, "two", ["stream": true])
      let other = try #require(streamed.events.first?["id"]?.text)
      let kept = try await server.client.get("/v1/chat/completions/\(id)", headers).json
      #expect(kept["choices"] == whole["choices"] && kept["usage"] == whole["usage"])
      #expect(kept["metadata"] == ["topic": "one"])
      let text = streamed.events.compactMap { $0["choices"]?[0]?["delta"]?["content"]?.text }.joined()
      let keptStream = try await server.client.get("/v1/chat/completions/\(other)", headers).json
      #expect(keptStream["choices"]?[0]?["message"]?["content"]?.text == text && !text.isEmpty)
      let messages = try await server.client.get("/v1/chat/completions/\(id)/messages", headers).json
      #expect(messages["data"]?[0]?["content"] == "one" && messages["data"]?[0]?["id"]?.text == "\(id)-0")

      func ids(_ query: String) async throws -> [String] {
        let list = try await server.client.get("/v1/chat/completions" + query, headers)
        #expect(list.status == 200, "\(list.text)")
        return list.json["data"]?.elements?.compactMap { $0["id"]?.text } ?? []
      }
      #expect(try await ids("") == [id, other])
      #expect(try await ids("?order=desc") == [other, id])
      #expect(try await ids("?limit=1") == [id])
      #expect(try await ids("?after=\(id)&limit=1") == [other])
      #expect(try await ids("?metadata%5Btopic%5D=two") == [other])
      #expect(try await ids("?model=nobody") == [])
      for wrong in ["?limit=0", "?order=up", "?after=x", "?size=2", "?limit=1&limit=2"] {
        #expect(try await server.client.get("/v1/chat/completions" + wrong, headers).status == 400, "\(wrong)")
      }
      let changed = try await server.client.post(
        "/v1/chat/completions/\(id)", ["metadata": ["topic": "changed"]], headers)
      #expect(changed.json["metadata"] == ["topic": "changed"] && changed.json["choices"] == whole["choices"])
      let lines = try await server.client.get("/v1/exports/conversations", headers).text.split(separator: "\n")
      #expect(lines.count == 2 && lines[0].contains("\"changed\""))
      #expect(try await server.client.send("DELETE", "/v1/chat/completions/\(id)", headers: headers).status == 200)
      #expect(try await ids("") == [other])
      #expect(try await server.client.send("DELETE", "/v1/chat/completions/\(id)", headers: headers).status == 404)
    }
  }

  @Test func nobodySeesTheConversationsOfOthers() async throws {
    try await TestServer.run {
      $0.storesConversations = true
    } _: { server in
      let mine = try server.storage.createKey(name: "mine", scopes: ["chat"]).secret
      // Not even who may do everything.
      let theirs = try server.storage.createKey(name: "theirs", scopes: Scope.allCases.map(\.rawValue)).secret
      let id = try #require(try await ConversationTests.stored(server, mine).json["id"]?.text)
      let feedback: JSON = ["completion_id": .string(id), "rating": "up"]
      let made = try await server.client.post("/v1/feedback", feedback, ConversationTests.bearer(mine))
      #expect(made.status == 200, "\(made.text)")
      let note = made.json["id"]?.text ?? ""
      let headers = ConversationTests.bearer(theirs)
      for (method, path) in [
        ("GET", "/v1/chat/completions/\(id)"), ("DELETE", "/v1/chat/completions/\(id)"),
        ("GET", "/v1/chat/completions/\(id)/messages"), ("GET", "/v1/feedback/\(note)"),
        ("DELETE", "/v1/feedback/\(note)"),
      ] {
        #expect(try await server.client.send(method, path, headers: headers).status == 404, "\(method) \(path)")
      }
      let metadata: JSON = ["metadata": [:]]
      #expect(try await server.client.post("/v1/chat/completions/\(id)", metadata, headers).status == 404)
      #expect(try await server.client.post("/v1/feedback", feedback, headers).status == 404)
      for path in ["/v1/chat/completions", "/v1/feedback"] {
        #expect(try await server.client.get(path, headers).json["data"]?.elements?.isEmpty == true)
        let after = try await server.client.get(path + "?after=" + (path.hasSuffix("s") ? id : note), headers)
        #expect(after.status == 400)
      }
      for path in ["/v1/exports/conversations", "/v1/exports/feedback"] {
        #expect(try await server.client.get(path, headers).text.isEmpty)
        #expect(try await !server.client.get(path, ConversationTests.bearer(mine)).text.isEmpty)
      }
    }
  }

  @Test func feedbackBecomesWhatFineTuningReads() async throws {
    try await TestServer.run {
      $0.storesConversations = true
    } _: { server in
      let key = try server.storage.createKey(name: "a", scopes: ["chat"]).secret
      let headers = ConversationTests.bearer(key)
      var answers: [String] = []
      let opinions: [KeyValuePairs<String, JSON?>] = [
        ["rating": "up"], ["rating": "down"],
        ["rating": "down", "correction": "A better answer.", "comment": "too long"],
        ["rating": "up", "choice": 1],
      ]
      for (number, opinion) in opinions.enumerated() {
        let reply = try await ConversationTests.stored(server, key, "Question \(number)?", ["n": 2]).json
        answers.append(reply["choices"]?[0]?["message"]?["content"]?.text ?? "")
        guard case .object(let members) = JSON.object(opinion) else { return }
        let body = JSON.object([.init(key: "completion_id", value: reply["id"] ?? .null)] + members)
        let made = try await server.client.post("/v1/feedback", body, headers)
        #expect(made.status == 200, "\(made.text)")
        // A second thought takes the place of the first.
        if number == 0 { #expect(try await server.client.post("/v1/feedback", body, headers).status == 200) }
        if number == 3 {
          let beyond: JSON = ["completion_id": reply["id"] ?? .null, "rating": "up", "choice": 2]
          #expect(try await server.client.post("/v1/feedback", beyond, headers).status == 400)
        }
      }
      let list = try await server.client.get("/v1/feedback", headers).json["data"]?.elements ?? []
      #expect(list.map { $0["rating"] ?? .null } == ["up", "down", "down", "up"])
      #expect(list[2]["comment"] == "too long" && list[2]["correction"] == "A better answer.")

      func dataset(_ shape: String) async throws -> Dataset {
        let reply = try await server.client.get("/v1/exports/feedback?shape=\(shape)", headers)
        #expect(reply.headers["content-type"] == "application/jsonl")
        let path = server.home.appending(path: shape + ".jsonl").path
        try reply.text.write(toFile: path, atomically: true, encoding: .utf8)
        return try Dataset(files: [path])
      }
      let liked = try await dataset("messages")
      #expect(liked.examples.count == 3 && liked.shapes == [.messages])
      #expect(
        liked.examples[1].content == .conversation([Turn(.user, "Question 2?"), Turn(.assistant, "A better answer.")]))
      let pairs = try await dataset("preference")
      #expect(pairs.examples.count == 1 && pairs.shapes == [.preference])
      #expect(pairs.examples[0].rejected == answers[2])
      #expect(try await server.client.get("/v1/exports/feedback?shape=xml", headers).status == 400)
      // From the command line, everybody's.
      let file = server.home.appending(path: "all.jsonl").path
      let counts = try await server.storage.export(.messages, owner: nil, to: file)
      #expect(counts == (3, 1))
      #expect(try Dataset(files: [file]).examples.map(\.content) == liked.examples.map(\.content))
      // What was thought of a conversation goes with it.
      let first = try await server.client.get("/v1/chat/completions?limit=1", headers).json["first_id"]?.text ?? ""
      #expect(try await server.client.send("DELETE", "/v1/chat/completions/\(first)", headers: headers).status == 200)
      #expect(try await server.client.get("/v1/feedback", headers).json["data"]?.elements?.count == 3)
    }
  }

  @Test func aKeyHasSoMuchRoomAndNoMore() async throws {
    try await TestServer.run {
      $0.storesConversations = true
      $0.limits.storedBytes = 1200
    } _: { server in
      let (full, other) = (
        try server.storage.createKey(name: "full", scopes: ["chat"]).secret,
        try server.storage.createKey(name: "other", scopes: ["chat"]).secret
      )
      var statuses: [Int] = []
      for _ in 0..<6 { statuses.append(try await ConversationTests.stored(server, full).status) }
      #expect(statuses.first == 200 && statuses.last == 429, "\(statuses)")
      #expect(try await ConversationTests.stored(server, other).status == 200)
    }
  }
}

@Suite struct StorageEncryptionTests {
  private static let hexadecimal = String(repeating: "0123456789abcdef", count: 4)

  private func conversation(_ number: Int, owner: String = "a") -> StoredConversation {
    StoredConversation(
      id: "chatcmpl-\(number)", owner: owner, model: "m", created: 7,
      messages: [["role": "user", "content": .string("marmalade \(number)")]],
      completion: ["choices": [["message": ["role": "assistant", "content": "a jar of quince"]]]],
      metadata: ["topic": "breakfast"])
  }

  private func withHome(_ body: (URL) async throws -> Void) async throws {
    let home = FileManager.default.temporaryDirectory.appending(path: "hearth-home-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: home, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: home) }
    try await body(home)
  }

  private func key(_ number: UInt8) throws -> StorageKey {
    try StorageKey(text: Data(repeating: number, count: 32).base64EncodedString(), place: "test")
  }

  private func fill(_ storage: Storage, _ numbers: Range<Int>) async throws {
    for number in numbers {
      try await storage.add(conversation(number), most: 1 << 20)
      try await storage.put(
        FeedbackRecord(
          id: "feedback-\(number)", owner: "a", conversation: "chatcmpl-\(number)", choice: 0, created: 7,
          rating: .down,
          comment: "too sweet", correction: "a jar of lemon"))
    }
  }

  private func holds(_ home: URL, _ words: [String]) throws -> [String] {
    let files = try FileManager.default.contentsOfDirectory(atPath: home.path)
    let bytes = try files.map { try Data(contentsOf: home.appending(path: $0)) }
    return words.filter { word in bytes.contains { $0.range(of: Data(word.utf8)) != nil } }
  }

  @Test func theFileHoldsNoPlainText() async throws {
    let words = ["marmalade", "quince", "breakfast", "too sweet", "lemon"]
    try await withHome { home in
      let storage = try Storage(home: home)
      try storage.unlock(nil)
      try await fill(storage, 0..<20)
      #expect(try holds(home, words) == words)
      // Enabled later, nothing of before is left either.
      #expect(try storage.rotate(from: nil, to: key(1)) == 40)
      #expect(try holds(home, words) == [])
      try await fill(storage, 20..<40)
      #expect(try holds(home, words) == [])
      #expect(try await storage.conversation("chatcmpl-30", of: "a") == conversation(30))
      #expect(try await storage.conversation("chatcmpl-3", of: "a") == conversation(3))
      #expect(try await storage.feedback("feedback-3", of: "a")?.correction == "a jar of lemon")
      #expect(try storage.rotate(from: key(1), to: nil) == 80)
      #expect(try holds(home, words) == words)
      #expect(try storage.removeConversations(of: nil, days: nil) == 40)
      #expect(try holds(home, words) == [])
      #expect(try storage.verifyAudit().broken_at == nil)
    }
  }

  @Test func onlyTheRightKeyOpens() async throws {
    try await withHome { home in
      var settings = ServerSettings()
      settings.store = ModelStore(home: home)
      let storage = try Storage(home: home)
      try storage.unlock(key(1))
      try await fill(storage, 0..<3)
      // Said before anything is served.
      #expect(throws: ServerError.self) { _ = try HearthServer(settings) }
      settings.storageKey = try key(2)
      #expect(throws: ServerError.self) { _ = try HearthServer(settings) }
      settings.storageKey = try key(1)
      _ = try HearthServer(settings)
      #expect(throws: ServerError.self) { _ = try storage.rotate(from: key(2), to: key(3)) }
      #expect(throws: ServerError.self) { _ = try storage.rotate(from: nil, to: key(3)) }
      // A server that runs does not go on writing with the key of yesterday.
      let other = try Storage(home: home)
      try other.unlock(key(1))
      #expect(try storage.rotate(from: key(1), to: key(2)) == 6)
      await #expect(throws: ServerError.self) { try await other.add(conversation(9), most: 1 << 20) }
      await #expect(throws: ServerError.self) { _ = try await other.conversation("chatcmpl-1", of: "a") }
      #expect(throws: ServerError.self) { try other.unlock(key(1)) }
      try other.unlock(key(2))
      #expect(try await other.conversation("chatcmpl-1", of: "a") == conversation(1))
      // Plain ones are encrypted first, or who writes the file could put some in.
      try await withHome { home in
        let plain = try Storage(home: home)
        try plain.unlock(nil)
        try await fill(plain, 0..<1)
        #expect(throws: ServerError.self) { try plain.unlock(key(1)) }
      }
    }
  }

  @Test(arguments: [
    "UPDATE conversation SET content = (SELECT content FROM conversation WHERE number = 2) WHERE number = 1",
    "UPDATE conversation SET owner = 'b' WHERE number = 1", "UPDATE conversation SET model = 'n' WHERE number = 1",
    "UPDATE conversation SET created = 8 WHERE number = 1",
    "UPDATE conversation SET content = X'7B7D', key_id = NULL WHERE number = 1",
    "UPDATE conversation SET content = zeroblob(length(content)) WHERE number = 1",
    "UPDATE conversation SET content = substr(content, 1, 5) WHERE number = 1",
    "UPDATE conversation SET id = 'chatcmpl-x' WHERE number = 2; UPDATE conversation SET id = 'chatcmpl-0' WHERE number = 1",
    "PRAGMA foreign_keys = OFF; UPDATE feedback SET conversation = 'chatcmpl-x' WHERE number = 1",
    "UPDATE feedback SET choice = 1 WHERE number = 1",
    "UPDATE feedback SET content = (SELECT content FROM conversation WHERE number = 1) WHERE number = 1",
  ]) func rowsCannotBeChangedOrSwapped(_ change: String) async throws {
    try await withHome { home in
      let storage = try Storage(home: home)
      try storage.unlock(key(1))
      try await fill(storage, 0..<2)
      try await storage.queue.writeWithoutTransaction { database in
        try database.execute(sql: "PRAGMA foreign_keys = OFF; " + change)
      }
      await #expect(throws: ServerError.self) {
        for owner in ["a", "b"] {
          _ = try await storage.conversations(ConversationQuery(owner: owner))
          _ = try await storage.feedback(of: owner, limit: 10)
        }
        // Of a name that was changed, the row itself.
        if change.contains("chatcmpl-x") { _ = try await storage.conversation("chatcmpl-x", of: "a") }
      }
    }
  }

  @Test func copiesStayEncrypted() async throws {
    try await withHome { home in
      let storage = try Storage(home: home)
      try storage.unlock(key(1))
      try await fill(storage, 0..<3)
      let copy = home.path + "/copy.sqlite"
      _ = try storage.backUp(to: copy)
      #expect(try holds(home, ["marmalade", "quince"]) == [])
      #expect(try storage.removeConversations(of: nil, days: nil) == 3)
      try storage.queue.close()
      _ = try Storage.restore(from: copy, to: ModelStore(home: home))
      let restored = try Storage(home: home)
      #expect(throws: ServerError.self) { try restored.unlock(nil) }
      try restored.unlock(key(1))
      #expect(try await restored.conversation("chatcmpl-2", of: "a") == conversation(2))
    }
  }

  @Test func aKeyFileIsReadStrictly() async throws {
    try await withHome { home in
      let path = home.appending(path: "key.txt").path
      func write(_ text: String, _ mode: Int) throws {
        try? FileManager.default.removeItem(atPath: path)
        #expect(
          FileManager.default.createFile(
            atPath: path, contents: Data(text.utf8), attributes: [.posixPermissions: mode]))
      }
      try write(StorageEncryptionTests.hexadecimal + "\n", 0o600)
      let key = try StorageKey(file: path)
      #expect(key.id.count == 16 && !StorageEncryptionTests.hexadecimal.contains(key.id))
      for (text, mode) in [
        (StorageEncryptionTests.hexadecimal, 0o644), (StorageEncryptionTests.hexadecimal, 0o640), ("", 0o600),
        ("secret", 0o600), (String(repeating: "a", count: 63), 0o600), (String(repeating: "x", count: 64), 0o600),
      ] {
        try write(text, mode)
        #expect(throws: ServerError.self, "\(text) \(mode)") { _ = try StorageKey(file: path) }
      }
      #expect(throws: ServerError.self) { _ = try StorageKey(file: path + ".none") }
      // Secrets are mostly mounted as links; what counts is who may read the file behind.
      let link = home.appending(path: "link").path
      try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: path)
      try write(StorageEncryptionTests.hexadecimal, 0o600)
      #expect(try StorageKey(file: link).id == key.id)
      try write(StorageEncryptionTests.hexadecimal, 0o644)
      #expect(throws: ServerError.self) { _ = try StorageKey(file: link) }
    }
  }
}
