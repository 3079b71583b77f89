import Chat
import Foundation
import HTTPTypes
import Logging
import Testing

@testable import Server

@Suite struct AccessTests {
  /// Every route of the server, from the table that its router is made of.
  private static func endpoints(_ storage: Storage) -> [Endpoint] {
    let state = ServerState(
      ServerSettings(), storage: storage, room: EngineRoom(), logger: Logger(label: "test"), started: 0)
    return HearthServer.routes(state).endpoints
  }

  @Test func everyRouteIsDeniedToThoseWhoMayNot() async throws {
    try await TestServer.run {
      $0.limits.failedKeys = 10_000
    } prepare: {
      _ = try $0.createKey(name: "first", scopes: ["chat"])
    } _: { server in
      let endpoints = AccessTests.endpoints(server.storage)
      #expect(endpoints.count >= 8)
      #expect(endpoints.filter { $0.access == .open }.map(\.path) == ["/health", "/ready"])
      for endpoint in endpoints {
        guard case .scope(let scope) = endpoint.access else { continue }
        let path = endpoint.path.split(separator: "/").map { $0.hasPrefix("{") ? "x" : String($0) }.joined(
          separator: "/")
        let others = Scope.allCases.filter { $0 != scope }.map(\.rawValue)
        let name = "others-\(UUID())"
        let secret = try server.storage.createKey(name: name, scopes: others).secret
        func status(_ headers: [String: String]) async throws -> Int {
          try await server.client.send(endpoint.method.rawValue, "/" + path, headers: headers).status
        }
        #expect(try await status([:]) == 401, "\(endpoint.path) without a key")
        #expect(try await status(["Authorization": "Bearer nonsense"]) == 401, "\(endpoint.path) with a wrong key")
        #expect(try await status(["Authorization": "Basic \(secret)"]) == 401, "\(endpoint.path) with another scheme")
        #expect(try await status(["Authorization": "Bearer \(secret)"]) == 403, "\(endpoint.path) without its scope")
        #expect(try await status(["X-Api-Key": secret]) == 403, "\(endpoint.path) without its scope")
        _ = try server.storage.revokeKey(name)
        #expect(try await status(["Authorization": "Bearer \(secret)"]) == 401, "\(endpoint.path) with a revoked key")
      }
      #expect(try await server.client.get("/v1/nothing").status == 401)
      #expect(try await server.client.get("/v1/../v1/models").status == 401)
      #expect(try await server.client.get("//v1/models").status == 401)
      #expect(try await server.client.get("/health").status == 200)
    }
  }

  @Test func aKeyOpensWhatItsScopeSays() async throws {
    try await TestServer.run { server in
      #expect(try await server.client.get("/v1/models").status == 200)
      let secret = try server.storage.createKey(name: "a", scopes: ["chat"]).secret
      #expect(try await server.client.get("/v1/models").status == 401)
      #expect(try await server.client.get("/v1/models", ["Authorization": "Bearer \(secret)"]).status == 200)
      #expect(try await server.client.get("/metrics", ["Authorization": "Bearer \(secret)"]).status == 403)
    }
  }

  @Test func whoTriesKeysIsSlowedDown() async throws {
    try await TestServer.run {
      $0.limits.failedKeys = 5
    } _: { server in
      let known = try server.storage.createKey(name: "known", scopes: ["chat"]).secret
      func reply(_ key: String) async throws -> HTTPClient.Reply {
        try await server.client.get("/v1/models", ["Authorization": "Bearer \(key)"])
      }
      #expect(try await reply(known).status == 200)
      var statuses: [Int] = []
      for number in 0..<8 { statuses.append(try await reply("hearth_\(number)").status) }
      #expect(statuses == [401, 401, 401, 401, 401, 429, 429, 429])
      // Nobody learns whether a guess was right; those who were right before go on.
      var refused = try await reply("hearth_late")
      for number in 0..<5 {
        // One more wrong key takes what waiting has given back, should the machine be that busy.
        _ = try await reply("hearth_more_\(number)")
        refused = try await reply(try server.storage.createKey(name: "late-\(number)", scopes: ["chat"]).secret)
        if refused.status == 429 { break }
      }
      #expect(refused.status == 429 && refused.json["error"]?["code"] == "too_many_failures", "\(refused.text)")
      #expect((Int(refused.headers["retry-after"] ?? "") ?? 0) >= 1)
      #expect(try await reply(known).status == 200)
      #expect(try await server.client.get("/health").status == 200)
    }
  }

