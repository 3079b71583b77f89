import Chat
import Crypto
import Foundation
import TestSupport
import Testing

@testable import Server

/// What PyJWT signed, and what its own forgeries look like: Scripts/fixtures/tokens.py.
private struct TokenFixture {
  struct Case {
    let name: String
    let token: String
    let expected: String
    let scopes: [String]?
  }

  let now: Date
  let settings: OpenIDSettings
  let keys: JSONWebKeySet
  let cases: [Case]

  init() throws {
    let document = try JSON(parsing: Array(try Data(contentsOf: URL(filePath: Fixtures.path("tokens.json")))))
    now = Date(timeIntervalSince1970: try #require(document["now"]?.number))
    settings = try OpenIDSettings(
      issuer: try #require(document["issuer"]?.text), audience: try #require(document["audience"]?.text),
      keys: .file("unused"))
    keys = try JSONWebKeySet(try #require(document["keys"]).bytes)
    cases = try #require(document["tokens"]?.elements).map {
      Case(
        name: $0["name"]?.text ?? "", token: $0["token"]?.text ?? "", expected: $0["expected"]?.text ?? "",
        scopes: $0["scopes"]?.elements?.compactMap(\.text))
    }
  }

  func verdict(_ token: String, _ settings: OpenIDSettings? = nil, now: Date? = nil) -> Result<Principal, TokenError> {
    do throws(TokenError) {
      return .success(
        try TokenVerifier(settings: settings ?? self.settings).principal(
          try JSONWebToken(token), keys, now: now ?? self.now))
    } catch { return .failure(error) }
  }
}

/// Signs tokens as an issuer does.
struct TestIssuer {
  let key = P256.Signing.PrivateKey()
  let id: String
  let settings: OpenIDSettings

  init(id: String = "k1", keys: OpenIDSettings.Keys) throws {
    self.id = id
    settings = try OpenIDSettings(issuer: "https://login.example.org", audience: "hearth", keys: keys)
  }

  var keySet: JSON {
    let raw = key.publicKey.rawRepresentation
    return [
      "keys": [
        [
          "kty": "EC", "crv": "P-256", "kid": .string(id), "alg": "ES256",
          "x": .string(Base64URL.encode(raw.prefix(32))), "y": .string(Base64URL.encode(raw.suffix(32))),
        ]
      ]
    ]
  }

  func token(_ subject: String, scope: String = "chat", secondsLeft: Int = 600) throws -> String {
    let head: JSON = ["alg": "ES256", "typ": "JWT", "kid": .string(id)]
    let body: JSON = [
      "iss": .string(settings.issuer), "aud": .string(settings.audience), "sub": .string(subject),
      "exp": .integer(Clock.seconds + secondsLeft), "scope": .string(scope),
    ]
    let message = Base64URL.encode(Data(head.bytes)) + "." + Base64URL.encode(Data(body.bytes))
    let signature = try key.signature(for: Data(message.utf8)).rawRepresentation
    return message + "." + Base64URL.encode(signature)
  }
}

@Suite struct TokenTests {
  @Test func tokensOfPyJWTAreJudgedRightly() throws {
    let fixture = try TokenFixture()
    #expect(fixture.cases.count > 40 && fixture.keys.keys.count == 3 && fixture.keys.unusable.count == 2)
    for found in fixture.cases {
      switch fixture.verdict(found.token) {
      case .success(let principal):
        #expect(found.expected == "ok", "\(found.name) is let in")
        #expect(principal.scopes.map(\.rawValue).sorted() == found.scopes?.sorted(), "\(found.name)")
        #expect(principal.name == "alice" && principal.id == "oidc:alice \(fixture.settings.issuer)", "\(found.name)")
      case .failure(let error):
        #expect(found.expected.split(separator: "|").contains { $0 == error.kind.rawValue }, "\(found.name): \(error)")
      }
    }
  }

