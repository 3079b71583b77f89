import Foundation
import Testing

@testable import Chat
@testable import Server

/// The other APIs, in their own words.
@Suite struct DialectTests {
  @Test func embeddingsAreUnitVectorsInBothEncodings() async throws {
    try await TestServer.run { server in
      let body: JSON = ["model": .string(server.model), "input": ["hello there", [40, 41]]]
      let reply = try await server.client.post("/v1/embeddings", body)
      #expect(reply.status == 200)
      let vector = reply.json["data"]?[0]?["embedding"]?.elements?.compactMap(\.number) ?? []
      #expect(vector.count == 32)
      #expect(abs(vector.reduce(0) { $0 + $1 * $1 } - 1) < 1e-5)
      let encoded = try await server.client.post(
        "/v1/embeddings", ["model": .string(server.model), "input": "hello there", "encoding_format": "base64"])
      let bytes = Data(base64Encoded: encoded.json["data"]?[0]?["embedding"]?.text ?? "") ?? Data()
      let floats = bytes.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
      #expect(floats.map(Double.init).elementsEqual(vector) { abs($0 - $1) < 1e-6 })
      // As many at once as libraries send.
      for (path, list) in [("/v1/embeddings", "data"), ("/api/embed", "embeddings")] {
        func ask(_ count: Int) async throws -> HTTPClient.Reply {
          let texts = JSON.array((0..<count).map { $0 == 999 ? "hello there" : "a" })
          return try await server.client.post(path, ["model": .string(server.model), "input": texts])
        }
        let many = try await ask(1000)
        let last = many.json[list]?[999]
        let numbers = (last?["embedding"] ?? last)?.elements?.compactMap(\.number)
        #expect(many.json[list]?.elements?.count == 1000 && numbers == vector, "\(many.text.prefix(200))")
        let refused = try await ask(2049)
        #expect(refused.status == 400 && refused.text.contains("2048"), "\(refused.text)")
      }
    }
  }

