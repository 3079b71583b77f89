import Chat
import Foundation
import Testing

@testable import Server

/// What is too much is refused before anything is computed, and the server goes on.
@Suite struct LimitTests {
  private func raw(_ server: TestServer, _ text: String) async throws -> String {
    String(decoding: try await server.client.exchange(Array(text.utf8)), as: UTF8.self)
  }

  @Test func headersHaveAnEnd() async throws {
    try await TestServer.run { server in
      let head = "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
      for attack in [
        "X-Long: " + String(repeating: "a", count: 9000) + "\r\n", String(repeating: "X-Many: a\r\n", count: 200),
        String(repeating: "X-Sum: " + String(repeating: "a", count: 4000) + "\r\n", count: 20),
      ] {
        let reply = try await raw(server, head + attack + "\r\n")
        #expect(reply.hasPrefix("HTTP/1.1 400") && reply.contains("headers_too_large"), "\(reply.prefix(200))")
      }
      // Who sends on and on is not kept for the seventy-five seconds that a connection may be idle.
      let began = ContinuousClock.now
      _ = try? await raw(server, head + "X-Long: " + String(repeating: "a", count: 16 << 20))
      #expect(ContinuousClock.now - began < .seconds(60))
      let after = try await server.client.get("/health")
      #expect(after.status == 200)
    }
  }

  @Test func connectionsEndAsTheirClientsExpect() async throws {
    try await TestServer.run { server in
      let body = #"{"model": "\#(server.model)", "prompt": "a", "max_tokens": 3, "temperature": 0, "stream": true}"#
      func request(_ version: String, _ fields: String) -> String {
        "POST /v1/completions HTTP/\(version)\r\nHost: localhost\r\nContent-Type: application/json\r\n\(fields)"
          + "Content-Length: \(body.utf8.count)\r\n\r\n" + body
      }
      // The reader waits for the end, well before that of idle connections; clients of HTTP/1.0 know no chunks.
      let began = ContinuousClock.now
      for fields in ["", "Connection: keep-alive\r\n"] {
        let old = try await raw(server, request("1.0", fields))
        #expect(old.hasPrefix("HTTP/1.0 200") && old.contains("Connection: close\r\n"), "\(old)")
        #expect(!old.lowercased().contains("transfer-encoding") && old.contains("\r\n\r\ndata: {"), "\(old)")
        #expect(old.hasSuffix("data: [DONE]\n\n"), "\(old)")
      }
      for spelling in ["close", "Close", "TE, close", "close, TE"] {
        let reply = try await raw(server, request("1.1", "Connection: \(spelling)\r\n"))
        #expect(reply.hasPrefix("HTTP/1.1 200") && reply.hasSuffix("0\r\n\r\n"), "\(spelling): \(reply)")
        #expect(reply.contains("Connection: close\r\n"), "\(spelling): \(reply)")
      }
      // Each answer in the form of its own request, when several came at once.
      let both = try await raw(server, request("1.1", "") + request("1.0", ""))
      #expect(both.hasPrefix("HTTP/1.1 200") && both.contains("0\r\n\r\nHTTP/1.0 200"), "\(both)")
      #expect(both.hasSuffix("data: [DONE]\n\n"), "\(both)")
      #expect(ContinuousClock.now - began < .seconds(60))
    }
  }

  /// A client that is told to come again does, for ever.
  @Test func whatNeverFindsAPlaceIsNotToComeAgain() async throws {
    try await TestServer.run {
      ($0.engine.laneCount, $0.engine.queueLimit) = (2, 2)
    } _: { server in
      func ask(_ prompts: Int, _ n: Int) async throws -> HTTPClient.Reply {
        try await server.client.post(
          "/v1/completions",
          [
            "model": .string(server.model), "prompt": .array((0..<prompts).map { _ in "a" }), "n": .integer(n),
            "max_tokens": 1,
          ])
      }
      for (prompts, n, parameter) in [(5, 1, "prompt"), (1, 5, "n"), (3, 2, "n")] {
        let reply = try await ask(prompts, n)
        #expect(reply.status == 400 && reply.json["error"]?["param"]?.text == parameter, "\(reply.text)")
        #expect(reply.text.contains("\(prompts * n) answers") && reply.headers["retry-after"] == nil, "\(reply.text)")
      }
      for (prompts, n) in [(4, 1), (1, 4), (2, 2)] {
        let reply = try await ask(prompts, n)
        #expect(reply.status == 200, "\(reply.text)")
      }
    }
  }

  @Test func portsThatAreTakenAreNamed() async throws {
    try await TestServer.run { server in
      var settings = ServerSettings()
      (settings.port, settings.store) = (server.client.port, ModelStore(home: server.home))
      let second = try HearthServer(settings, isQuiet: true)
      let error = await #expect(throws: ServerError.self) { try await second.run([]) }
      #expect(error.map { "\($0)".contains("--port \(server.client.port): something listens there") } == true)
    }
  }

