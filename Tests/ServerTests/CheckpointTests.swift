import Engine
import Foundation
import Testing

@testable import Chat
@testable import Server

@Suite struct CheckpointTests {
  /// What a job leaves: a run of four steps with a checkpoint after each, on the server's model.
  static func train(
    _ server: TestServer, _ job: String, _ name: String, owner: String = Principal.local.id
  ) throws {
    let data = server.home.appending(path: "data.jsonl").path
    try (0..<8).map { #"{"prompt": "what is \#($0)?", "completion": "it is \#($0)"}"# }.joined(separator: "\n").write(
      toFile: data, atomically: false, encoding: .utf8)
    var recipe = FineTuningRecipe()
    (recipe.model, recipe.data, recipe.validationFraction) = (server.model, [data], 0)
    (recipe.batchSize, recipe.epochs, recipe.rank, recipe.learningRate) = (4, 2, 2, 0.05)
    (recipe.saveEvery, recipe.keep, recipe.probe, recipe.maxLength) = (1, 8, false, 64)
    let base = try ChatModel.open(path: server.model, name: server.model, pool: WorkerPool(threadCount: 1))
    _ = try FineTuning(
      recipe, base: base, basePath: server.model, output: server.home.appending(path: "runs/\(job)").path
    ).run { _ in }
    try server.storage.add(
      JobRecord(
        id: job, owner: owner, model: server.model, modelPath: server.model, tunedName: name,
        trainingFile: "file-x", validationFile: nil, epochs: 2, batchSize: 4, learningRateMultiplier: nil, seed: 0,
        created: Clock.seconds, status: .cancelled))
  }

  @Test func aCheckpointIsAModelWhileItsFilesAreThere() async throws {
    try await TestServer.run { server in
      try CheckpointTests.train(server, "ftjob-a", "tuned-a")
      let listed = try await server.client.get("/v1/fine_tuning/jobs/ftjob-a/checkpoints").json["data"]?.elements ?? []
      let names = listed.compactMap { $0["fine_tuned_model_checkpoint"]?.text }
      #expect(names == (1...4).reversed().map { "tuned-a:step-\($0)" })
      @Sendable func ask(_ model: String) async throws -> HTTPClient.Reply {
        try await server.client.post(
          "/v1/completions",
          ["model": .string(model), "prompt": "what is 3?", "max_tokens": 1, "temperature": 0, "logprobs": 1])
      }
      @Sendable func figure(_ model: String) async throws -> JSON? {
        let reply = try await ask(model)
        #expect(reply.status == 200, "\(model): \(reply.text)")
        #expect(reply.json["model"]?.text == model)
        return reply.json["choices"]?[0]?["logprobs"]?["token_logprobs"]?[0]
      }
      // Each is another model, and the same one whoever asks first.
      var figures = [try await figure(server.model)]
      for name in names { figures.append(try await figure(name)) }
      #expect(Set(figures.dropFirst().map { "\($0 ?? .null)" }).count == 4, "\(figures)")
      #expect(figures[0] != figures[1])
      let again = try await withThrowingTaskGroup(of: JSON?.self) { group in
        for _ in 0..<6 { group.addTask { try await figure("tuned-a:step-2") } }
        return try await group.reduce(into: []) { $0.append($1) }
      }
      #expect(again.allSatisfy { $0 == figures[3] })
      let entry = try await server.client.get("/v1/models/tuned-a:step-3").json
      #expect(entry["parent"]?.text == server.model && entry["tuning"]?["step"]?.number == 3, "\(entry.line)")

      // In each API.
      let name: JSON = "tuned-a:step-1"
      let question = TestServer.question("Hi")
      for (path, body) in [
        ("/v1/chat/completions", ["model": name, "messages": question, "max_tokens": 1]),
        ("/v1/messages", ["model": name, "messages": question, "max_tokens": 1]),
        ("/v1/responses", ["model": name, "input": "Hi", "max_output_tokens": 1]),
        ("/v1/embeddings", ["model": name, "input": "Hi"]), ("/tokenize", ["model": name, "prompt": "Hi"]),
        ("/api/chat", ["model": name, "messages": question, "stream": false, "options": ["num_predict": 1]]),
        ("/api/show", ["model": name]),
      ] as [(String, JSON)] {
        let reply = try await server.client.post(path, body)
        #expect(reply.status == 200, "\(path): \(reply.text)")
      }
      for wrong in ["tuned-a:step-5", "tuned-a:step-+1", "tuned-a:step-01", "tuned-b:step-1", "tuned-a:step-1:step-1"] {
        #expect(try await ask(wrong).status == 404, "\(wrong)")
      }
      let job = try await server.client.post(
        "/v1/fine_tuning/jobs", ["model": name, "training_file": "file-x"])
      #expect(job.status == 400 && job.text.contains("train on its base"), "\(job.text)")

      // Files that go take the model with them, loaded or not.
      let folder = server.home.appending(path: "runs/ftjob-a/checkpoints")
      try FileManager.default.removeItem(at: folder.appending(path: "step-2"))
      #expect(try await ask("tuned-a:step-2").status == 404)
      let models = try await server.client.get("/v1/models").text
      #expect(!models.contains("tuned-a:step-2") && models.contains("tuned-a:step-3"))

      // What nobody serves any more is not loaded by asking for what was learned on it.
      for name in [server.model, "tuned-a:step-3"] {
        #expect(try await server.client.post("/models/unload", ["model": .string(name)]).status == 200)
      }
      let refused = try await ask("tuned-a:step-3")
      #expect(refused.status == 404 && refused.text.contains("is not loaded here"), "\(refused.text)")
    }
  }

  @Test func thoseAskedLastStay() async throws {
    try await TestServer.run { server in
      let jobs = (0...TunedCheckpoints.most / 4).map { "job\($0)" }
      for job in jobs { try CheckpointTests.train(server, "ftjob-" + job, job) }
      func loaded() async throws -> [String] {
        let models = try await server.client.get("/v1/models").json["data"]?.elements ?? []
        return models.compactMap { $0["id"]?.text }.filter { $0.contains(":step-") }.sorted()
      }
      var names: [String] = []
      for job in jobs {
        for step in 1...4 {
          let name = "\(job):step-\(step)"
          names.append(name)
          let reply = try await server.client.post("/tokenize", ["model": .string(name), "prompt": "a"])
          #expect(reply.status == 200, "\(reply.text)")
          // Asked again and again, the first one stays.
          _ = try await server.client.post("/tokenize", ["model": .string(names[0]), "prompt": "a"])
        }
      }
      #expect(try await loaded() == ([names[0]] + names.suffix(TunedCheckpoints.most - 1)).sorted())
    }
  }
}
