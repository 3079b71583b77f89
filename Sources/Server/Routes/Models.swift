internal import Chat
internal import HTTPTypes
internal import Hummingbird

// /v1/models: which models there are.
extension RouteTable {
  mutating func addModels(_ state: ServerState) {
    on(.get, "/v1/models", .scope(.chat)) { _, context in
      .json(["object": "list", "data": .array(try state.models(context).map { $0.entry(state) })])
    }
    on(.get, "/v1/models/{model}", .scope(.chat)) { _, context in
      .json(try await state.model(context.pathPart("model"), context).entry(state))
    }
  }
}

extension ServedModel {
  /// The model as OpenAI's list has it, with what is known of it beside.
  func entry(_ state: ServerState) -> JSON {
    .object([
      "id": .string(name), "object": "model", "created": .integer(state.started), "owned_by": "hearth",
      "root": .string(tuning?.base ?? name), "parent": tuning.map { .string($0.base) },
      "context_length": .integer(contextLength), "architecture": .string(facts.architecture),
      "format": .string(facts.format), "parameters": .integer(facts.parameters),
      "capabilities": .array(
        (text.template == nil ? ["completion"] : ["completion", "chat"]) + ["embedding"]),
      "embedding": ["pooling": "mean", "of": "the last norm's hidden states; no encoder was trained for this"],
      "tuning": tuning.map { tuning in
        .object([
          "base": .string(tuning.base), "method": .string(tuning.method), "step": tuning.step.map { .integer($0) },
          "loss": tuning.loss.map { .real($0) }, "base_loss": tuning.baseLoss.map { .real($0) },
        ])
      },
    ])
  }
}