  @Test func attemptsAreForgivenAndForgotten() {
    let start = ContinuousClock.now
    var attempts = FailedAttempts(burst: 2)
    for _ in 0..<5 { attempts.fail("a", start) }
    #expect(attempts.wait("a", start) == FailedAttempts.secondsEach && attempts.wait("b", start) == 0)
    #expect(attempts.wait("a", start + .seconds(FailedAttempts.secondsEach)) == 0)
    attempts.fail("a", start + .seconds(FailedAttempts.secondsEach))
    #expect(attempts.wait("a", start + .seconds(FailedAttempts.secondsEach)) > 0)
    for number in 0..<(2 * FailedAttempts.most) { attempts.fail("x\(number)", start + .seconds(number)) }
    #expect(attempts.wait("a", start + .seconds(20_000)) == 0)
    #expect(FailedAttempts.name("2001:db8:1:2:3:4:5:6") == FailedAttempts.name("2001:db8:1:2::9"))
    #expect(FailedAttempts.name("10.0.0.1") != FailedAttempts.name("10.0.0.2"))
  }

  @Test func limitsAreKept() async throws {
    try await TestServer.run { server in
      let quick = try server.storage.createKey(name: "quick", scopes: ["chat"], requestsPerMinute: 2).secret
      var statuses: [Int] = []
      for _ in 0..<3 {
        statuses.append(try await server.client.get("/v1/models", ["Authorization": "Bearer \(quick)"]).status)
      }
      #expect(statuses == [200, 200, 429])
      let small = try server.storage.createKey(name: "small", scopes: ["chat"], tokensPerDay: 30).secret
      let body: JSON = [
        "model": .string(server.model), "messages": TestServer.question("Hello"), "max_tokens": 20, "temperature": 0,
        "logit_bias": ["2": -100, "0": -100],
      ]
      let first = try await server.client.post("/v1/chat/completions", body, ["Authorization": "Bearer \(small)"])
      #expect(first.status == 200)
      let second = try await server.client.post("/v1/chat/completions", body, ["Authorization": "Bearer \(small)"])
      #expect(second.status == 429 && second.json["error"]?["code"] == "insufficient_quota", "\(second.text)")
      #expect(Int(second.headers["retry-after"] ?? "") != nil)
    }
  }

