import Chat
import Foundation
import Testing

@testable import Server

/// Keys that may ask some models only.
@Suite struct ModelGrantTests {
  private static let scopes = Scope.allCases.map(\.rawValue)

  private static func bearer(_ secret: String) -> [String: String] { ["Authorization": "Bearer \(secret)"] }

  /// Everything that names a model.
  private static func requests(_ model: String) -> [(path: String, body: JSON)] {
    let (name, question) = (JSON.string(model), TestServer.question("Hi"))
    return [
      ("/v1/chat/completions", ["model": name, "messages": question, "max_tokens": 1]),
      ("/v1/completions", ["model": name, "prompt": "Hi", "max_tokens": 1]),
      ("/v1/responses", ["model": name, "input": "Hi", "max_output_tokens": 1]),
      ("/v1/messages", ["model": name, "messages": question, "max_tokens": 1]),
      ("/v1/messages/count_tokens", ["model": name, "messages": question]),
      ("/v1/embeddings", ["model": name, "input": "Hi"]), ("/tokenize", ["model": name, "prompt": "Hi"]),
      ("/detokenize", ["model": name, "tokens": [1]]),
      ("/api/chat", ["model": name, "messages": question, "stream": false, "options": ["num_predict": 1]]),
      ("/api/generate", ["model": name, "prompt": "Hi", "stream": false, "options": ["num_predict": 1]]),
      ("/api/show", ["model": name]), ("/api/embed", ["model": name, "input": "Hi"]),
    ]
  }

  @Test func aKeyAsksWhatItNamesAndWhatItsJobsMake() async throws {
    try await TestServer.run { server in
      let free = try server.storage.createKey(name: "free", scopes: ModelGrantTests.scopes).secret
      let other = try server.storage.createKey(name: "other", scopes: ModelGrantTests.scopes, models: ["m", "n"]).secret
      let maker = try server.storage.createKey(name: "maker", scopes: ModelGrantTests.scopes, models: [server.model])
      let twin = try server.storage.createKey(name: "twin", scopes: ModelGrantTests.scopes, models: [server.model])
        .secret
      let named = try server.storage.createKey(name: "named", scopes: ModelGrantTests.scopes, models: ["tuned-a"])
        .secret
      try CheckpointTests.train(server, "ftjob-a", "tuned-a", owner: maker.record.id)
      let made = "tuned-a:step-1"
      for (secret, model, may) in [
        (free, server.model, true), (free, made, true), (other, server.model, false), (other, made, false),
        (maker.secret, server.model, true), (maker.secret, made, true), (twin, server.model, true), (twin, made, false),
        (named, server.model, false), (named, made, true),
      ] {
        for (path, body) in ModelGrantTests.requests(model) {
          let reply = try await server.client.post(path, body, ModelGrantTests.bearer(secret))
          #expect(reply.status == (may ? 200 : 404), "\(path) \(model): \(reply.text)")
          if !may, secret == other { #expect(!reply.text.contains("tuned-a,"), "\(reply.text)") }
        }
        let entry = try await server.client.get(
          "/v1/models/" + model.replacing("/", with: "%2F"), ModelGrantTests.bearer(secret))
        #expect(entry.status == (may ? 200 : 404), "\(model): \(entry.text)")
      }
      // Lists tell of no others.
      for (secret, names) in [
        (free, [server.model, made]), (other, []), (maker.secret, [server.model, made]), (twin, [server.model]),
        (named, [made]),
      ] {
        let bearer = ModelGrantTests.bearer(secret)
        let models = try await server.client.get("/v1/models", bearer).json["data"]?.elements ?? []
        #expect(models.compactMap { $0["id"]?.text }.sorted() == names.sorted())
        for path in ["/api/tags", "/api/ps"] {
          let models = try await server.client.get(path, bearer).json["models"]?.elements ?? []
          #expect(models.compactMap { $0["name"]?.text }.sorted() == names.sorted(), "\(path)")
        }
      }
      // What a key may not ask it neither trains nor loads nor unloads, and hears the same as of what is not there.
      for (path, body) in [
        ("/v1/fine_tuning/jobs", ["model": .string(server.model), "training_file": "file-x"]),
        ("/models/load", ["model": "tiny"]), ("/models/unload", ["model": .string(server.model)]),
      ] as [(String, JSON)] {
        let reply = try await server.client.post(path, body, ModelGrantTests.bearer(other))
        #expect(reply.status == 404 && reply.json["error"]?["code"] == "model_not_found", "\(path): \(reply.text)")
      }
      let absent = try await server.client.post(
        "/tokenize", ["model": "nothing", "prompt": "a"], ModelGrantTests.bearer(other))
      let hidden = try await server.client.post(
        "/tokenize", ["model": .string(made), "prompt": "a"], ModelGrantTests.bearer(other))
      #expect(hidden.text == absent.text.replacing("nothing", with: made))
    }
  }

  @Test func keysRememberTheirModels() async throws {
    try await TestServer.run { server in
      let made = try server.storage.createKey(name: "a", scopes: ["chat"], models: ["m", "n"]).record
      #expect(made.models == ["m", "n"])
      _ = try server.storage.createKey(name: "b", scopes: ["chat"])
      #expect(try server.storage.keys().map(\.models) == [["m", "n"], nil])
      for wrong in [[], [""], ["a,b"], ["a\nb"]] {
        #expect(throws: ServerError.self) {
          _ = try server.storage.createKey(name: "c", scopes: ["chat"], models: wrong)
        }
      }
    }
  }
}
