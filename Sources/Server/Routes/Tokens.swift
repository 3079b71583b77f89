internal import Chat
internal import HTTPTypes
internal import Hummingbird
internal import Tokenizers

// /tokenize and /detokenize: what a text costs before it is sent.
extension RouteTable {
  mutating func addTokens(_ state: ServerState) {
    on(.post, "/tokenize", .scope(.chat)) { request, context in
      var fields = try await request.fields(state, context)
      let model = try await state.model(try fields.requiredString("model"), context)
      let special = try fields.bool("special") ?? false
      let addsPrefix = try fields.bool("add_special_tokens") ?? false
      let ids: [Int32]
      // Either may be null where the other is meant.
      for name in ["messages", "prompt"] where !fields.has(name) { fields.ignore(name) }
      if fields.has("messages") {
        if fields.has("prompt") {
          throw APIError.invalid("prompt", "prompt: does not go with messages: send one of them")
        }
        ids = try model.text.prompt(try MessageFields.messages(&fields, state.settings.limits))
      } else {
        let text = try fields.requiredString("prompt")
        ids =
          (addsPrefix ? model.text.tokenizer.sequencePrefix : []) + model.text.tokenizer.encode(text, special: special)
      }
      try fields.finish()
      return .json([
        "tokens": .array(ids.map { .integer(Int($0)) }), "count": .integer(ids.count),
        "pieces": .array(ids.map { .string(model.text.tokenizer.shown($0)) }),
        "max_model_len": .integer(model.contextLength),
      ])
    }
    on(.post, "/detokenize", .scope(.chat)) { request, context in
      var fields = try await request.fields(state, context)
      let model = try await state.model(try fields.requiredString("model"), context)
      guard let elements = try fields.array("tokens", most: 1 << 20) else { throw fields.missing("tokens") }
      let ids = try PromptFields.ids(elements, "tokens", model)
      try fields.finish()
      return .json(["prompt": .string(model.text.tokenizer.decode(ids))])
    }
  }
}

extension Tokenizer {
  /// A token's text, where it is no text its bytes as OpenAI writes them: `bytes:\xe2\x96`. So different tokens that end up in a
  /// list together do not look alike.
  func shown(_ id: Int32) -> String {
    let bytes = Array(bytes(of: id))
    if let text = String(validating: bytes, as: UTF8.self) { return text }
    return "bytes:" + bytes.map { "\\x" + ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }
}
