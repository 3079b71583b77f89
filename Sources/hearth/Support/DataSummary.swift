internal import Chat
internal import Engine
internal import Foundation
internal import Tokenizers

/// What is known of a run's data before it begins, in lines: in full for a preview, in short at the start of each run.
struct DataSummary {
  let training: DatasetStatistics
  let validation: DatasetStatistics
  let maximumLength: Int
  let tokenizer: Tokenizer

  /// A few lines that say what is trained on, and that answers will end.
  var short: [String] {
    var lines = [
      "\(shapes): \(training.exampleCount) examples, \(training.tokenCount) tokens, \(training.supervisedCount) of them count; "
        + "\(validation.exampleCount) held out"
    ]
    if training.replayCount > 0 { lines[0] += "; \(training.replayCount) replayed" }
    if let stop = stopToken { lines.append(stop) }
    if training.truncatedCount > 0 {
      lines.append(
        "\(training.truncatedCount) examples are cut at \(maximumLength) tokens and lose \(training.lostSupervisedCount) that count"
      )
    }
    if training.droppedCount > 0 {
      lines.append("\(training.droppedCount) examples have nothing to learn and are dropped")
    }
    if training.duplicateGroupCount > 0 {
      lines.append("\(training.duplicateGroupCount) questions are asked more than once")
    }
    return lines
  }

  /// "{"messages"}"
  var shapes: String { training.shapes.map(\.display).joined(separator: ", ") }

  /// Proof that the model learns to end its answers, or that it does not; nil where there are no answers.
  var stopToken: String? {
    guard training.answerCount > 0 else { return nil }
    let share = "\(training.stoppedAnswerCount) of \(training.answerCount) answers"
    guard let most = stops.first else {
      return "warning: no answer ends with a stop token: the model will not learn to stop"
    }
    return "the stop token \(most.text) (\(most.id)) is learned at the end of \(share)"
      + (stops.count > 1 ? " (and \(stops.dropFirst().map(\.text).joined(separator: ", ")))" : "")
  }

  /// The tokens that answers end with, those of most answers first.
  var stops: [(id: Int32, text: String, answers: Int)] {
    training.stopTokens.sorted { ($0.value, $1.key) > ($1.value, $0.key) }.map { id, count in
      (id, String(decoding: tokenizer.bytes(of: id), as: UTF8.self), count)
    }
  }

  /// What the reader should look at.
  var warnings: [String] {
    training.warnings.map { "warning: \($0.count) × \($0.first)" }
      + validation.leaks.prefix(3).map { "warning: \($0)" }
      + (validation.leaks.count > 3
        ? ["warning: … and \(validation.leaks.count - 3) more held-out examples like these"] : [])
  }
}
