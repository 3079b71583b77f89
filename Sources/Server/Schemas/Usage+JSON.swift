internal import Chat
internal import Foundation

/// What a request used.
struct Usage: Sendable {
  let promptTokens: Int
  let completionTokens: Int
  let cachedTokens: Int

  /// - Parameters:
  ///   - answers: All answers of the request.
  ///   - prompts: Each is read once, however many answers there are to it.
  init(_ answers: [Answer], prompts: [[Int32]]) {
    promptTokens = prompts.reduce(0) { $0 + $1.count }
    completionTokens = answers.reduce(0) { $0 + $1.tokens.count }
    // Of several answers to a prompt the later ones find it whole; what counts is what the first one found.
    cachedTokens = min(promptTokens, answers.map(\.cachedTokenCount).min() ?? 0)
  }

  /// As OpenAI's older APIs have it.
  var openAI: JSON {
    [
      "prompt_tokens": .integer(promptTokens), "completion_tokens": .integer(completionTokens),
      "total_tokens": .integer(promptTokens + completionTokens),
      "prompt_tokens_details": ["cached_tokens": .integer(cachedTokens)],
    ]
  }
}

/// The time of day.
enum Clock {
  /// Seconds since 1970.
  static var seconds: Int { Int(Date().timeIntervalSince1970) }
  /// As text, with fractions of seconds.
  static var text: String { Date().ISO8601Format(.init(includingFractionalSeconds: true)) }
  /// A time as text.
  static func text(_ seconds: Int) -> String { Date(timeIntervalSince1970: Double(seconds)).ISO8601Format() }
}
