/// One message of a conversation, as chat templates know it.
public struct ChatMessage: Sendable, Equatable, Codable {
  /// Who speaks: `system`, `user`, `assistant` or `tool`; some templates know more.
  public var role: String
  /// What is said. Nil where only tools are called.
  public var content: String?
  /// Name of the speaker or of the tool, where the template wants one.
  public var name: String?
  /// Calls of tools, as the template expects them; printed and walked through in order.
  public var toolCalls: TemplateValue?

  private enum CodingKeys: String, CodingKey {
    case role, content, name
    case toolCalls = "tool_calls"
  }

  /// Makes a message.
  public init(
    role: String, content: String?, name: String? = nil, toolCalls: TemplateValue? = nil
  ) {
    self.role = role
    self.content = content
    self.name = name
    self.toolCalls = toolCalls
  }

  /// What a template sees: `role` and `content` always, the others if there are any.
  public var templateValue: TemplateValue {
    var entries: [(key: String, value: TemplateValue)] = [
      ("role", .string(role)), ("content", content.map { .string($0) } ?? .none),
    ]
    if let name { entries.append(("name", .string(name))) }
    if let toolCalls { entries.append(("tool_calls", toolCalls)) }
    return .object(entries)
  }
}

extension TemplateValue: Codable {
  private struct Key: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }
    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }

  /// Decodes any value. Foundation's decoder does not tell the order of keys, so they come sorted;
  /// where the order matters, use `init(json:)`.
  public init(from decoder: any Decoder) throws {
    if let container = try? decoder.container(keyedBy: Key.self) {
      let keys = container.allKeys.sorted { $0.stringValue.precedes($1.stringValue) }
      self = .object(
        try keys.map { ($0.stringValue, try container.decode(TemplateValue.self, forKey: $0)) })
    } else if var container = try? decoder.unkeyedContainer() {
      var elements: [TemplateValue] = []
      while !container.isAtEnd { elements.append(try container.decode(TemplateValue.self)) }
      self = .array(elements)
    } else {
      let container = try decoder.singleValueContainer()
      if container.decodeNil() {
        self = .none
      } else if let value = try? container.decode(Bool.self) {
        self = .bool(value)
      } else if let value = try? container.decode(Int.self) {
        self = .integer(value)
      } else if let value = try? container.decode(Double.self) {
        self = .double(value)
      } else {
        self = .string(try container.decode(String.self))
      }
    }
  }

  /// Encodes the value; `undefined` becomes null.
  public func encode(to encoder: any Encoder) throws {
    switch self {
    case .object(let entries):
      var container = encoder.container(keyedBy: Key.self)
      for entry in entries { try container.encode(entry.value, forKey: Key(stringValue: entry.key)) }
    case .array(let elements):
      var container = encoder.unkeyedContainer()
      for element in elements { try container.encode(element) }
    default:
      var container = encoder.singleValueContainer()
      switch self {
      case .bool(let value): try container.encode(value)
      case .integer(let value): try container.encode(value)
      case .double(let value): try container.encode(value)
      case .string(let value): try container.encode(value)
      default: try container.encodeNil()
      }
    }
  }
}
