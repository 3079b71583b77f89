internal import Chat
internal import Engine
internal import Foundation
internal import HTTPTypes
internal import Hummingbird

// /v1/embeddings: texts as vectors, the mean of what the last norm makes of their tokens. Chat models were not trained for
// this; the model's entry says so.
extension RouteTable {
  mutating func addEmbeddings(_ state: ServerState) {
    on(.post, "/v1/embeddings", .scope(.embed)) { request, context in
      var fields = try await request.fields(state, context)
      let model = try await state.model(try fields.requiredString("model"), context)
      let texts = try PromptFields.prompts(&fields, "input", model, most: state.settings.limits.embeddings)
      let format = try fields.word("encoding_format", of: ["float", "base64"]) ?? "float"
      try fields.refuse("dimensions", "vectors have the model's own width")
      fields.ignore("user")
      try fields.finish()
      try state.admit(context)
      let vectors = try await Embeddings.vectors(of: texts, model, state, context)
      let count = texts.reduce(0) { $0 + $1.count }
      return .json([
        "object": "list", "model": .string(model.name),
        "data": .array(
          vectors.enumerated().map { index, vector in
            [
              "object": "embedding", "index": .integer(index),
              "embedding": format == "base64" ? Embeddings.base64(vector) : Embeddings.list(vector),
            ]
          }), "usage": ["prompt_tokens": .integer(count), "total_tokens": .integer(count)],
      ])
    }
  }
}

/// Vectors of texts, of length one.
enum Embeddings {
  static func vectors(
    of texts: [[Int32]], _ model: ServedModel, _ state: ServerState, _ context: ServerContext
  ) async throws -> [[Float]] {
    for text in texts {
      guard !text.isEmpty else {
        throw APIError.invalid("input", "input: a text is empty: expected at least one token")
      }
      guard text.count <= model.contextLength else {
        throw APIError.invalid(
          "input", "input: a text has \(text.count) tokens and the context holds \(model.contextLength): shorten it",
          code: "context_length_exceeded")
      }
    }
    let key = context.principal?.id ?? ""
    let work = Task {
      try await state.room.embeddings(model, texts, key: key).map(normalised)
    }
    let presence = await context.presence
    let number = presence?.onGone { work.cancel() }
    defer { if let number { presence?.forget(number) } }
    let vectors = try await work.value
    Account(model, promptTokenCount: texts.reduce(0) { $0 + $1.count }, state, context).close()
    return vectors
  }

  /// Four bytes a number, the lowest first, as OpenAI's own clients ask for it.
  static func base64(_ vector: [Float]) -> JSON {
    .string(
      Data(vector.flatMap { withUnsafeBytes(of: $0.bitPattern.littleEndian) { Array($0) } }).base64EncodedString())
  }

  static func list(_ vector: [Float]) -> JSON { .array(vector.map { .real(Double($0)) }) }

  private static func normalised(_ vector: [Float]) -> [Float] {
    let length = vector.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
    return length > 0 ? vector.map { Float(Double($0) / length) } : vector
  }
}
