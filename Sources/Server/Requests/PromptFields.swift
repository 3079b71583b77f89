internal import Chat
internal import Engine

/// Prompts as `/v1/completions` and `/v1/embeddings` send them: a text, ids, or a list of either.
enum PromptFields {
  static func prompts(
    _ fields: inout Fields, _ name: String, _ model: ServedModel, _ limits: ServerSettings.Limits
  ) throws(APIError) -> [[Int32]] {
    guard let value = fields.value(name) else { throw fields.missing(name) }
    if let text = value.text { return [model.text.prompt(raw: text)] }
    guard let elements = value.elements, let first = elements.first else {
      throw fields.wrong(name, "a string, a list of ids, or a list of these", value)
    }
    if case .number = first { return [try ids(elements, name, model)] }
    guard elements.count <= limits.prompts else {
      throw .invalid(name, "\(name) has \(elements.count) prompts: expected at most \(limits.prompts)")
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
