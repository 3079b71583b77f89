import Chat
import Engine
import Foundation
import TestSupport
import Testing
import Tokenizers

@testable import Server

@Suite struct ChatCompletionsTests {
  @Test func answersAsTheCommandLineDoes() async throws {
    try await TestServer.run { server in
      let reply = try await server.chat(["temperature": 0, "max_tokens": 12])
      #expect(reply.status == 200)
      let model = try ChatModel.open(path: server.model, pool: WorkerPool(threadCount: 1))
      let prompt = try model.prompt([ChatMessage(role: "user", content: "Hello there")])
      let answer = try model.answer(prompt, AnswerOptions(sampling: .greedy, maximumTokenCount: 12))
      #expect(reply.json["choices"]?[0]?["message"]?["content"]?.text == answer.text)
      #expect(reply.json["choices"]?[0]?["finish_reason"]?.text == answer.finishReason.rawValue)
      #expect(reply.json["usage"]?["prompt_tokens"]?.number == Double(prompt.count))
      #expect(reply.json["usage"]?["completion_tokens"]?.number == Double(answer.tokens.count))
    }
  }

  @Test func streamsWhatItWouldSayAtOnce() async throws {
    try await TestServer.run { server in
      for seed in [1, 2, 3] {
        let options: KeyValuePairs<String, JSON?> = [
          "seed": .integer(seed), "max_tokens": 24, "n": 2, "logprobs": true,
        ]
        let whole = try await server.chat(options).json
        let streamed = try await server.chat([
          "seed": .integer(seed), "max_tokens": 24, "n": 2, "logprobs": true, "stream": true,
          "stream_options": ["include_usage": true],
        ])
        #expect(streamed.headers["content-type"] == "text/event-stream")
        #expect(streamed.text.hasSuffix("data: [DONE]\n\n"))
        for choice in 0..<2 {
          let deltas = streamed.events.compactMap { $0["choices"]?[0] }.filter { $0["index"]?.number == Double(choice) }
          let text = deltas.compactMap { $0["delta"]?["content"]?.text }.joined()
          #expect(text == whole["choices"]?[choice]?["message"]?["content"]?.text)
          let tokens = deltas.flatMap { $0["logprobs"]?["content"]?.elements ?? [] }
          #expect(tokens == whole["choices"]?[choice]?["logprobs"]?["content"]?.elements)
          #expect(deltas.last?["finish_reason"] == whole["choices"]?[choice]?["finish_reason"])
        }
        #expect(streamed.events.last?["usage"]?["completion_tokens"] == whole["usage"]?["completion_tokens"])
      }
    }
  }

  @Test func anAnswerWithoutALimitEndsWithTheContext() async throws {
    try await TestServer.run { server in
      for isStreaming in [false, true] {
        let reply = try await server.chat([
          "temperature": 0, "logit_bias": ["2": -100, "0": -100], "stream": .bool(isStreaming),
          "stream_options": isStreaming ? ["include_usage": true] : nil,
        ])
        let last = isStreaming ? reply.events.last { $0["choices"]?.elements?.isEmpty == false } : reply.json
        #expect(last?["choices"]?[0]?["finish_reason"] == "length", "\(reply.text)")
        let usage = isStreaming ? reply.events.last?["usage"] : reply.json["usage"]
        let total = Int(usage?["total_tokens"]?.number ?? 0)
        #expect(TinyChatFolder.contextLength...(TinyChatFolder.contextLength + 1) ~= total)
      }
    }
  }