  @Test func bodiesHaveAnEnd() async throws {
    try await TestServer.run {
      $0.limits.bodyBytes = 1000
    } _: { server in
      let declared = try await server.client.send("POST", "/tokenize", body: [UInt8](repeating: 0x20, count: 1001))
      #expect(declared.status == 413 && declared.headers["connection"] == "close")
      let chunk = "400\r\n" + String(repeating: " ", count: 1024) + "\r\n"
      let reply = try await raw(
        server, "POST /tokenize HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk + "0\r\n\r\n"
      )
      #expect(reply.hasPrefix("HTTP/1.1 413"), "\(reply.prefix(60))")
      let coded = try await server.client.send("POST", "/tokenize", headers: ["Content-Encoding": "gzip"], body: [1])
      #expect(coded.status == 415)
      let typed = try await server.client.send("POST", "/tokenize", headers: ["Content-Type": "text/plain"], body: [1])
      #expect(typed.status == 415)
    }
  }

  @Test func whoAsksBeforeSendingABodyIsTold() async throws {
    try await TestServer.run {
      $0.limits.bodyBytes = 1000
    } _: { server in
      let body = #"{"model": "none", "prompt": "a"}"#
      func head(_ length: Int) -> String {
        "POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n"
          + "Connection: close\r\nContent-Length: \(length)\r\n\r\n"
      }
      // Of a client that goes on at once, too, what comes first is the permission.
      let reply = try await raw(server, head(body.utf8.count) + body)
      #expect(reply.hasPrefix("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404"), "\(reply.prefix(60))")
      // A client that waits hears it before it has sent anything of the body.
      let first = try await server.client.exchange(Array(head(body.utf8.count).utf8), goingAfter: 25)
      #expect(String(decoding: first, as: UTF8.self) == "HTTP/1.1 100 Continue\r\n\r\n")
      // What is too long is not asked for.
      #expect(try await raw(server, head(2000)).hasPrefix("HTTP/1.1 413"))
    }
  }

  @Test func whatIsNoRequestIsToldWhy() async throws {
    try await TestServer.run { server in
      for text in [
        "garbage\r\n\r\n", "GET /health HTTP/9.9\r\nHost: localhost\r\n\r\n", "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}",
        "GET /health HTTP/1.1\r\nHost: localhost\r\nno header: x\r\n\r\n",
      ] {
        let reply = try HTTPClient.reply(try await server.client.exchange(Array(text.utf8)))
        #expect(reply.status == 400 && reply.headers["connection"] == "close", "\(text): \(reply)")
        #expect(reply.headers["content-type"] == "application/json" && reply.headers["x-request-id"] != nil)
        let error = reply.json["error"]
        #expect(error?["type"] == "invalid_request_error" && error?["code"] == "invalid_http", "\(text): \(reply.text)")
        #expect(reply.headers["content-length"] == "\(reply.body.count)")
      }
      // What came whole before is answered first, and in its own words.
      let both = try await raw(
        server, "POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}garbage\r\n\r\n")
      let places = ["model is missing", "invalid_http"].map { both.range(of: $0)?.lowerBound }
      #expect(both.components(separatedBy: "HTTP/1.1 400").count == 3, "\(both)")
      if let first = places[0], let second = places[1] { #expect(first < second) } else { Issue.record("\(both)") }
    }
  }

  @Test func dribblersAreCutOff() async throws {
    try await TestServer.run {
      ($0.limits.arrivalSeconds, $0.limits.idleSeconds) = (1, 1)
    } _: { server in
      for start in [
        "POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n{", "GET /health HTTP/1.1\r\nHo", "",
      ] {
        let began = ContinuousClock.now
        _ = try? await server.client.exchange(Array(start.utf8))
        #expect(ContinuousClock.now - began < .seconds(10))
      }
      let after = try await server.client.get("/health")
      #expect(after.status == 200)
    }
  }

  @Test(arguments: [
    "GET / HTTP/1.1\r\n\r\n", "GET /health HTTP/9.9\r\nHost: localhost\r\n\r\n", "\u{0}\u{1}\u{2}\r\n\r\n",
    "POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
    "POST /tokenize HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
  ]) func nonsenseIsRefusedAndTheServerGoesOn(_ text: String) async throws {
    try await TestServer.run {
      $0.limits.idleSeconds = 2
    } _: { server in
      let reply = try await raw(server, text)
      #expect(!reply.hasPrefix("HTTP/1.1 200"))
      let after = try await server.client.get("/health")
      #expect(after.status == 200)
    }
  }
}
