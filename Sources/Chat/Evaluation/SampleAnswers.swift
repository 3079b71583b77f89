internal import Engine
internal import Tokenizers

/// A few answers to held-out questions, to read while a run goes on.
struct SampleAnswers {
  private let conversations: [[Turn]]

  /// The first conversations of `examples` that end with an answer.
  init(_ examples: [Example], count: Int = 2) {
    conversations = Array(
      examples.lazy.compactMap { example in
        guard case .conversation(let turns) = example.content, turns.last?.role == .assistant,
          turns.dropLast().last?.role == .user
        else { return nil }
        return Array(turns.dropLast())
      }.prefix(count))
  }

  /// Greedy answers of at most 64 tokens.
  func answer(_ model: ChatModel) throws -> [(question: String, answer: String)] {
    guard model.template != nil, !conversations.isEmpty else { return [] }
    let requests = try conversations.map { turns in
      let messages = turns.map { ChatMessage(role: $0.role.rawValue, content: $0.content) }
      return (prompt: try model.prompt(messages), options: AnswerOptions(maximumTokenCount: 64))
    }
    let fitting = requests.allSatisfy { $0.prompt.count < model.engine.contextLength }
    guard fitting else { return [] }
    let answers = try model.answer(requests)
    return zip(conversations, answers).map { ($0.last?.content ?? "", $1.text) }
  }
}