  @Test func neitherTextNorTokensShowAStopString() async throws {
    try await TestServer.run { server in
      let whole = try await server.chat(["temperature": 0, "max_tokens": 40]).json
      let text = try #require(whole["choices"]?[0]?["message"]?["content"]?.text)
      let stop = String(text.dropFirst(5).prefix(3))
      try #require(stop.count == 3)
      let reply = try await server.chat([
        "temperature": 0, "max_tokens": 40, "stop": .string(stop), "stream": true, "logprobs": true,
      ])
      let shown = reply.events.compactMap { $0["choices"]?[0]?["delta"]?["content"]?.text }.joined()
      #expect(shown == String(text[..<(try #require(text.range(of: stop))).lowerBound]))
      let tokens = reply.events.flatMap { $0["choices"]?[0]?["logprobs"]?["content"]?.elements ?? [] }
      let spelled = tokens.compactMap { $0["token"]?.text }.joined()
      #expect(!spelled.contains(stop))
      #expect(reply.events.last?["choices"]?[0]?["finish_reason"] == "stop")
    }
  }

  @Test(arguments: [
    ("temprature", "0.1"), ("tools", "[{}]"), ("n", "0"), ("n", "1000"), ("temperature", "3"), ("top_p", "\"x\""),
    ("stop", "[\"\"]"), ("logit_bias", "{\"x\": 1}"), ("logit_bias", "{\"99999999\": 1}"), ("top_logprobs", "3"),
    ("stream_options", "{\"include_usage\": true}"), ("max_tokens", "0"), ("functions", "[{}]"), ("seed", "1.5"),
    ("response_format", "{\"type\": \"xml\"}"), ("messages", "[]"), ("model", "\"nobody\""),
  ]) func refusesWhatItDoesNotDo(_ name: String, _ value: String) async throws {
    try await TestServer.run { server in
      var members: [JSONElement.Member] = []
      if name != "model" { members.append(.init(key: "model", value: .string(server.model))) }
      if name != "messages" { members.append(.init(key: "messages", value: TestServer.question("x"))) }
      members.append(.init(key: name, value: try JSON(parsing: Array(value.utf8))))
      let reply = try await server.client.post("/v1/chat/completions", .object(members))
      #expect(reply.status == (name == "model" ? 404 : 400))
      let error = try #require(reply.json["error"])
      let (parameter, message): (String, String) = (error["param"]?.text ?? "", error["message"]?.text ?? "")
      #expect(parameter.hasPrefix(name) || message.contains(name), "\(reply.text)")
      #expect(error.keys == ["message", "type", "param", "code"])
    }
  }

  @Test func anOverlongPromptIsRefusedWithBothNumbers() async throws {
    try await TestServer.run { server in
      let reply = try await server.chat(["messages": TestServer.question(String(repeating: "word ", count: 200))])
      #expect(reply.status == 400)
      let message = try #require(reply.json["error"]?["message"]?.text)
      #expect(message.contains("128") && reply.json["error"]?["code"] == "context_length_exceeded", "\(message)")
    }
  }

  @Test(arguments: ["{", "[]", "{\"model\": 1, \"model\": 2}", "\u{FF}", String(repeating: "[", count: 100)])
  func refusesWhatIsNoRequest(_ body: String) async throws {
    try await TestServer.run { server in
      let reply = try await server.client.send("POST", "/v1/chat/completions", body: Array(body.utf8))
      #expect(reply.status == 400)
      let message = reply.json["error"]?["message"]?.text ?? ""
      #expect(!message.isEmpty)
    }
  }

  @Test func aGoneClientFreesItsPlace() async throws {
    try await TestServer.run { server in
      let body: JSON = [
        "model": .string(server.model), "messages": TestServer.question("x"), "stream": true, "temperature": 0,
        "logit_bias": ["2": -100, "0": -100],
      ]
      for _ in 0..<20 {
        let head =
          "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: \(body.bytes.count)\r\n\r\n"
        _ = try await server.client.exchange(Array(head.utf8) + body.bytes, goingAfter: 1)
      }
      let deadline = ContinuousClock.now + .seconds(5)
      var running = "?"
      while ContinuousClock.now < deadline {
        let text = try await server.client.get("/metrics").text
        running = text.split(separator: "\n").first { $0.hasPrefix("hearth_requests_running") }.map(String.init) ?? "?"
        if running == "hearth_requests_running 0" { break }
      }
      #expect(running == "hearth_requests_running 0")
    }
  }
}
