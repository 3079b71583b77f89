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

  /// Tokens of an answer, at most.
  static let longestAnswer = 64

  /// The questions as tokens; none when there are none that fit, or no template.
  func prompts(for model: ChatModel) throws -> [[Int32]] {
    guard model.template != nil else { return [] }
    let prompts = try conversations.map { turns in
      try model.prompt(turns.map { ChatMessage(role: $0.role.rawValue, content: $0.content) })
    }
    return prompts.allSatisfy { $0.count < model.engine.contextLength } ? prompts : []
  }

  /// Greedy answers.
  func answer(_ model: ChatModel) throws -> [(question: String, answer: String)] {
    let prompts = try prompts(for: model)
    guard !prompts.isEmpty else { return [] }
    let answers = try model.answer(
      prompts.map { ($0, AnswerOptions(maximumTokenCount: SampleAnswers.longestAnswer)) })
    return zip(conversations, answers).map { ($0.last?.content ?? "", $1.text) }
  }
}
