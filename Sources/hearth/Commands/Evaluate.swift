internal import ArgumentParser
internal import Chat
internal import Engine
internal import Foundation

/// Measures a model on examples it was not trained on.
struct Evaluate: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measure a model on held-out examples, beside another if you like.",
    discussion: """
      Examples:
        hearth evaluate help-desk --data held-out.jsonl --against smollm2
        hearth evaluate help-desk --data held-out.jsonl --generate --report r.html

      Losses are natural logarithms per token that counts, computed in f32 as in training unless --precision serving is \
      given; answers are computed in the kernels that serve unless --precision reference is given.
      """)

  @Argument(help: "A model's name or path.") var model: String
  @Option(parsing: .upToNextOption, help: "JSONL files of held-out examples.") var data: [String]
  @Option(help: "Another model to compare with.") var against: String?
  @Flag(help: "Let the models answer, and compare the answers with the references.") var generate = false
  @Flag(help: "Measure on general texts and questions too, to see what was forgotten.") var probe = false
  @Option(parsing: .unconditional, help: "The longest answer, in tokens.") var maxTokens = 64
  @Option(parsing: .unconditional, help: "Print this many questions with the answers.") var samples = 0
  @Option(help: "Write a page with figures and sample answers.") var report: String?
  @Flag(help: "Print JSON.") var json = false
  @OptionGroup var options: ModelOptions

  func validate() throws {
    if maxTokens < 1 { throw ValidationError("--max-tokens \(maxTokens): expected at least 1") }
    if samples < 0 { throw ValidationError("--samples \(samples): expected 0 or more") }
    if data.isEmpty { throw ValidationError("--data: expected at least one JSONL file") }
    if against == model {
      throw ValidationError(
        "--against \(model): is the model itself: give another one to compare with, such as its base")
    }
  }

  func run() throws {
    for file in data { try Places.requireReadable(file, "--data") }
    if let report { try Places.requireWritableFile(report, "--report") }
    for name in [model] + (against.map { [$0] } ?? []) { _ = try ModelStore().locate(name) }
    let precision = options.chosenPrecision ?? .reference
    let evaluator = try Evaluator(
      files: data, generates: generate || samples > 0, probes: probe, maximumTokenCount: maxTokens)
    let tuned = try options.open(model)
    let result = try evaluator.evaluate(tuned, precision: precision)
    let other = try against.map {
      try evaluator.evaluate(try options.open($0), date: tuned.trainingDate, precision: precision)
    }
    let comparison = EvaluationComparison(result, against: other)
    if let report {
      try comparison.writeReport(to: report, result.detail, against: other?.detail)
    }
    if json { return try JSONOutput.write(comparison) }
    show(comparison)
    for (index, sample) in result.detail.samples.prefix(samples).enumerated() {
      print("\nQ: \(sample.question)")
      if let other { print("   \(other.evaluation.model): \(flat(other.detail.samples[index].answer))") }
      print("   \(result.evaluation.model): \(flat(sample.answer))")
    }
  }

  /// An answer on one line.
  private func flat(_ text: String) -> String {
    text.split(whereSeparator: \.isNewline).joined(separator: " ")
  }

  private func show(_ comparison: EvaluationComparison) {
    let (tuned, other) = (comparison.evaluation, comparison.against)
    func row(_ name: String, _ value: Double?, _ otherValue: Double?, share: Bool = false) {
      guard let value else { return }
      func text(_ value: Double) -> String {
        share ? String(format: "%.1f %%", 100 * value) : String(format: "%.4f", value)
      }
      let padded = name + String(repeating: " ", count: max(1, 22 - name.count))
      print(padded + (otherValue.map { text($0) + "  →  " } ?? "") + text(value))
    }
    print(
      "\(tuned.examples) examples, \(tuned.supervised_tokens) tokens that count; "
        + (other.map { "\($0.model) → \(tuned.model)" } ?? tuned.model))
    if let cut = tuned.truncated_examples {
      print("\(cut) of them are longer than the context of \(tuned.model): what does not fit is left out")
    }
    row("held-out loss", tuned.loss, other?.loss)
    row("perplexity", tuned.perplexity, other?.perplexity)
    row("bits per byte", tuned.bits_per_byte, other?.bits_per_byte)
    row("key fact right", tuned.key_fact, other?.key_fact, share: true)
    row("exact match", tuned.exact_match, other?.exact_match, share: true)
    row("token F1", tuned.token_f1, other?.token_f1, share: true)
    row("general text", tuned.probe?.bits_per_byte, other?.probe?.bits_per_byte)
    row("general questions", tuned.probe?.accuracy, other?.probe?.accuracy, share: true)
    if let probe = tuned.probe, let base = other?.probe {
      for warning in GeneralProbe.warnings(base: base, tuned: probe) { print("warning: forgotten: \(warning)") }
    }
    if let difference = comparison.difference {
      print(
        String(
          format: "difference in loss    %.4f, 95 %% interval %.4f to %.4f", difference.loss,
          difference.confidence_interval_95[0], difference.confidence_interval_95[1]))
      print(comparison.verdict(difference))
    }
  }
}

extension EvaluationComparison {
  /// What the interval says, in a sentence.
  func verdict(_ difference: Difference) -> String {
    let (name, other) = (evaluation.model, against?.model ?? "the other model")
    if difference.confidence_interval_95[1] < 0 { return "\(name) is better than \(other) on this data." }
    if difference.confidence_interval_95[0] > 0 {
      return
        "\(other) was better than \(name) on this data: what was learned made it worse here. Use \(other), or train "
        + "again with a smaller --learning-rate, fewer --epochs or more examples like these."
    }
    return "The interval contains 0: these examples do not tell which of the two is better; more of them may."
  }
}
