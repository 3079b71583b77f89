public import Tokenizers

/// What was said so far: a system message if there is one, then questions and answers in turn.
///
/// A question may be open: asked and not yet answered, because the answer failed or was stopped before its first word.
public struct Conversation: Sendable, Equatable {
  /// Every message in order, as chat templates and `messages` in data files have them.
  public private(set) var messages: [ChatMessage]

  /// A conversation of `messages`, or one with nothing said yet.
  public init(_ messages: [ChatMessage] = []) { self.messages = messages }

  /// The system message at the start; nil is none, and the model's template may then add its own.
  public var system: String? {
    get { messages.first.flatMap { $0.role == "system" ? $0.content : nil } }
    set {
      if messages.first?.role == "system" { messages.removeFirst() }
      if let newValue { messages.insert(ChatMessage(role: "system", content: newValue), at: 0) }
    }
  }

  /// Whether the last question has no answer.
  public var hasOpenQuestion: Bool { messages.last?.role == "user" }

  /// Whether nothing was asked yet.
  public var isEmpty: Bool { !messages.contains { $0.role == "user" } }

  /// How many answers there are.
  public var answerCount: Int { messages.count { $0.role == "assistant" } }

  /// The latest question.
  public var question: String? { messages.last { $0.role == "user" }?.content }

  /// The latest answer, unless a question was asked since.
  public var answer: String? { messages.last.flatMap { $0.role == "assistant" ? $0.content : nil } }

  /// Asks `text`, in place of a question that is still open.
  public mutating func ask(_ text: String) {
    if hasOpenQuestion { messages.removeLast() }
    messages.append(ChatMessage(role: "user", content: text))
  }

  /// Answers the open question.
  public mutating func answer(_ text: String) {
    precondition(hasOpenQuestion, "an answer without a question")
    messages.append(ChatMessage(role: "assistant", content: text))
  }

  /// Takes back everything after the last question, so that it can be answered anew.
  ///
  /// - Returns: The question; nil, and nothing is changed, when nothing was asked.
  @discardableResult
  public mutating func reopen() -> String? {
    guard let index = messages.lastIndex(where: { $0.role == "user" }) else { return nil }
    messages.removeSubrange((index + 1)...)
    return messages[index].content
  }

  /// Takes back the last question and what followed it.
  ///
  /// - Returns: The question; nil, and nothing is changed, when nothing was asked.
  @discardableResult
  public mutating func undo() -> String? {
    guard let index = messages.lastIndex(where: { $0.role == "user" }) else { return nil }
    let question = messages[index].content
    messages.removeSubrange(index...)
    return question
  }

  /// Takes back everything but the system message.
  public mutating func clear() {
    messages = system == nil ? [] : Array(messages.prefix(1))
  }
}
