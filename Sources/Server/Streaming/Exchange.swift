internal import Chat
internal import Engine
internal import Synchronization

/// What was asked and answered in one request, as far as it was sent: for the audit log of a server that keeps that.
final class Exchange: Sendable {
  private struct Answered: Sendable {
    var parts: ToolCallStream
    var text = ""
    var calls: [ToolCallText.Call] = []
    var reason: String?

    var entry: JSON {
      .object([
        "text": .string(text),
        "tool_calls": calls.isEmpty
          ? nil : .array(calls.map { ["name": .string($0.name), "arguments": $0.arguments] }),
        "finish_reason": reason.map { .string($0) },
      ])
    }
  }

  private struct State: Sendable {
    var asked: JSON?
    var isTaken = false
    /// By prompt, then by answer.
    var answers: [[Answered]] = []
  }

  private let state = Mutex(State())

  /// Notes the body of the request.
  func ask(_ body: JSON) { state.withLock { $0.asked = body } }

  /// Notes that answers are being computed: from now on it is kept what was asked, however that ends.
  ///
  /// - Parameter callsTools: Whether they may call tools.
  func take(prompts: Int, answers: Int, callsTools: Bool) {
    let answer = Answered(parts: ToolCallStream(callsTools: callsTools))
    state.withLock { state in
      state.isTaken = true
      state.answers = Array(repeating: Array(repeating: answer, count: answers), count: prompts)
    }
  }

  /// Notes a piece that was sent.
  func append(_ piece: AnswerPiece, prompt: Int) {
    state.withLock { state in
      guard state.answers.indices.contains(prompt), state.answers[prompt].indices.contains(piece.choice) else { return }
      // Parted as the client gets it: a call that was not whole yet was not sent either.
      let (words, calls) = state.answers[prompt][piece.choice].parts.append(piece)
      state.answers[prompt][piece.choice].text += words
      state.answers[prompt][piece.choice].calls += calls
      state.answers[prompt][piece.choice].reason = piece.answer?.finishReason.rawValue
    }
  }

  /// Notes whole answers that are sent in one document.
  func append(_ answers: [[FinishedAnswer]]) {
    for (prompt, answers) in answers.enumerated() {
      for (choice, found) in answers.enumerated() {
        append(AnswerPiece(choice: choice, text: found.answer.text, tokens: [], answer: found.answer), prompt: prompt)
      }
    }
  }

  /// What there is to keep.
  ///
  /// - Parameter isDone: Whether the request was granted; of those that were refused, nothing is kept.
  func content(isDone: Bool) -> [UInt8]? {
    state.withLock { state in
      guard let asked = state.asked, isDone || state.isTaken else { return nil }
      let answers = state.answers.flatMap { $0 }.map(\.entry)
      return JSON.object(["asked": asked, "answered": answers.isEmpty ? nil : .array(answers)]).bytes
    }
  }
}