  @Test func everyBitOfATokenCounts() throws {
    let fixture = try TokenFixture()
    for name in ["RSA", "EC", "Ed25519"] {
      let token = Array(try #require(fixture.cases.first { $0.name == name }).token.utf8)
      for place in token.indices {
        var changed = token
        changed[place] ^= 1
        #expect(throws: TokenError.self, "\(name), byte \(place)") {
          try fixture.verdict(String(decoding: changed, as: UTF8.self)).get()
        }
      }
      for count in stride(from: 0, to: token.count, by: 7) {
        #expect(throws: TokenError.self) {
          try fixture.verdict(String(decoding: token.prefix(count), as: UTF8.self)).get()
        }
      }
    }
  }

  @Test func timesHaveALittleLeeway() throws {
    let fixture = try TokenFixture()
    let token = try #require(fixture.cases.first { $0.name == "RSA" }).token
    for (seconds, isValid) in [(-91, false), (-89, true), (0, true), (629, true), (631, false), (1_000_000, false)] {
      let verdict = fixture.verdict(token, now: fixture.now + TimeInterval(seconds))
      #expect(((try? verdict.get()) != nil) == isValid, "\(seconds) seconds later: \(verdict)")
    }
  }

  @Test func claimsAreMappedToScopes() throws {
    var settings = try OpenIDSettings(issuer: "https://a.example", audience: "b", keys: .discovery)
    #expect(settings.scopes(["scope": "chat hearth:embed openid"]) == [.chat, .embed])
    settings.scopeClaim = "realm_access.roles"
    #expect(settings.scopes(["realm_access": ["roles": ["train"]], "scope": "admin"]) == [.train])
    settings.scopeClaim = "https://a.example/roles"
    try settings.map("staff=chat,embed")
    try settings.map("admins=admin")
    // With a map, words are what it says and nothing else.
    #expect(settings.scopes(["https://a.example/roles": ["staff", "metrics", "admin"]]) == [.chat, .embed])
    #expect(settings.scopes(["https://a.example/roles": 7]).isEmpty)
    #expect(throws: ServerError.self) { try settings.limit(to: []) }
    try settings.limit(to: ["m"])
    #expect(settings.models == ["m"])
    for wrong in ["", "staff", "=chat", "staff=", "staff=fly"] {
      #expect(throws: ServerError.self) { try settings.map(wrong) }
    }
    #expect(throws: ServerError.self) {
      _ = try OpenIDSettings(issuer: "http://login.example.org", audience: "b", keys: .discovery)
    }
    _ = try OpenIDSettings(issuer: "http://127.0.0.1:8080", audience: "b", keys: .discovery)
  }

  @Test(arguments: [
    "", "[]", "{}", #"{"keys": []}"#, #"{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}"#,
    #"{"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]}"#,
    #"{"keys": [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}]}"#,
    #"{"keys": [{"kty": "EC", "crv": "P-256", "x": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "y": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]}"#,
    #"{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "AA"}]}"#, #"{"keys": [{"kty": 1}]}"#, #"{"keys": [7]}"#,
  ]) func keySetsWithoutAKeyAreRefused(_ text: String) {
    #expect(throws: JSONWebKeySet.Unreadable.self) { _ = try JSONWebKeySet(Array(text.utf8)) }
  }

  @Test func tokensOpenWhatTheirScopesSay() async throws {
    let file = FileManager.default.temporaryDirectory.appending(path: "keys-\(UUID()).json")
    defer { try? FileManager.default.removeItem(at: file) }
    let issuer = try TestIssuer(keys: .file(file.path))
    try Data(issuer.keySet.bytes).write(to: file)
    try await TestServer.run {
      $0.openID = issuer.settings
      $0.openID?.requestsPerMinute = 5
      $0.limits.failedKeys = 10_000
    } _: { server in
      func status(_ token: String, _ path: String = "/v1/models") async throws -> Int {
        try await server.client.get(path, ["Authorization": "Bearer \(token)"]).status
      }
      // No key is made, and still nobody comes in without one: there are tokens.
      #expect(try await server.client.get("/v1/models").status == 401)
      #expect(try await status(try issuer.token("alice")) == 200)
      #expect(try await status(try issuer.token("alice"), "/metrics") == 403)
      #expect(try await status(try issuer.token("alice", scope: "")) == 403)
      #expect(try await status(try issuer.token("alice", scope: "metrics"), "/metrics") == 200)
      let late = try await server.client.get(
        "/v1/models", ["Authorization": "Bearer \(try issuer.token("alice", secondsLeft: -100))"])
      #expect(late.status == 401 && late.json["error"]?["code"] == "token_expired", "\(late.text)")
      let forged = try TestIssuer(keys: issuer.settings.keys).token("alice")
      #expect(try await status(forged) == 401)
      // Keys go on as ever.
      let key = try server.storage.createKey(name: "a", scopes: ["chat"]).secret
      #expect(try await status(key) == 200)
      // Each subject has its own minute.
      var statuses: [Int] = []
      for _ in 0..<3 { statuses.append(try await status(try issuer.token("alice"))) }
      #expect(statuses.contains(429))
      #expect(try await status(try issuer.token("bob")) == 200)
    }
  }

  @Test func aFileOfKeysIsReadAgainAndFailsClosed() async throws {
    let file = FileManager.default.temporaryDirectory.appending(path: "keys-\(UUID()).json")
    defer { try? FileManager.default.removeItem(at: file) }
    let (first, second) = (try TestIssuer(keys: .file(file.path)), try TestIssuer(id: "k2", keys: .file(file.path)))
    #expect(throws: ServerError.self) { _ = try SigningKeys(first.settings) }
    func write(_ text: JSON, _ time: Double) throws {
      try Data(text.bytes).write(to: file)
      try FileManager.default.setAttributes(
        [.modificationDate: Date(timeIntervalSince1970: time)], ofItemAtPath: file.path)
    }
    try write(first.keySet, 1_000_000)
    let keys = try SigningKeys(first.settings)
    #expect(try keys.current().has("k1"))
    try write(second.keySet, 1_000_001)
    #expect(try keys.current().has("k2"))
    #expect(try !keys.current().has("k1"))
    try write("nonsense", 1_000_002)
    #expect(throws: APIError.self) { _ = try keys.current() }
    try FileManager.default.removeItem(at: file)
    #expect(throws: APIError.self) { _ = try keys.current() }
    try write(first.keySet, 1_000_003)
    #expect(try keys.current().has("k1"))
    // Private keys do not belong there.
    try write(
      ["keys": [["kty": "OKP", "crv": "Ed25519", "x": "AA", "d": "AA"], first.keySet["keys"]?[0] ?? .null]], 1_000_004)
    #expect(throws: ServerError.self) { _ = try SigningKeys(first.settings) }
  }

  @Test func anIssuerIsAskedAgain() async throws {
    let site = try TestSite()
    let first = try TestIssuer(keys: .discovery)
    let settings = try OpenIDSettings(issuer: site.address, audience: "hearth", keys: .discovery)
    site.documents = [
      "/.well-known/openid-configuration": [
        "issuer": .string(site.address), "jwks_uri": .string(site.address + "/keys"),
      ],
      "/keys": first.keySet,
    ]
    let keys = try SigningKeys(settings, .init(renewal: 0, pause: 0, expiry: 86_400, patience: 600))
    #expect(try keys.current().has("k1") && keys.isDue)
    let second = try TestIssuer(id: "k2", keys: .discovery)
    site.documents["/keys"] = second.keySet
    #expect(try !keys.current().has("k2"))
    await withTaskGroup { group in for _ in 0..<8 { group.addTask { await keys.renew() } } }
    #expect(try keys.current().has("k2"))
    // While it says nonsense, what was known stays; not for ever.
    site.documents["/keys"] = ["keys": []]
    await keys.renew()
    #expect(try keys.current().has("k2") && keys.failure != nil)
    let impatient = try { () throws(ServerError) in
      site.documents["/keys"] = second.keySet
      return try SigningKeys(settings, .init(renewal: 0, pause: 3600, expiry: 0, patience: 600))
    }()
    #expect(throws: APIError.self) { _ = try impatient.current() }
    // One issuer does not speak for another.
    site.documents["/.well-known/openid-configuration"] = [
      "issuer": "https://other.example.org", "jwks_uri": .string(site.address + "/keys"),
    ]
    #expect(throws: ServerError.self) { _ = try SigningKeys(settings) }
    site.documents["/.well-known/openid-configuration"] = [
      "issuer": .string(site.address), "jwks_uri": "http://keys.example.org/keys",
    ]
    #expect(throws: ServerError.self) { _ = try SigningKeys(settings) }
  }
}
