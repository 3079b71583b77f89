internal import Chat
internal import Foundation
internal import Tokenizers

/// What a run would train on, without training.
struct FineTuningPreview {
  private let recipe: FineTuningRecipe
  private let model: ChatModel

  init(_ recipe: FineTuningRecipe, _ model: ChatModel) {
    self.recipe = recipe
    self.model = model
  }

  private struct Summary: Encodable {
    let shapes: [String]
    let training_examples: Int
    let validation_examples: Int
    let replay_examples: Int
    let tokens: Int
    let supervised_tokens: Int
    let truncated_examples: Int
    let lost_supervised_tokens: Int
    let dropped_examples: Int
    let duplicate_groups: Int
    let leaks: Int
    let longest: Int
    let lengths: [Bar]
    let answers: Int
    let answers_with_stop_token: Int
    let stop_tokens: [Stop]
    let steps: Int
    let forecast: TrainingForecast

    struct Bar: Encodable {
      let from: Int
      let to: Int
      let examples: Int
    }
    struct Stop: Encodable {
      let id: Int32
      let text: String
      let answers: Int
    }
  }

  func print(json: Bool) throws {
    let data = try PreparedData(recipe, for: model)
    let (training, validation) = (data.trainingStatistics, data.validationStatistics)
    let summary = DataSummary(
      training: training, validation: validation, maximumLength: recipe.maxLength, tokenizer: model.tokenizer)
    if json {
      return try JSONOutput.write(
        Summary(
          shapes: training.shapes.map(\.rawValue), training_examples: training.exampleCount,
          validation_examples: validation.exampleCount, replay_examples: training.replayCount,
          tokens: training.tokenCount, supervised_tokens: training.supervisedCount,
          truncated_examples: training.truncatedCount, lost_supervised_tokens: training.lostSupervisedCount,
          dropped_examples: training.droppedCount, duplicate_groups: training.duplicateGroupCount,
          leaks: validation.leaks.count, longest: training.length(at: 1),
          lengths: training.histogram().map {
            .init(from: $0.lengths.lowerBound, to: $0.lengths.upperBound - 1, examples: $0.count)
          },
          answers: training.answerCount, answers_with_stop_token: training.stoppedAnswerCount,
          stop_tokens: summary.stops.map { .init(id: $0.id, text: $0.text, answers: $0.answers) },
          steps: data.stepCount, forecast: try data.forecast(recipe, for: model)))
    }
    showExamples(data)
    showFigures(data, summary)
    for warning in summary.warnings { Swift.print(warning) }
    try StandardOutput.finish()
    showForecast(try data.forecast(recipe, for: model))
  }

  private func showExamples(_ data: PreparedData) {
    let isTerminal = isatty(STDOUT_FILENO) == 1
    let tokenizer = model.tokenizer
    let bytes: @Sendable (Int32) -> [UInt8] = { Array(tokenizer.bytes(of: $0)) }
    let rejected = data.firstRejected(2)
    let plain = MaskPreview(style: .bracketed, bytes: bytes)
    let hasBrackets = (data.first(2) + rejected).contains { plain.hasBrackets($0) }
    let preview =
      isTerminal
      ? MaskPreview(style: .colored, bytes: bytes)
      : hasBrackets ? MaskPreview(style: .doublyBracketed, bytes: bytes) : plain
    let marks = isTerminal ? "green" : hasBrackets ? "in ⟦double brackets⟧" : "in [brackets]"
    Swift.print("What counts in the loss is \(marks):\n")
    for (index, example) in data.first(2).enumerated() {
      if !rejected.isEmpty { Swift.print("chosen:") }
      Swift.print(preview.render(example), terminator: "\n\n")
      guard rejected.indices.contains(index) else { continue }
      Swift.print("rejected:")
      Swift.print(preview.render(rejected[index]), terminator: "\n\n")
    }
  }

  private func showFigures(_ data: PreparedData, _ summary: DataSummary) {
    let (training, validation) = (data.trainingStatistics, data.validationStatistics)
    Swift.print(
      """
      the data is \(summary.shapes)
      \(training.exampleCount) examples to learn from, \(validation.exampleCount) held out, \(data.stepCount) steps
      """)
    if training.replayCount > 0 { Swift.print("\(training.replayCount) more are mixed in from --replay") }
    Swift.print("\(training.tokenCount) tokens, of which \(training.supervisedCount) count")
    if let stop = summary.stopToken { Swift.print(stop) }
    Swift.print(
      """
      cut at \(recipe.maxLength) tokens: \(training.truncatedCount) examples, losing \(training.lostSupervisedCount) tokens that count
      dropped for having nothing to learn: \(training.droppedCount)
      questions asked more than once: \(training.duplicateGroupCount)
      held-out examples that are also trained on: \(validation.leaks.count)

      lengths in tokens:
      """)
    let bars = training.histogram()
    let most = max(1, bars.map(\.count).max() ?? 1)
    for bar in bars {
      let range = "\(bar.lengths.lowerBound)–\(bar.lengths.upperBound - 1)"
      let padding = String(repeating: " ", count: max(0, 12 - range.count))
      Swift.print(padding + range + " " + String(repeating: "█", count: bar.count * 40 / most) + " \(bar.count)")
    }
  }

  private func showForecast(_ forecast: TrainingForecast) {
    Swift.print(
      String(
        format: "forecast: about %@ at %.0f tokens/s, and %@ of memory (from a pass of %d tokens; the largest has %d)",
        TrainingProgress.time(forecast.seconds), forecast.tokens_per_second, ByteText.of(forecast.memory_bytes),
        forecast.probed_tokens, forecast.largest_tokens))
  }
}
