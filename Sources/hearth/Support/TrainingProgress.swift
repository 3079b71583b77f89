internal import Chat
internal import Engine
internal import Foundation
internal import Tokenizers

/// A run's progress on stderr: a bar that moves when stderr is a terminal, a line for each evaluation otherwise.
final class TrainingProgress {
  private let isQuiet: Bool
  private let isTerminal = isatty(STDERR_FILENO) == 1
  private var firstStep: Int?
  private var smoothedLoss: Double?
  private let recipe: FineTuningRecipe
  private let tokenizer: Tokenizer
  /// When the second step that this process takes began: the first one also makes what is made once.
  private var secondStep: ContinuousClock.Instant?

  init(isQuiet: Bool, _ recipe: FineTuningRecipe, _ tokenizer: Tokenizer) {
    self.isQuiet = isQuiet
    self.tokenizer = tokenizer
    self.recipe = recipe
  }

  func show(_ event: FineTuningEvent) {
    guard !isQuiet else { return }
    switch event {
    case .prepared(let training, let validation, let parameters, let steps):
      let summary = DataSummary(
        training: training, validation: validation, maximumLength: recipe.maxLength, tokenizer: tokenizer)
      for text in summary.short { line(text) }
      line("\(parameters) trainable numbers, \(steps) steps")
      for warning in summary.warnings { line(warning) }
    case .resumed(let step): line("resumed after step \(step)")
    case .step(let step): show(step)
    case .evaluation(let evaluation):
      line(
        String(
          format: "step %d: held-out loss %.4f%@%@", evaluation.step, evaluation.loss,
          evaluation.perplexity.map { String(format: ", perplexity %.2f", $0) }
            ?? evaluation.preferences.map {
              String(format: ", %.0f %% of pairs right, margin %.3f", 100 * $0.accuracy, $0.margin)
            } ?? "",
          standing(evaluation)))
    case .probe(let probe):
      line(
        String(
          format:
            "beside what was taught: %.3f bits per byte of general text (base %.3f), %.0f of %d questions (base %.0f)",
          probe.tuned.bits_per_byte, probe.base.bits_per_byte, probe.tuned.accuracy * Double(probe.tuned.questions),
          probe.tuned.questions, probe.base.accuracy * Double(probe.base.questions)))
      for warning in probe.warnings { line("warning: forgotten: \(warning)") }
      if !probe.warnings.isEmpty {
        line(
          "Mix in ordinary conversations (--replay FILE), or use a smaller --learning-rate, fewer --epochs or a smaller --rank"
        )
      }
    case .done(let done):
      line(
        String(
          format: "%@ after %d steps in %.0f s, %.0f tokens/s, %.2f GB: %@",
          done.stoppedEarly ? "stopped early" : done.wasInterrupted ? "stopped" : "done", done.steps, done.seconds,
          done.tokensPerSecond,
          Double(done.peakMemoryBytes) / 1e9, done.output))
      if done.steps == 1, !done.wasInterrupted, recipe.warmupRatio > 0 {
        line(
          "warning: nothing was learned: the first step has the rate 0, and it was the only one. Use a smaller --batch-size, or more "
            + "--epochs or --max-steps.")
      } else if done.baseWasBetter, let base = done.baseLoss, let best = done.bestLoss {
        line(
          String(
            format:
              "warning: the base model was %@ on your validation data: loss %.4f before training, %.4f at best after. ",
            best > base ? "better" : "as good", base, best)
            + "Use the base as it is, or train again with a smaller --learning-rate, fewer --epochs or more examples; "
            + "--preview shows whether the data is what you mean.")
      }
    }
  }

  /// How an evaluation stands beside those before it. A checkpoint can be the best there is and worse than the beginning.
  private func standing(_ evaluation: FineTuningEvent.Evaluation) -> String {
    guard evaluation.isBest else { return "" }
    guard let base = evaluation.baseLoss, evaluation.step > 0, evaluation.loss >= base else {
      return ", the best so far"
    }
    return evaluation.loss == base
      ? ", as before the first step" : ", the best checkpoint so far, worse than before the first step"
  }

  private func show(_ step: FineTuningEvent.Step) {
    smoothedLoss = smoothedLoss.map { 0.9 * $0 + 0.1 * step.loss } ?? step.loss
    let first = firstStep ?? step.step
    firstStep = first
    foretell(step, after: step.step - first)
    guard isTerminal else { return }
    let share = Double(step.step) / Double(max(1, step.stepCount))
    let filled = Int(share * 24)
    let bar = String(repeating: "█", count: filled) + String(repeating: "░", count: 24 - filled)
    var text = String(
      format: "\r\u{1B}[K%@ %d/%d  loss %.4f  %.0f tokens/s", bar, step.step, step.stepCount,
      smoothedLoss ?? step.loss, step.tokensPerSecond)
    // What is measured before the first step says nothing of the others.
    if step.step > first, let secondStep {
      let each = (ContinuousClock.now - secondStep).seconds / Double(step.step - first)
      text += "  \(TrainingProgress.time(each * Double(step.stepCount - step.step))) left"
    }
    write(text)
  }

  /// Says once, when two steps of this process are done, how long the others will take.
  private func foretell(_ step: FineTuningEvent.Step, after count: Int) {
    if count == 0 { secondStep = ContinuousClock.now }
    guard count == 1, step.stepCount - step.step >= 2, let secondStep else { return }
    let seconds = (ContinuousClock.now - secondStep).seconds * Double(step.stepCount - step.step)
    line(
      String(
        format: "about %@ of training to go at %.0f tokens/s; %.2f GB of memory so far", TrainingProgress.time(seconds),
        step.tokensPerSecond, Double(PeakMemory.bytes) / 1e9))
  }

  static func time(_ seconds: Double) -> String {
    let whole = Int(seconds.rounded())
    return whole >= 3600
      ? "\(whole / 3600) h \(whole / 60 % 60) min" : whole >= 60 ? "\(whole / 60) min \(whole % 60) s" : "\(whole) s"
  }

  private func line(_ text: String) { write((isTerminal ? "\r\u{1B}[K" : "") + text + "\n") }
  private func write(_ text: String) { StandardError.write(text) }
}