  @Test func nobodySeesTheFilesOfOthers() async throws {
    try await TestServer.run { server in
      let (mine, theirs) = (
        try server.storage.createKey(name: "mine", scopes: ["train"]).secret,
        try server.storage.createKey(name: "theirs", scopes: ["train"]).secret
      )
      let line = #"{"prompt": "what is it?", "completion": "a jar"}"#
      let form = [
        "--x", #"Content-Disposition: form-data; name="purpose""#, "", "fine-tune", "--x",
        #"Content-Disposition: form-data; name="file"; filename="jars.jsonl""#, "", line, "--x--", "",
      ].joined(separator: "\r\n")
      func send(_ method: String, _ path: String, _ key: String, _ body: String = "") async throws -> HTTPClient.Reply {
        try await server.client.send(
          method, path, headers: ["Authorization": "Bearer \(key)", "Content-Type": "multipart/form-data; boundary=x"],
          body: Array(body.utf8))
      }
      let made = try await send("POST", "/v1/files", mine, form)
      #expect(made.status == 200, "\(made.text)")
      let path = "/v1/files/" + (made.json["id"]?.text ?? "")
      for (method, path) in [("GET", path), ("GET", path + "/content"), ("DELETE", path)] {
        #expect(try await send(method, path, theirs).status == 404, "\(method) \(path)")
      }
      #expect(try await send("GET", "/v1/files", theirs).json["data"]?.elements?.isEmpty == true)
      #expect(try await send("GET", path + "/content", mine).text == line)
      let bad = try await send("POST", "/v1/files", mine, form.replacing(line, with: #"{"prompt": 1}"#))
      #expect(bad.status == 400)
      let message = bad.json["error"]?["message"]?.text ?? ""
      #expect(message.hasPrefix("jars.jsonl:1"), "\(message)")
      for broken in ["--x", "--x\r\n", "--x\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n", "--y--"] {
        #expect(try await send("POST", "/v1/files", mine, broken).status == 400)
      }
    }
  }

  @Test func pagesOfOthersAndNamesOfOthersAreRefused() async throws {
    try await TestServer.run {
      $0.allowedOrigins = ["https://app.example"]
    } _: { server in
      func status(_ headers: [String: String], _ method: String = "GET") async throws -> Int {
        try await server.client.send(method, "/v1/models", headers: headers).status
      }
      #expect(try await status(["Host": "evil.example"]) == 403)
      #expect(try await status(["Host": "127.0.0.1.evil.example:80"]) == 403)
      #expect(try await status(["Host": "localhost:1"]) == 200)
      #expect(try await status(["Host": "[::1]:1"]) == 200)
      for wrong in ["localhost:1@evil.example", "localhost:evil.example", "[::1]x", "[::1].evil.example", "localhost."]
      {
        #expect(try await status(["Host": wrong]) == 403, "\(wrong)")
      }
      let twice = "GET /v1/models HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
      let reply = try HTTPClient.reply(try await server.client.exchange(Array(twice.utf8)))
      #expect(reply.status == 400 && reply.json["error"]?["code"] == "invalid_host")
      #expect(try await status(["Origin": "http://evil.example"]) == 403)
      #expect(try await status(["Origin": "null"]) == 403)
      #expect(try await status(["Origin": "https://app.example"]) == 200)
      #expect(try await status(["Origin": "https://app.example"], "OPTIONS") == 204)
      #expect(try await status(["Origin": "https://evil.example"], "OPTIONS") == 403)
      let allowed = try await server.client.get("/v1/models", ["Origin": "https://app.example"])
      #expect(allowed.headers["access-control-allow-origin"] == "https://app.example")
      #expect(allowed.headers["access-control-allow-credentials"] == nil)
    }
  }

  @Test func onlyLoopbackIsOpenWithoutAKey() throws {
    let home = FileManager.default.temporaryDirectory.appending(path: "hearth-home-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: home) }
    let storage = try Storage(home: home)
    func isOpen(_ host: String, _ change: (inout ServerSettings) throws -> Void = { _ in }) throws -> Bool {
      var settings = ServerSettings()
      settings.host = host
      try change(&settings)
      return try AccessControl(storage, settings).isOpen()
    }
    let tokens = try OpenIDSettings(issuer: "https://login.example.org", audience: "hearth", keys: .discovery)
    #expect(try isOpen("127.0.0.1"))
    #expect(try !isOpen("127.0.0.1") { $0.openID = tokens })
    #expect(try !isOpen("0.0.0.0"))
    #expect(try isOpen("0.0.0.0") { $0.allowsExposure = true })
    #expect(try !isOpen("0.0.0.0") { ($0.allowsExposure, $0.openID) = (true, tokens) })
    _ = try storage.createKey(name: "a", scopes: ["chat"])
    #expect(try !isOpen("127.0.0.1"))
    #expect(try isOpen("127.0.0.1") { $0.isOpenOnLoopback = true })
    // What is said of loopback holds for loopback, and what lets others in without encryption does not take keys away.
    #expect(try !isOpen("0.0.0.0") { $0.isOpenOnLoopback = true })
    #expect(try !isOpen("0.0.0.0") { $0.allowsExposure = true })
    #expect(try isOpen("0.0.0.0") { ($0.allowsExposure, $0.isOpenOnLoopback) = (true, true) })
  }

  @Test func anAddressForOthersWantsKeysAndEncryption() throws {
    let home = FileManager.default.temporaryDirectory.appending(path: "hearth-home-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: home) }
    var settings = ServerSettings()
    settings.store = ModelStore(home: home)
    settings.host = "0.0.0.0"
    #expect(throws: ServerError.self) { _ = try HearthServer(settings) }
    _ = try Storage(home: home).createKey(name: "a", scopes: ["chat"])
    #expect(throws: ServerError.self) { _ = try HearthServer(settings) }
    settings.encryption = .selfSigned
    _ = try HearthServer(settings)
    settings.encryption = .none
    settings.allowsExposure = true
    _ = try HearthServer(settings)
  }
}
