internal import Engine

extension EvaluationComparison {
  /// A page that shows the figures and sample answers, for people.
  public func html(_ tuned: EvaluationDetail, against base: EvaluationDetail?) -> String {
    var report = Report(
      title: evaluation.model,
      subtitle: "\(evaluation.examples) held-out examples, \(evaluation.supervised_tokens) tokens that count"
        + (against.map { ", beside \($0.model)" } ?? ""))
    let interval = difference.flatMap { difference -> ClosedRange<Double>? in
      let (low, high) = (difference.confidence_interval_95[0], difference.confidence_interval_95[1])
      return low <= high ? low...high : nil
    }
    report.comparisons = [
      .init(
        name: "Held-out loss", explanation: "per token that counts, natural logarithm", base: against?.loss,
        tuned: evaluation.loss, interval: interval, lowerIsBetter: true),
      .init(name: "Perplexity", base: against?.perplexity, tuned: evaluation.perplexity, lowerIsBetter: true),
      .init(
        name: "Bits per byte", base: against?.bits_per_byte, tuned: evaluation.bits_per_byte, lowerIsBetter: true),
    ]
    func add(_ name: String, _ explanation: String, _ value: Double?, _ other: Double?) {
      guard let value else { return }
      report.comparisons.append(
        .init(name: name, explanation: explanation, base: other, tuned: value, lowerIsBetter: false, format: .percent))
    }
    add("Key fact right", "the answer states the fact in one of its spellings", evaluation.key_fact, against?.key_fact)
    add("Exact match", "after SQuAD's normalisation", evaluation.exact_match, against?.exact_match)
    add("Token F1", "words shared with the reference", evaluation.token_f1, against?.token_f1)
    if let probe = evaluation.probe {
      report.comparisons.append(
        .init(
          name: "General text", explanation: "bits per byte of texts that were not taught",
          base: against?.probe?.bits_per_byte,
          tuned: probe.bits_per_byte, lowerIsBetter: true))
    }
    add(
      "General questions", "of common knowledge, four choices", evaluation.probe?.accuracy, against?.probe?.accuracy)
    report.samples = tuned.answers.prefix(24).enumerated().map { index, answered in
      let other = base.flatMap { $0.answers.indices.contains(index) ? $0.answers[index] : nil }
      return .init(
        question: answered.question, reference: answered.reference, base: other?.answer, tuned: answered.answer,
        baseIsRight: other?.isRight, tunedIsRight: answered.isRight)
    }
    return report.html
  }
}

extension EvaluationComparison {
  /// Writes the page.
  ///
  /// - Throws: `FileError` when it cannot be written; nothing half-written is left behind.
  public func writeReport(to path: String, _ tuned: EvaluationDetail, against base: EvaluationDetail?) throws {
    try AtomicFile.write(html(tuned, against: base), to: path)
  }
}
