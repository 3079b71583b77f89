internal import Engine
internal import Foundation
internal import Tokenizers

/// A conversation in a file: `{"model", "messages": [{"role", "content"}, …]}` on one line.
///
/// That is the shape of a line of training data too, so `cat *.json > train.jsonl` makes a data set of saved conversations.
public struct SavedConversation: Sendable, Equatable {
  /// The model that answered; nil where the file does not say.
  public var model: String?
  public var conversation: Conversation

  public init(model: String?, _ conversation: Conversation) {
    self.model = model
    self.conversation = conversation
  }

  // MARK: Writing

  /// One line of JSON, with a line end.
  public func json() throws -> String {
    let messages = try conversation.messages.map { message in
      var fields = ["\"role\": \(try Self.json(message.role))", "\"content\": \(try Self.json(message.content))"]
      if let name = message.name { fields.append("\"name\": \(try Self.json(name))") }
      if let calls = message.toolCalls { fields.append("\"tool_calls\": \(try Self.json(value: calls))") }
      return "{\(fields.joined(separator: ", "))}"
    }
    let model = try model.map { "\"model\": \(try Self.json($0)), " } ?? ""
    return "{\(model)\"messages\": [\(messages.joined(separator: ", "))]}\n"
  }

  private static func json(_ value: some Encodable) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.withoutEscapingSlashes]
    return String(decoding: try encoder.encode(value), as: UTF8.self)
  }

  /// Keys in their order, which Foundation's encoder loses.
  private static func json(value: TemplateValue) throws -> String {
    switch value {
    case .object(let entries):
      "{" + (try entries.map { "\(try json($0.key)): \(try json(value: $0.value))" }).joined(separator: ", ") + "}"
    case .array(let elements): "[" + (try elements.map { try json(value: $0) }).joined(separator: ", ") + "]"
    default: try json(value)
    }
  }

  /// Writes the file at `path` whole or not at all, replacing what is there. Others may not read it.
  ///
  /// - Throws: `FileError` when the folder is missing or not writable, or the disk is full.
  public func write(to path: String) throws {
    try AtomicFile.write(try json(), to: path, permissions: 0o600)
  }

  // MARK: Reading

  /// Reads a saved conversation, or a line with `messages` of a JSONL file.
  ///
  /// - Parameter place: A path, or `PATH:LINE` for a file with several conversations.
  /// - Throws: `ConversationError`, with the file, the line or message, what was expected and found, and what to do.
  public init(from place: String) throws(ConversationError) {
    var (path, line): (String, Int?) = (place, nil)
    if !FileManager.default.fileExists(atPath: path), let colon = place.lastIndex(of: ":"),
      let number = Int(place[place.index(after: colon)...])
    {
      (path, line) = (String(place[..<colon]), number)
    }
    let data: Data
    do { data = try Data(contentsOf: URL(filePath: path)) } catch {
      throw ConversationError("\(path): \(Self.reason(path))")
    }
    guard let text = String(validating: data, as: UTF8.self) else {
      throw ConversationError("\(path): is not UTF-8 text: expected the JSON that /save writes")
    }
    try self.init(text, line: line, file: path)
  }

  /// Reads the text of a file.
  ///
  /// - Parameters:
  ///   - line: Which line, from 1; nil is the only conversation there is.
  ///   - file: What errors call it.
  public init(_ text: String, line: Int? = nil, file: String) throws(ConversationError) {
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
      .enumerated().map { (number: $0.offset + 1, text: $0.element) }
    if let line {
      guard lines.indices.contains(line - 1) else {
        throw ConversationError("\(file): has \(lines.count) lines, so there is no line \(line)")
      }
      self = try Self.parse(String(lines[line - 1].text), place: "\(file):\(line)")
      return
    }
    let filled = lines.filter { !$0.text.allSatisfy(\.isWhitespace) }
    if filled.count > 1, let first = filled.first, (try? TemplateValue(json: String(first.text))) != nil {
      throw ConversationError(
        "\(file): holds \(filled.count) conversations: name the line of one of them, for example \(file):\(first.number)"
      )
    }
    self = try Self.parse(text, place: file)
  }

  private static func reason(_ path: String) -> String {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
      return "there is no such file"
    }
    return isFolder.boolValue ? "is a folder: name a file in it" : "cannot be read: check the file's permissions"
  }

  private static func parse(_ text: String, place: String) throws(ConversationError) -> SavedConversation {
    let value: TemplateValue
    do { value = try TemplateValue(json: text) } catch {
      throw ConversationError("\(place): is not JSON (\(error.message)): expected the JSON that /save writes")
    }
    guard case .array(let elements)? = value["messages"] else {
      throw ConversationError("\(place): expected an object with a list of \"messages\", found none")
    }
    var messages: [ChatMessage] = []
    for (index, element) in elements.enumerated() {
      messages.append(try message(element, "\(place): messages[\(index)]"))
    }
    var model: String?
    if case .string(let name)? = value["model"] { model = name }
    return SavedConversation(model: model, Conversation(messages))
  }

  private static func message(_ element: TemplateValue, _ place: String) throws(ConversationError) -> ChatMessage {
    guard case .string(let role)? = element["role"] else {
      throw ConversationError("\(place): expected a \"role\" such as \"user\" or \"assistant\", found none")
    }
    var (content, name): (String?, String?) = (nil, nil)
    switch element["content"] {
    case .string(let text): content = text
    case nil, .some(.none): break
    default: throw ConversationError("\(place): expected text in \"content\", found something else")
    }
    let calls = element["tool_calls"].flatMap { $0 == .none ? nil : $0 }
    guard content != nil || calls != nil else {
      throw ConversationError("\(place): expected text in \"content\", found none")
    }
    if case .string(let text)? = element["name"] { name = text }
    return ChatMessage(role: role, content: content, name: name, toolCalls: calls)
  }
}

/// Why a file is no conversation.
public struct ConversationError: Error, Sendable, Equatable, CustomStringConvertible {
  public let description: String
  init(_ description: String) { self.description = description }
}
