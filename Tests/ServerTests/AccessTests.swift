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
      #expect(endpoints.filter { $0.access == .open }.map(\.path) == ["/", "/health", "/ready"])
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
      let began = ContinuousClock.now
      for number in 0..<8 { statuses.append(try await reply("hearth_\(number)").status) }
      // What a busy machine gives back by taking its time.
      let regained = Int((ContinuousClock.now - began).seconds / FailedAttempts.secondsEach)
      #expect((5...5 + regained).contains(statuses.count { $0 == 401 }) && statuses.prefix(5).allSatisfy { $0 == 401 })
      #expect(statuses.allSatisfy { $0 == 401 || $0 == 429 }, "\(statuses)")
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

  @Test func partsOfAPathMayBePercentEncoded() async throws {
    try await TestServer.run { server in
      // The tests' model goes by a path.
      for name in [server.model.replacing("/", with: "%2F"), server.model.replacing("/", with: "%2f")] {
        let entry = try await server.client.get("/v1/models/" + name).json
        #expect(entry["id"]?.text == server.model)
      }
      for broken in ["%", "%zz", "%ff", "a%00b"] {
        let reply = try await server.client.get("/v1/models/" + broken)
        #expect(reply.status == 404, "\(broken)")
      }
    }
  }

  @Test func filesStayWhileAJobNeedsThem() async throws {
    try await TestServer.run { server in
      func job(_ id: String, _ training: String, _ validation: String?, _ status: JobRecord.Status) -> JobRecord {
        JobRecord(
          id: id, owner: Principal.local.id, model: "m", modelPath: "/m", tunedName: "t", trainingFile: training,
          validationFile: validation, epochs: nil, batchSize: nil, learningRateMultiplier: nil, seed: 0, created: 0,
          status: status)
      }
      for name in ["a", "b", "c"] {
        try server.storage.add(
          FileRecord(
            id: "file-" + name, owner: Principal.local.id, name: name, purpose: "fine-tune", bytes: 0, created: 0))
      }
      try server.storage.add(job("ftjob-1", "file-a", "file-b", .running))
      try server.storage.add(job("ftjob-2", "file-c", nil, .succeeded))
      for (file, status) in [("file-a", 400), ("file-b", 400), ("file-c", 200)] {
        let reply = try await server.client.send("DELETE", "/v1/files/" + file)
        #expect(reply.status == status, "\(reply.text)")
        if status == 400 { #expect(reply.json["error"]?["code"] == "file_in_use" && reply.text.contains("ftjob-1")) }
        #expect(try await server.client.get("/v1/files/" + file).status == (status == 400 ? 200 : 404))
      }
      try server.storage.update(job("ftjob-1", "file-a", "file-b", .cancelled))
      #expect(try await server.client.send("DELETE", "/v1/files/file-a").status == 200)
    }
  }

  @Test func serversOverOneFileCountTogether() throws {
    let home = FileManager.default.temporaryDirectory.appending(path: "hearth-home-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: home) }
    let storage = try Storage(home: home)
    let (first, second) = (AccessControl(storage, ServerSettings()), AccessControl(storage, ServerSettings()))
    let principal = Principal(id: "key-a", name: "a", scopes: [.chat], tokensPerDay: 30)
    for access in [first, second] {
      try access.requireTokens(principal)
      access.charge(principal, model: "m", promptTokens: 15, completionTokens: 5)
      try access.requireTokens(principal)
    }
    for access in [first, second, first] { try access.flush() }
    #expect(throws: APIError.self) { try first.requireTokens(principal) }
    #expect(throws: APIError.self) { try second.requireTokens(principal) }
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

  @Test func aPathSaysWhichMethodsItHas() async throws {
    try await TestServer.run { server in
      for (method, path, allowed) in [
        ("PUT", "/v1/models", "GET, HEAD"), ("GET", "/v1/messages", "POST"), ("HEAD", "/v1/messages", "POST"),
        ("DELETE", "/v1/chat/completions", "GET, HEAD, POST"), ("OPTIONS", "/health", "GET, HEAD"),
        ("POST", "/", "GET, HEAD"),
        ("PATCH", "/v1/files/file-x", "GET, HEAD, DELETE"),
      ] {
        let reply = try await server.client.send(method, path)
        #expect(reply.status == 405 && reply.headers["allow"] == allowed, "\(method) \(path): \(reply)")
      }
      for path in ["/", "/health", "/ready", "/v1/models"] {
        let (head, whole) = (try await server.client.send("HEAD", path), try await server.client.get(path))
        #expect(head.status == 200 && head.body.isEmpty, "\(path)")
        #expect(head.headers["content-length"] == whole.headers["content-length"], "\(path)")
      }
      // Without a key nobody hears which paths there are.
      _ = try server.storage.createKey(name: "a", scopes: ["embed"])
      #expect(try await server.client.send("PUT", "/v1/models").status == 401)
      #expect(try await server.client.send("HEAD", "/v1/models").status == 401)
      #expect(try await server.client.send("HEAD", "/health").status == 200)
    }
  }

  @Test func whoeverLooksWhetherItRunsIsToldSo() async throws {
    try await TestServer.run { _ in
    } prepare: {
      _ = try $0.createKey(name: "a", scopes: ["chat"])
    } _: { server in
      for headers in [[:], ["Authorization": "Bearer hearth_wrong"]] {
        let reply = try await server.client.get("/", headers)
        #expect(reply.status == 200 && reply.text == "Hearth is running", "\(reply)")
        #expect(reply.headers["content-type"] == "text/plain; charset=utf-8")
        let head = try await server.client.send("HEAD", "/", headers: headers)
        #expect(head.status == 200 && head.body.isEmpty)
      }
      #expect(try await server.client.get("/", ["Host": "evil.example"]).status == 403)
    }
  }

  @Test func unknownParametersOfAnAddressAreRefused() async throws {
    try await TestServer.run { server in
      for path in ["/v1/models?limt=1", "/v1/files?lmit=1", "/v1/fine_tuning/jobs?metadata[a]=b", "/api/tags?x="] {
        let reply = try await server.client.get(path)
        #expect(reply.status == 400 && reply.text.contains("unknown parameter"), "\(path): \(reply.text)")
      }
      for path in ["/v1/models", "/v1/files?limit=1&order=asc&purpose=fine-tune", "/health?time=1", "/ready?x"] {
        #expect(try await server.client.get(path).status == 200, "\(path)")
      }
      // Anthropic's client says so with what it calls beta.
      #expect(
        try await server.client.post("/v1/messages/count_tokens?beta=true", [:]).text.contains("model is missing"))
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
      // Lists come in parts for those who want that.
      let other = try await send("POST", "/v1/files", mine, form)
      let ids = [made, other].compactMap { $0.json["id"]?.text }
      func list(_ query: String) async throws -> (ids: [String], hasMore: JSON?) {
        let reply = try await send("GET", "/v1/files?" + query, mine).json
        return (reply["data"]?.elements?.compactMap { $0["id"]?.text } ?? [], reply["has_more"])
      }
      let all = try await list("")
      #expect(Set(all.ids) == Set(ids) && all.hasMore == false)
      #expect(try await list("limit=1") == (Array(all.ids.prefix(1)), true))
      #expect(try await list("limit=1&after=\(all.ids[0])") == (Array(all.ids.suffix(1)), false))
      #expect(try await list("order=asc").ids == all.ids.reversed())
      #expect(try await list("purpose=batch").ids.isEmpty)
      #expect(try await send("GET", "/v1/files?after=file-x", mine).status == 400)
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
      let flight = try await server.client.send(
        "OPTIONS", "/v1/chat/completions",
        headers: [
          "Origin": "https://app.example",
          "Access-Control-Request-Headers": "Authorization,X-Stainless-OS,anthropic-beta,cookie,x-stainless-\u{FF}",
        ])
      #expect(
        flight.headers["access-control-allow-headers"]
          == "authorization, content-type, x-api-key, anthropic-version, x-stainless-os, anthropic-beta")
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

  @Test func aTargetWithANameIsJudgedByIt() async throws {
    try await TestServer.run { server in
      func reply(_ target: String, host: String = "localhost", _ more: String = "") async throws -> HTTPClient.Reply {
        let text = "GET \(target) HTTP/1.1\r\nHost: \(host)\r\nConnection: close\r\n\(more)\r\n"
        return try HTTPClient.reply(try await server.client.exchange(Array(text.utf8)))
      }
      let port = server.client.port
      for target in ["http://localhost/v1/models", "http://127.0.0.1:\(port)/v1/models", "HTTP://[::1]:1/v1/models"] {
        #expect(try await reply(target).status == 200, "\(target)")
      }
      for target in [
        "http://evil.example/v1/models", "https://evil.example:80/v1/models", "http://127.0.0.1@evil.example/v1/models",
        "http://evil.example?x=/v1/models", "http://localhost.evil.example/", "x://evil.example/health",
      ] {
        let refused = try await reply(target)
        // Some of these the reader of bytes takes for no target at all.
        #expect([400, 403].contains(refused.status), "\(target): \(refused)")
      }
      let refused = try await reply("http://evil.example/v1/models")
      #expect(refused.status == 403 && refused.json["error"]?["code"] == "unknown_host")
      // Host does not count then, but two of them are two.
      #expect(try await reply("http://localhost/v1/models", host: "evil.example").status == 200)
      let twice = try await reply("http://localhost/v1/models", "Host: localhost\r\n")
      #expect(twice.status == 400 && twice.json["error"]?["code"] == "invalid_host")
      // Whether a page is one of this server's is asked of the same name.
      #expect(
        try await reply("http://127.0.0.1/v1/models", host: "localhost", "Origin: http://localhost\r\n").status == 403)
    }
    for path in ["/v1/http://evil.example/", "//evil.example/x", "*", "/"] {
      #expect(TargetNames.name(of: path) == nil, "\(path)")
    }
    for (target, name) in [
      ("http:///x", ""), ("http://a:1#b/x", "a:1"), ("http://a@b/", "a@b"), ("evil.example:80", "evil.example:80"),
      ("x:/health", "x:/health"), ("http://a", "a"),
    ] {
      #expect(TargetNames.name(of: target) == name, "\(target)")
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