  @Test func anOverlongOrEmptyPromptIsNamedInEachApisWords() async throws {
    try await TestServer.run { server in
      func post(_ path: String, _ members: KeyValuePairs<String, JSON?>) async throws -> HTTPClient.Reply {
        let all =
          [JSONElement.Member(key: "model", value: .string(server.model))] + (JSON.object(members).members ?? [])
        return try await server.client.post(path, .object(all))
      }
      let long = String(repeating: "word ", count: 200)
      let (ask, options): (JSON, JSON) = (TestServer.question(long), ["num_predict": 2])
      for (reply, name) in [
        (try await post("/v1/completions", ["prompt": .string(long)]), "prompt"),
        (try await post("/v1/responses", ["input": .string(long)]), "input"),
        (try await post("/v1/embeddings", ["input": .string(long)]), "input"),
        (try await post("/v1/messages", ["messages": ask, "max_tokens": 2]), nil),
        (try await post("/api/chat", ["messages": ask, "options": options]), nil),
        (try await post("/api/generate", ["prompt": .string(long), "options": options]), nil),
        (try await post("/api/embed", ["input": .string(long)]), nil),
      ] {
        #expect(reply.status == 400)
        let numbers = reply.text.split { !$0.isNumber }.compactMap { Int($0) }
        #expect(numbers.contains(128) && numbers.contains { $0 >= 200 }, "\(reply.text)")
        if let name {
          #expect(
            reply.json["error"]?["param"]?.text == name && reply.json["error"]?["code"] == "context_length_exceeded")
        }
      }
      let empty = try await post("/v1/embeddings", ["input": ""])
      #expect(empty.status == 400 && empty.json["error"]?["param"] == "input", "\(empty.text)")
      let both = try await post("/tokenize", ["prompt": "a", "messages": TestServer.question("a")])
      #expect(both.status == 400 && both.text.contains("send one of them"))
    }
  }

  @Test func responsesStreamInTheOrderOfTheReference() async throws {
    try await TestServer.run { server in
      let body: [JSONElement.Member] = [
        .init(key: "model", value: .string(server.model)), .init(key: "input", value: "Hello there"),
        .init(key: "temperature", value: 0), .init(key: "max_output_tokens", value: 8),
      ]
      let whole = try await server.client.post("/v1/responses", .object(body)).json
      let text = whole["output"]?[0]?["content"]?[0]?["text"]?.text
      let reply = try await server.client.post("/v1/responses", .object(body + [.init(key: "stream", value: true)]))
      let types = reply.events.compactMap { $0["type"]?.text }
      #expect(
        types.prefix(4) == [
          "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
        ])
      #expect(
        types.suffix(4).dropLast() == [
          "response.output_text.done", "response.content_part.done", "response.output_item.done",
        ])
      let deltas = reply.events.filter { $0["type"] == "response.output_text.delta" }.compactMap { $0["delta"]?.text }
        .joined()
      #expect(deltas == text)
      let numbers = reply.events.compactMap { $0["sequence_number"]?.number }
      #expect(numbers == numbers.indices.map(Double.init))
      #expect(reply.events.last?["response"]?["usage"]?["output_tokens"] == whole["usage"]?["output_tokens"])
    }
  }

  @Test func messagesSpeakAnthropics() async throws {
    try await TestServer.run { server in
      let body: [JSONElement.Member] = [
        .init(key: "model", value: .string(server.model)), .init(key: "max_tokens", value: 8),
        .init(key: "system", value: [["type": "text", "text": "Be brief."]]),
        .init(key: "messages", value: TestServer.question("Hello")), .init(key: "temperature", value: 0),
      ]
      let whole = try await server.client.post("/v1/messages", .object(body)).json
      #expect(whole["stop_reason"] == "max_tokens" || whole["stop_reason"] == "end_turn")
      let reply = try await server.client.post("/v1/messages", .object(body + [.init(key: "stream", value: true)]))
      let types = reply.events.compactMap { $0["type"]?.text }
      #expect(types.first == "message_start" && types.last == "message_stop")
      let text = reply.events.compactMap { $0["delta"]?["text"]?.text }.joined()
      #expect(text == whole["content"]?[0]?["text"]?.text)
      let count = try await server.client.post(
        "/v1/messages/count_tokens", .object(body.filter { $0.key != "max_tokens" && $0.key != "temperature" }))
      let used =
        (whole["usage"]?["input_tokens"]?.number ?? 0) + (whole["usage"]?["cache_read_input_tokens"]?.number ?? 0)
      #expect(count.json["input_tokens"]?.number == used)
      let wrong = try await server.client.post("/v1/messages", .object(body + [.init(key: "tempo", value: 1)]))
      #expect(
        wrong.status == 400 && wrong.json["error"]?["type"] == "invalid_request_error" && wrong.json["type"] == "error")
    }
  }

  @Test func ollamasRoutesSpeakOllamas() async throws {
    try await TestServer.run { server in
      let options: JSON = ["temperature": 0, "num_predict": 8]
      let whole = try await server.client.post(
        "/api/chat",
        ["model": .string(server.model), "messages": TestServer.question("Hello"), "stream": false, "options": options])
      #expect(whole.json["done"] == true && whole.json["eval_count"] != nil)
      let streamed = try await server.client.post(
        "/api/chat", ["model": .string(server.model), "messages": TestServer.question("Hello"), "options": options])
      let lines = streamed.text.split(separator: "\n").compactMap { try? JSON(parsing: Array($0.utf8)) }
      #expect(lines.compactMap { $0["message"]?["content"]?.text }.joined() == whole.json["message"]?["content"]?.text)
      #expect(lines.last?["done"] == true)
      let json = try await server.client.post(
        "/api/generate",
        [
          "model": .string(server.model), "prompt": "x", "stream": false, "format": "json",
          "options": ["num_predict": 40, "seed": 3],
        ])
      #expect(json.json["response"]?.text?.hasPrefix("{") == true)
      let wrong = try await server.client.post(
        "/api/chat", ["model": .string(server.model), "options": ["temprature": 1]])
      #expect(wrong.status == 400)
      let message = wrong.json["error"]?.text ?? ""
      #expect(message.contains("options.temprature"))
      let tags = try await server.client.get("/api/tags")
      #expect(tags.json["models"]?[0]?["name"]?.text == server.model)
      let show = try await server.client.post("/api/show", ["model": .string(server.model)])
      let (ps, version) = (try await server.client.get("/api/ps"), try await server.client.get("/api/version"))
      let embed = try await server.client.post("/api/embed", ["model": .string(server.model), "input": "x"])
      #expect([show, ps, version, embed].map(\.status) == [200, 200, 200, 200])
    }
  }

  @Test func answersKeepToTheirSchemaOrAreRefused() async throws {
    try await TestServer.run { server in
      let schema: JSON = [
        "type": "object", "properties": ["ok": ["type": "boolean"], "n": ["type": "integer"]], "required": ["ok", "n"],
        "additionalProperties": false,
      ]
      func format(_ schema: JSON) -> JSON {
        ["type": "json_schema", "json_schema": ["name": "x", "schema": schema, "strict": true]]
      }
      for seed in 0..<5 {
        let reply = try await server.chat(["response_format": format(schema), "seed": .integer(seed), "max_tokens": 60])
        #expect(reply.status == 200)
        let text = reply.json["choices"]?[0]?["message"]?["content"]?.text ?? ""
        let value = try JSON(parsing: Array(text.utf8))
        #expect(value.keys == ["ok", "n"])
      }
      let refused = try await server.chat(["response_format": format(["type": "integer", "not": ["const": 3]])])
      #expect(
        refused.status == 400 && refused.json["error"]?["param"]?.text == "response_format.json_schema.schema.not")
    }
  }

  @Test func aFormatThatTheVocabularyCannotWriteIsRefusedInEachApisWords() async throws {
    // A description of a tool takes more than the usual context.
    try await TestServer.run(contextLength: 512) { server in
      // No token of this tokenizer has a byte of these letters.
      let schema: JSON = ["type": "object", "properties": ["ключ": ["type": "null"]], "required": ["ключ"]]
      let (model, question) = (JSON.string(server.model), TestServer.question("Hi"))
      let format: JSON = ["type": "json_schema", "name": "x", "schema": schema]
      for (path, body, code) in [
        (
          "/v1/chat/completions",
          [
            "model": model, "messages": question,
            "response_format": ["type": "json_schema", "json_schema": ["name": "x", "schema": schema]],
          ], ["error", "code"]
        ), ("/v1/responses", ["model": model, "input": "Hi", "text": ["format": format]], ["error", "code"]),
        (
          "/v1/messages",
          [
            "model": model, "messages": question, "max_tokens": 60, "tools": [["name": "f", "input_schema": schema]],
            "tool_choice": ["type": "any"],
          ], ["error", "type"]
        ), ("/api/chat", ["model": model, "messages": question, "stream": false, "format": schema], ["error"]),
      ] as [(String, JSON, [String])] {
        let reply = try await server.client.post(path, body)
        #expect(reply.status == 400 && reply.text.contains("no token for the character"), "\(path): \(reply.text)")
        let word = code.reduce(reply.json) { $0[$1] ?? .null }.text ?? ""
        #expect(
          code == ["error"] || ["unsupported_schema", "invalid_request_error"].contains(word), "\(path): \(reply.text)")
      }
      // Where something else may come, it does.
      let reply = try await server.client.post(
        "/api/chat", ["model": model, "messages": question, "stream": false, "format": ["enum": ["ключ", "a"]]])
      #expect(reply.status == 200 && reply.json["message"]?["content"] == #""a""#, "\(reply.text)")
    }
  }

  @Test func anAnswerThatIsHeldToAFormatIsNotCutOff() async throws {
    try await TestServer.run { server in
      let (model, hello): (JSON, JSON) = (.string(server.model), TestServer.question("Hello"))
      let object: JSON = ["type": "object"]
      let requests: [(path: String, body: JSON, name: String)] = [
        (
          "/v1/chat/completions",
          ["model": model, "messages": hello, "stop": "}", "response_format": ["type": "json_object"]], "stop"
        ),
        (
          "/v1/messages",
          [
            "model": model, "messages": hello, "max_tokens": 9, "stop_sequences": ["}"],
            "output_config": ["format": ["type": "json_schema", "schema": object]],
          ], "stop_sequences"
        ),
        (
          "/api/chat", ["model": model, "messages": hello, "format": object, "options": ["stop": ["}"]]], "options.stop"
        ),
      ]
      for (path, body, name) in requests {
        let reply = try await server.client.post(path, body)
        #expect(reply.status == 400 && reply.text.contains("\(name) does not go with"), "\(path): \(reply.text)")
      }
      // Text that is not held to anything may still be cut.
      let free: JSON = [
        "model": model, "messages": hello, "stop": "}", "max_tokens": 4, "response_format": ["type": "text"],
      ]
      #expect(try await server.client.post("/v1/chat/completions", free).status == 200)
    }
  }

  @Test func toolsAreCalledWithArgumentsThatFit() async throws {
    try await TestServer.run(contextLength: 512) { server in
      let tools: JSON = [
        [
          "type": "function",
          "function": [
            "name": "lamp",
            "parameters": ["type": "object", "properties": ["on": ["type": "boolean"]], "required": ["on"]],
          ],
        ]
      ]
      let options: KeyValuePairs<String, JSON?> = [
        "tools": tools, "tool_choice": "required", "parallel_tool_calls": false, "temperature": 0, "max_tokens": 90,
        "messages": TestServer.question("x"),
      ]
      let reply = try await server.chat(options)
      #expect(reply.status == 200, "\(reply.text)")
      let choice = reply.json["choices"]?[0]
      #expect(choice?["finish_reason"] == "tool_calls")
      let call = choice?["message"]?["tool_calls"]?[0]?["function"]
      #expect(call?["name"] == "lamp")
      let arguments = try JSON(parsing: Array((call?["arguments"]?.text ?? "").utf8))
      #expect(arguments.keys == ["on"])
      let words = try await server.chat(["tools": tools, "temperature": 0, "max_tokens": 20, "stream": true])
      #expect(words.events.last?["choices"]?[0]?["finish_reason"] != .null)
    }
  }

  @Test func aCallIsWholeWhateverTheStopStrings() async throws {
    try await TestServer.run(contextLength: 512) { server in
      let (question, stops) = (TestServer.question("x"), ["a", "<", "\"on", "}"] as JSON)
      let lamp: JSON = ["name": "lamp", "parameters": DialectTests.lamp]
      let chat: [JSONElement.Member] = [
        .init(key: "model", value: .string(server.model)), .init(key: "messages", value: question),
        .init(key: "tools", value: [["type": "function", "function": lamp]]),
        .init(key: "tool_choice", value: "required"), .init(key: "parallel_tool_calls", value: false),
        .init(key: "temperature", value: 0), .init(key: "max_tokens", value: 90),
      ]
      func call(_ more: [JSONElement.Member]) async throws -> JSON? {
        let reply = try await server.client.post("/v1/chat/completions", .object(chat + more))
        let choice = reply.json["choices"]?[0]
        #expect(choice?["finish_reason"] == "tool_calls", "\(reply.text)")
        return choice?["message"]?["tool_calls"]?[0]?["function"]
      }
      let whole = try await call([])
      #expect(try await call([.init(key: "stop", value: stops)]) == whole && whole != nil)
      let streamed = try await server.client.post(
        "/v1/chat/completions", .object(chat + [.init(key: "stop", value: stops), .init(key: "stream", value: true)]))
      let calls = streamed.events.compactMap { $0["choices"]?[0]?["delta"]?["tool_calls"]?[0]?["function"] }
      #expect(calls == [whole])
      let message = try await server.client.post(
        "/v1/messages",
        [
          "model": .string(server.model), "messages": question, "max_tokens": 90, "temperature": 0,
          "tools": [["name": "lamp", "input_schema": DialectTests.lamp]],
          "tool_choice": ["type": "any", "disable_parallel_tool_use": true], "stop_sequences": stops,
        ])
      #expect(message.json["stop_reason"] == "tool_use" && message.json["stop_sequence"] == .null, "\(message.text)")
    }
  }

  private static let lamp: JSON = [
    "type": "object", "properties": ["on": ["type": "boolean"]], "required": ["on"],
  ]

  @Test func responsesCallTools() async throws {
    try await TestServer.run(contextLength: 512) { server in
      let body: [JSONElement.Member] = [
        .init(key: "model", value: .string(server.model)), .init(key: "temperature", value: 0),
        .init(key: "tools", value: [["type": "function", "name": "lamp", "parameters": DialectTests.lamp]]),
        .init(key: "tool_choice", value: "required"), .init(key: "parallel_tool_calls", value: false),
      ]
      let input = JSONElement.Member(key: "input", value: "x")
      let whole = try await server.client.post("/v1/responses", .object(body + [input]))
      let call = whole.json["output"]?[0]
      #expect(call?["type"] == "function_call" && call?["name"] == "lamp", "\(whole.text)")
      let streamed = try await server.client.post(
        "/v1/responses", .object(body + [input, .init(key: "stream", value: true)]))
      let types = streamed.events.compactMap { $0["type"]?.text }
      #expect(
        types == [
          "response.created", "response.in_progress", "response.output_item.added",
          "response.function_call_arguments.delta", "response.function_call_arguments.done",
          "response.output_item.done", "response.completed",
        ])
      #expect(streamed.events.last?["response"]?["output"]?[0]?["arguments"] == call?["arguments"])
      let back: JSON = [
        ["role": "user", "content": "x"], call ?? .null,
        ["type": "function_call_output", "call_id": call?["call_id"] ?? .null, "output": "done"],
      ]
      let after = try await server.client.post("/v1/responses", .object(body + [.init(key: "input", value: back)]))
      #expect(after.status == 200, "\(after.text)")
      let foreign = try await server.client.post(
        "/v1/responses", ["model": .string(server.model), "input": "x", "tools": [["type": "web_search"]]])
      #expect(foreign.status == 400 && foreign.json["error"]?["param"] == "tools[0].type")
    }
  }

  @Test func messagesCallTools() async throws {
    try await TestServer.run(contextLength: 512) { server in
      let body: [JSONElement.Member] = [
        .init(key: "model", value: .string(server.model)), .init(key: "max_tokens", value: 90),
        .init(key: "temperature", value: 0), .init(key: "messages", value: TestServer.question("x")),
        .init(key: "tools", value: [["name": "lamp", "input_schema": DialectTests.lamp]]),
        .init(key: "tool_choice", value: ["type": "any", "disable_parallel_tool_use": true]),
      ]
      let whole = try await server.client.post("/v1/messages", .object(body)).json
      let block = whole["content"]?[0]
      #expect(whole["stop_reason"] == "tool_use" && block?["type"] == "tool_use" && block?["name"] == "lamp")
      #expect(block?["input"]?.keys == ["on"])
      let streamed = try await server.client.post(
        "/v1/messages", .object(body + [.init(key: "stream", value: true)]))
      let types = streamed.events.compactMap { $0["type"]?.text }
      #expect(
        types == [
          "message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta",
          "message_stop",
        ])
      let arguments = streamed.events.compactMap { $0["delta"]?["partial_json"]?.text }.joined()
      #expect(try JSON(parsing: Array(arguments.utf8)) == block?["input"])
    }
  }

  @Test func ollamasCallsAreObjects() throws {
    var answer = Answer()
    answer.text = "Well.\n" + ToolCallText.text("lamp", ["on": true])
    let reply = OllamaReply(model: "x", callsTools: true) {
      .init(key: "message", value: OllamaMessages.message($0, $1))
    }
    let message = reply.whole([[(answer: answer, tokens: [])]])["message"]
    #expect(message?["content"] == "Well.")
    #expect(message?["tool_calls"]?[0]?["function"] == ["name": "lamp", "arguments": ["on": true]])
  }

  @Test func modelsAreLoadedByNameOnly() async throws {
    try await TestServer.run { server in
      let path = try await server.client.post("/models/load", ["model": .string(server.model)])
      let parent = try await server.client.post("/models/load", ["model": "../x"])
      let unloaded = try await server.client.post("/models/unload", ["model": .string(server.model)])
      let ready = try await server.client.get("/ready")
      #expect([path, parent, unloaded, ready].map(\.status) == [404, 404, 200, 503])
    }
  }
}
