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

  /// Takes `text`, where `/v1/responses` has it.
  ///
  /// - Returns: The format as it was sent, and its grammar.
  static func responsesFormat(
    _ fields: inout Fields, _ limits: ServerSettings.Limits
  ) throws(APIError) -> (sent: JSON, grammar: Grammar?) {
    let free: JSON = ["type": "text"]
    guard var text = try fields.object("text") else { return (free, nil) }
    try text.refuse("verbosity", unless: ["medium"], "say in a message how long the answer shall be")
    guard let sent = text.value("format") else {
      try text.finish()
      return (free, nil)
    }
    try text.finish()
    var format = try Fields(sent, at: "text.format")
    guard let type = try format.word("type", of: ["text", "json_object", "json_schema"]) else {
      throw format.missing("type")
    }
    var grammar: Grammar?
    if type == "json_object" {
      grammar = try compile("text.format") { () throws(GrammarError) in try Grammar.anyObject() }
    } else if type == "json_schema" {
      guard try format.string("name") != nil else { throw format.missing("name") }
      guard let schema = format.value("schema") else { throw format.missing("schema") }
      _ = try format.string("description")
      // Schemas are enforced, whatever this says.
      _ = try format.bool("strict")
      grammar = try self.schema(schema, "text.format.schema", limits)
    }
    try format.finish()
    return (sent, grammar)
  }

  /// Takes `output_config`, where Anthropic's messages have it.
  static func messagesFormat(_ fields: inout Fields, _ limits: ServerSettings.Limits) throws(APIError) -> Grammar? {
    guard var output = try fields.object("output_config") else { return nil }
    try output.refuse("effort", "models here do not reason apart from their answers")
    guard var format = try output.object("format") else {
      try output.finish()
      return nil
    }
    try output.finish()
    guard try format.word("type", of: ["json_schema"]) != nil else { throw format.missing("type") }
    guard let schema = format.value("schema") else { throw format.missing("schema") }
    try format.finish()
    return try self.schema(schema, "output_config.format.schema", limits)
  }

  /// Refuses strings that would cut an answer which is held to a format: the rest would not be valid, and look as if it were.
  static func refuse(stops: [String], beside name: String, _ path: String) throws(APIError) {
    guard !stops.isEmpty else { return }
    throw .invalid(
      path, "\(path) does not go with \(name): an answer that is cut off there would not be valid",
      code: "unsupported_parameter")
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
