internal import Chat
internal import HTTPTypes
internal import Hummingbird
internal import Tokenizers

// What Ollama's API says of models, and its embeddings.
extension RouteTable {
  mutating func addOllamaModels(_ state: ServerState) {
    on(.get, "/api/version", .scope(.chat)) { _, _ in .json(["version": .string(HearthServer.version)]) }
    on(.get, "/api/tags", .scope(.chat)) { _, context in
      .json(["models": .array(try state.models(context).map { .object($0.ollamaEntry(state)) })])
    }
    on(.get, "/api/ps", .scope(.chat)) { _, context in
      .json([
        "models": .array(
          try state.models(context).map { model in
            .object(
              model.ollamaEntry(state) + [
                // Loaded models stay.
                .init(key: "expires_at", value: "9999-12-31T23:59:59Z"), .init(key: "size_vram", value: 0),
                .init(key: "context_length", value: .integer(model.contextLength)),
              ])
          })
      ])
    }
    on(.post, "/api/show", .scope(.chat)) { request, context in
      var fields = try await request.fields(state, context, anyType: true)
      let model = try await state.ollamaModel(&fields, context)
      _ = try fields.bool("verbose")
      try fields.finish()
      let family = model.facts.architecture
      return .json([
        "modelfile": .string("# served by hearth\nFROM \(model.name)\n"), "parameters": "",
        "template": .string(model.text.template?.template.source ?? ""), "details": model.ollamaDetails,
        "model_info": .object([
          .init(key: "general.architecture", value: .string(family)),
          .init(key: "general.parameter_count", value: .integer(model.facts.parameters)),
          .init(key: family + ".context_length", value: .integer(model.contextLength)),
          .init(key: "tokenizer.ggml.tokens", value: nil),
        ]), "capabilities": ["completion", "tools", "embedding"], "modified_at": .string(Clock.text(state.started)),
      ])
    }
    on(.post, "/api/embed", .scope(.embed)) { request, context in
      var fields = try await request.fields(state, context, anyType: true)
      let model = try await state.ollamaModel(&fields, context)
      let texts = try PromptFields.prompts(&fields, "input", model, most: state.settings.limits.embeddings)
      fields.ignore("keep_alive")
      try fields.refuse("truncate", unless: [false], "a text that does not fit is refused, never cut")
      try fields.refuse("dimensions", "vectors have the model's own width")
      if var options = try fields.object("options") {
        options.ignore("num_ctx", "num_batch", "num_gpu", "num_thread", "temperature")
        try options.finish()
      }
      try fields.finish()
      try state.admit(context)
      let started = ContinuousClock.now
      let vectors = try await Embeddings.vectors(of: texts, model, state, context)
      return .json([
        "model": .string(model.name), "embeddings": .array(vectors.map(Embeddings.list)),
        "total_duration": .integer(Int((ContinuousClock.now - started).seconds * 1e9)), "load_duration": 0,
        "prompt_eval_count": .integer(texts.reduce(0) { $0 + $1.count }),
      ])
    }
  }
}

extension ServedModel {
  func ollamaEntry(_ state: ServerState) -> [JSONElement.Member] {
    let entry: JSON = [
      "name": .string(name), "model": .string(name), "modified_at": .string(Clock.text(state.started)),
      "size": .integer(facts.size_bytes), "digest": "", "details": ollamaDetails,
    ]
    return entry.members ?? []
  }

  var ollamaDetails: JSON {
    let millions = facts.parameters / 1_000_000
    return [
      "parent_model": .string(tuning?.base ?? ""),
      "format": .string(facts.format.hasPrefix("GGUF") ? "gguf" : "safetensors"),
      "family": .string(facts.architecture), "families": [.string(facts.architecture)],
      "parameter_size": .string(millions >= 1000 ? "\(millions / 1000).\(millions % 1000 / 100)B" : "\(millions)M"),
      "quantization_level": .string(facts.format.split(separator: " ").last.map(String.init) ?? ""),
    ]
  }
}
