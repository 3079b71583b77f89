internal import Chat
internal import Engine

/// Prompts as `/v1/completions` and `/v1/embeddings` send them: a text, ids, or a list of either.
enum PromptFields {
  static func prompts(
    _ fields: inout Fields, _ name: String, _ model: ServedModel, most: Int
  ) throws(APIError) -> [[Int32]] {
    guard let value = fields.value(name) else { throw fields.missing(name) }
    if let text = value.text { return [model.text.prompt(raw: text)] }
    guard let elements = value.elements, let first = elements.first else {
      throw fields.wrong(name, "a string, a list of ids, or a list of these", value)
    }
    if case .number = first { return [try ids(elements, name, model)] }
    guard elements.count <= most else {
      throw .invalid(name, "\(name) has \(elements.count) texts: expected at most \(most)")
    }
    var prompts: [[Int32]] = []
    for (index, element) in elements.enumerated() {
      if let text = element.text {
        prompts.append(model.text.prompt(raw: text))
      } else if let numbers = element.elements {
        prompts.append(try ids(numbers, "\(name)[\(index)]", model))
      } else {
        throw fields.wrong(name + "[\(index)]", "a string or a list of ids", element)
      }
    }
    return prompts
  }

  static func ids(_ elements: [JSON], _ name: String, _ model: ServedModel) throws(APIError) -> [Int32] {
    var ids: [Int32] = []
    ids.reserveCapacity(elements.count)
    for element in elements {
      guard case .number(let text) = element, let id = Int32(text), id >= 0, Int(id) < model.vocabularyCount else {
        throw .invalid(name, "\(name): expected ids from 0 to \(model.vocabularyCount - 1)")
      }
      ids.append(id)
    }
    return ids
  }
}

extension Fields {
  /// A text, or a list of parts that are texts, joined; nil when there is none.
  ///
  /// - Parameters:
  ///   - types: What this API calls a part that is text.
  ///   - ignored: Members of such a part that say nothing about it.
  mutating func text(
    _ name: String, types: Set<String>, ignoring ignored: [String] = [], _ limits: ServerSettings.Limits
  ) throws(APIError) -> String? {
    guard let value = value(name) else { return nil }
    if let text = value.text { return text }
    guard let parts = value.elements else { throw wrong(name, "a string or a list of parts", value) }
    guard parts.count <= limits.contentParts else {
      throw .invalid(path(name), "\(path(name)) has \(parts.count) parts: expected at most \(limits.contentParts)")
    }
    var text = ""
    for (index, part) in parts.enumerated() {
      var part = try Fields(part, at: path(name) + "[\(index)]")
      let type = try part.requiredString("type")
      guard types.contains(type) else { throw part.notText(type) }
      text += try part.requiredString("text")
      for name in ignored { part.ignore(name) }
      try part.finish()
    }
    return text
  }

  /// A part of some type that models here do not read.
  func notText(_ type: String) -> APIError {
    .invalid(
      path("type"), "\(path("type")) is \"\(type.prefix(40))\": this server's models read text only",
      code: "unsupported_content")
  }
}
