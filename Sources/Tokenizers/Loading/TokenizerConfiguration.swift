public import Foundation

/// What a Hugging Face folder says about its tokenizer outside `tokenizer.json`: which tokens begin
/// and end a text, and the chat templates.
///
/// From `tokenizer_config.json`, `special_tokens_map.json`, `generation_config.json`, `config.json`
/// and the template files, each optional, the earlier preferred.
public struct TokenizerConfiguration: Equatable, Sendable {
  /// A chat template and the name it goes by; the usual one is `default`.
  public struct ChatTemplate: Equatable, Sendable {
    /// `default`, or what it is for: `tool_use`, `rag`.
    public var name: String
    /// Jinja source.
    public var source: String
  }

  /// The token that begins a text, as written.
  public var beginningOfSequence: String?
  /// The token that ends one.
  public var endOfSequence: String?
  /// The token that fills up batches.
  public var padding: String?
  /// The token for what cannot be expressed.
  public var unknown: String?
  /// The ids that `generation_config.json`, or else `config.json`, ends generation at.
  public var endOfGeneration: [Int32] = []
  /// The templates, `default` first if there is one.
  public var chatTemplates: [ChatTemplate] = []
  /// Tokens that only `tokenizer_config.json` declares.
  var addedTokens: [AddedToken] = []

  /// Reads the files of `folder` that exist.
  ///
  /// - Throws: if one of them is damaged or of another shape.
  public init(folder: URL) throws(TokenizerError) {
    if let configuration = try Self.json("tokenizer_config.json", in: folder) {
      try readTokens(configuration)
      if let declared = try configuration.optional("added_tokens_decoder") {
        try readAddedTokens(declared)
      }
      if let templates = try configuration.optional("chat_template") {
        try readTemplates(templates)
      }
    }
    if let map = try Self.json("special_tokens_map.json", in: folder) { try readTokens(map) }
    for name in ["generation_config.json", "config.json"] where endOfGeneration.isEmpty {
      guard let file = try Self.json(name, in: folder),
        let field = try file.optional("eos_token_id")
      else { continue }
      endOfGeneration = try Self.ids(field)
    }
    if let file = try Self.json("chat_template.json", in: folder),
      let templates = try file.optional("chat_template")
    {
      try readTemplates(templates)
    }
    let file = folder.appending(path: "chat_template.jinja")
    if FileManager.default.fileExists(atPath: file.path) {
      let data = try Tokenizer.read(file)
      guard let source = String(validating: data, as: UTF8.self) else {
        throw TokenizerError(source: file.path, place: "", problem: "it is not valid UTF-8")
      }
      setTemplate("default", source)
    }
  }

  private static func json(_ name: String, in folder: URL) throws(TokenizerError) -> JSONField? {
    let url = folder.appending(path: name)
    guard FileManager.default.fileExists(atPath: url.path) else { return nil }
    let value = try JSONReader.read(Array(try Tokenizer.read(url)), source: url.path)
    let root = JSONField(value: value, source: url.path, place: "")
    _ = try root.members()
    return root
  }

  private static func ids(_ field: JSONField) throws(TokenizerError) -> [Int32] {
    var fields = [field]
    if case .array = field.value { fields = try field.elements() }
    var ids: [Int32] = []
    for field in fields {
      guard let id = Int32(exactly: try field.integer()), id >= 0 else {
        throw field.fault("expected a token id, found \(field.value.kind)")
      }
      ids.append(id)
    }
    return ids
  }

  private mutating func readTokens(_ root: JSONField) throws(TokenizerError) {
    if beginningOfSequence == nil { beginningOfSequence = try Self.token("bos_token", root) }
    if endOfSequence == nil { endOfSequence = try Self.token("eos_token", root) }
    if padding == nil { padding = try Self.token("pad_token", root) }
    if unknown == nil { unknown = try Self.token("unk_token", root) }
  }

  /// A token, written as a string or as an object with its `content`.
  private static func token(
    _ key: String, _ root: JSONField
  ) throws(TokenizerError) -> String? {
    guard let field = try root.optional(key) else { return nil }
    if case .object = field.value { return try field.required("content").string() }
    return try field.string()
  }

  private mutating func readAddedTokens(_ field: JSONField) throws(TokenizerError) {
    for member in try field.members() {
      let token = JSONField(
        value: member.value, source: field.source, place: "\(field.place).\(member.key)")
      guard let id = Int32(member.key), id >= 0, Int(id) <= TokenizerDefinition.highestID else {
        throw token.fault("expected an id as the key, found \"\(member.key)\"")
      }
      addedTokens.append(
        try AddedToken(id: id, content: try token.required("content").string(), flags: token))
    }
  }

  private mutating func readTemplates(_ field: JSONField) throws(TokenizerError) {
    guard case .array = field.value else {
      return setTemplate("default", try field.string())
    }
    for template in try field.elements() {
      setTemplate(
        try template.required("name").string(), try template.required("template").string())
    }
  }

  /// The later file wins.
  private mutating func setTemplate(_ name: String, _ source: String) {
    chatTemplates.removeAll { $0.name == name }
    let template = ChatTemplate(name: name, source: source)
    chatTemplates.insert(template, at: name == "default" ? 0 : chatTemplates.count)
  }
}
