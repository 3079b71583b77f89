import Chat
import Engine
import Foundation
import Testing

@testable import Server

@Suite struct CompletionsTests {
  @Test func scoresAPromptAsHearthScoreDoes() async throws {
    try await TestServer.run { server in
      let text = "The quick brown fox jumps over the lazy dog"
      let reply = try await server.client.post(
        "/v1/completions",
        ["model": .string(server.model), "prompt": .string(text), "max_tokens": 0, "echo": true, "logprobs": 2])
      #expect(reply.status == 200)
      let model = try ChatModel.open(path: server.model, pool: WorkerPool(threadCount: 1))
      let score = try Scorer(model).score(model.prompt(raw: text))
      let choice = try #require(reply.json["choices"]?[0])
      #expect(choice["text"]?.text == text)
      let found = try #require(choice["logprobs"]?["token_logprobs"]?.elements)
      #expect(found.count == score.logprobs.count && found[0] == .null)
      for (found, expected) in zip(found, score.logprobs) {
        if let expected { #expect(abs((found.number ?? .nan) - expected) < 0.01) }
      }
      let tokens = choice["logprobs"]?["tokens"]?.elements?.compactMap(\.text) ?? []
      #expect(tokens.joined() == text)
      let offsets = choice["logprobs"]?["text_offset"]?.elements?.compactMap(\.number) ?? []
      #expect(offsets == tokens.indices.map { Double(tokens[..<$0].joined().count) })
    }
  }

  @Test func tokensOfACharacterBeginWhereItDoes() async throws {
    try await TestServer.run { server in
      func ask(_ prompt: String, _ most: Int, streams: Bool = false) async throws -> HTTPClient.Reply {
        try await server.client.post(
          "/v1/completions",
          [
            "model": .string(server.model), "prompt": .string(prompt), "max_tokens": .integer(most), "echo": true,
            "logprobs": 0, "temperature": 1, "seed": 3, "stream": .bool(streams),
          ])
      }
      func offsets(_ choice: JSON?) -> [Int] {
        choice?["logprobs"]?["text_offset"]?.elements?.compactMap { $0.number.map { Int($0) } } ?? []
      }
      // Of two bytes each: no token of this vocabulary holds a whole one of these.
      let text = "©¨a"
      let echoed = try #require(try await ask(text, 0).json["choices"]?[0])
      #expect(echoed["text"]?.text == text)
      #expect(offsets(echoed) == [0, 0, 1, 1, 2])
      // Half a character stands for itself, and what follows it begins behind.
      let ids =
        try await server.client.post(
          "/tokenize", ["model": .string(server.model), "prompt": .string(text)]
        ).json["tokens"]?.elements ?? []
      let halves = try await server.client.post(
        "/v1/completions",
        [
          "model": .string(server.model), "prompt": .array([ids[0], ids[4], ids[2], ids[3], ids[4]]), "max_tokens": 0,
          "echo": true, "logprobs": 0,
        ])
      #expect(halves.json["choices"]?[0]?["text"]?.text == "\u{FFFD}a¨a")
      #expect(offsets(halves.json["choices"]?[0]) == [0, 1, 2, 2, 3])
      // A stream says of each token what the whole answer says.
      let whole = try #require(try await ask("©", 40).json["choices"]?[0])
      let pieces = try await ask("©", 40, streams: true).events.compactMap { $0["choices"]?[0] }
      #expect(pieces.flatMap(offsets) == offsets(whole))
      #expect(offsets(whole).last ?? .max <= whole["text"]?.text?.unicodeScalars.count ?? 0)
    }
  }

  @Test func answersSeveralPromptsEachAsIfAlone() async throws {
    try await TestServer.run { server in
      func ask(_ prompt: JSON) async throws -> [String] {
        let reply = try await server.client.post(
          "/v1/completions",
          ["model": .string(server.model), "prompt": prompt, "max_tokens": 8, "seed": 7, "n": 2])
        return reply.json["choices"]?.elements?.compactMap { $0["text"]?.text } ?? []
      }
      let (first, second) = (try await ask("once upon"), try await ask([[40, 41, 42]]))
      #expect(first.count == 2 && second.count == 2)
      #expect(try await ask(["once upon", [40, 41, 42]]) == first + second)
    }
  }

  @Test func tokenizesThereAndBack() async throws {
    try await TestServer.run { server in
      let text = "Hello, world! <|im_end|>"
      let there = try await server.client.post("/tokenize", ["model": .string(server.model), "prompt": .string(text)])
      let tokens = try #require(there.json["tokens"])
      let back = try await server.client.post("/detokenize", ["model": .string(server.model), "tokens": tokens])
      #expect(back.json["prompt"]?.text == text)
      #expect(there.json["count"]?.number == Double(tokens.elements?.count ?? 0))
    }
  }
}
