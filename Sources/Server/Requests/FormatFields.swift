internal import Chat
internal import Engine
internal import Tokenizers

/// Which texts an answer may be: `response_format`, as OpenAI's chat has it.
enum FormatFields {
  /// Takes `response_format`.
  ///
  /// - Throws: When the schema, or a part of it, cannot be enforced: an answer that only may be valid is not what was asked for.
  static func grammar(_ fields: inout Fields, _ limits: ServerSettings.Limits) throws(APIError) -> Grammar? {
    guard var format = try fields.object("response_format") else { return nil }
    guard let type = try format.word("type", of: ["text", "json_object", "json_schema"]) else {
      throw format.missing("type")
    }
    var grammar: Grammar?
    switch type {
    case "json_object": grammar = try compile("response_format") { () throws(GrammarError) in try Grammar.anyObject() }
    case "json_schema":
      guard var described = try format.object("json_schema") else { throw format.missing("json_schema") }
      guard try described.string("name") != nil else { throw described.missing("name") }
      guard let schema = described.value("schema") else { throw described.missing("schema") }
      _ = try described.string("description")
      // Schemas are enforced, whatever this says.
      _ = try described.bool("strict")
      try described.finish()
      grammar = try self.schema(schema, "response_format.json_schema.schema", limits)
    default: break
    }
    try format.finish()
    return grammar
  }

  /// The grammar of a schema.
  static func schema(_ schema: JSON, _ path: String, _ limits: ServerSettings.Limits) throws(APIError) -> Grammar {
    guard schema.bytes.count <= limits.schemaBytes else {
      throw .invalid(path, "\(path) has more than \(limits.schemaBytes) bytes")
    }
    return try compile(path) { () throws(GrammarError) in try Grammar.schema(schema) }
  }

  /// Says in the request's terms where a schema cannot be enforced.
  static func compile(_ path: String, _ make: () throws(GrammarError) -> Grammar) throws(APIError) -> Grammar {
    do { return try make() } catch {
      let place = error.path.isEmpty ? path : path + "." + error.path
      throw .invalid(place, "\(place): \(error.message)", code: "unsupported_schema")
    }
  }
}

extension ServedModel {
  /// Holds an answer's text to a grammar.
  func constraint(_ grammar: Grammar) -> GrammarConstraint {
    GrammarConstraint(grammar, vocabulary, endTokens: text.endTokens)
  }
}
