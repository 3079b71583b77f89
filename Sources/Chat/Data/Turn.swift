/// One message of a training conversation.
public struct Turn: Sendable, Equatable, Hashable {
  /// Who speaks, as chat templates name them.
  public enum Role: String, Sendable, CaseIterable {
    case system, user, assistant, tool
  }

  /// Who speaks.
  public let role: Role
  /// What is said, as written in the data file.
  public let content: String

  /// A message of `role` saying `content`.
  public init(_ role: Role, _ content: String) {
    self.role = role
    self.content = content
  }
}

/// One training example and the place it came from.
public struct Example: Sendable, Equatable {
  /// What an example holds.
  public enum Content: Sendable, Equatable {
    /// Messages in order; at least one is the assistant's.
    case conversation([Turn])
    /// Text to continue, with no roles.
    case text(String)
  }

  /// What the example holds.
  public let content: Content
  /// Of preferences, the answer that is not wanted; the conversation ends with the one that is.
  public let rejected: String?
  /// The data file, as the user named it.
  public let file: String
  /// The line the example starts on, counted from 1.
  public let line: Int

  /// An example read from `line` of `file`.
  public init(_ content: Content, rejected: String? = nil, file: String, line: Int) {
    self.content = content
    self.rejected = rejected
    self.file = file
    self.line = line
  }

  /// What the model is asked: the first user turn, or the whole text where there are no roles.
  ///
  /// Splitting and leak finding compare this: two conversations that open with the same question are the same question,
  /// whatever the system prompt before it.
  public var prompt: String {
    switch content {
    case .text(let text): return text
    case .conversation(let turns):
      let opening = turns.first { $0.role == .user } ?? turns.first
      return opening?.content ?? ""
    }
  }

  /// What the model is to answer: the assistant's turns, or the whole text where there are no roles.
  public var answers: [String] {
    switch content {
    case .text(let text): [text]
    case .conversation(let turns): turns.filter { $0.role == .assistant }.map(\.content)
    }
  }

  /// The conversation with the rejected answer in place of the chosen one; nil when there is none.
  public var withRejectedAnswer: Example? {
    guard let rejected, case .conversation(let turns) = content else { return nil }
    return Example(.conversation(turns.dropLast() + [Turn(.assistant, rejected)]), file: file, line: line)
  }

  /// `file:line`.
  public var place: String { "\(file):\(line)" }
}
