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
    let training_examples: Int
    let validation_examples: Int
    let tokens: Int
    let supervised_tokens: Int
    let truncated_examples: Int
    let lost_supervised_tokens: Int
    let dropped_examples: Int
    let duplicate_groups: Int
    let leaks: Int
    let longest: Int
    let steps: Int
  }

  func print(json: Bool) throws {
    let data = try PreparedData(recipe, for: model)
    let (training, validation) = (data.trainingStatistics, data.validationStatistics)
    if json {
      return try JSONOutput.write(
        Summary(
          training_examples: training.exampleCount, validation_examples: validation.exampleCount,
          tokens: training.tokenCount, supervised_tokens: training.supervisedCount,
          truncated_examples: training.truncatedCount, lost_supervised_tokens: training.lostSupervisedCount,
          dropped_examples: training.droppedCount, duplicate_groups: training.duplicateGroupCount,
          leaks: validation.leaks.count, longest: training.length(at: 1), steps: data.stepCount))
    }
    let tokenizer = model.tokenizer
    let preview = MaskPreview(style: isatty(STDOUT_FILENO) == 1 ? .colored : .bracketed) {
      Array(tokenizer.bytes(of: $0))
    }
    Swift.print("What counts in the loss is \(isatty(STDOUT_FILENO) == 1 ? "green" : "in [brackets]"):\n")
    for example in data.first(2) { Swift.print(preview.render(example), terminator: "\n\n") }
    Swift.print(
      """
      \(training.exampleCount) examples to learn from, \(validation.exampleCount) held out, \(data.stepCount) steps
      \(training.tokenCount) tokens, of which \(training.supervisedCount) count
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
    for warning in training.warnings { Swift.print("warning: \(warning.count) × \(warning.first)") }
    for leak in validation.leaks.prefix(5) { Swift.print("warning: \(leak)") }
  }
}
