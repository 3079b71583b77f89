internal import Engine
internal import Foundation

/// The page that a run leaves behind: curves, figures, the recipe.
struct RunReport {
  let folder: RunFolder
  let recipe: FineTuningRecipe
  let baseName: String

  /// Reads the metrics of the whole run, resumed parts included, and writes `report.html`.
  func write(_ done: FineTuningEvent.Done, baseLoss: Double?, probe: FineTuningEvent.Probe?) throws {
    var report = Report(
      title: URL(filePath: folder.path).lastPathComponent,
      subtitle: "\(baseName), \(recipe.method == .lora ? "LoRA of rank \(recipe.rank)" : "all parameters") on "
        + recipe.data.map { URL(filePath: $0).lastPathComponent }.joined(separator: ", "))
    report.highlights = [
      .init("steps", "\(done.steps)"),
      .init("tokens per second", String(format: "%.0f", done.tokensPerSecond)),
      .init("peak memory", String(format: "%.2f GB", Double(done.peakMemoryBytes) / 1e9)),
    ]
    readMetrics(into: &report)
    report.bestStep = done.bestStep
    if let baseLoss, let bestLoss = done.bestLoss {
      report.comparisons = [
        .init(
          name: "Validation loss",
          explanation: recipe.objective == .dpo
            ? "per pair, −log σ(margin)" : "per supervised token, natural logarithm",
          base: baseLoss, tuned: bestLoss, lowerIsBetter: true)
      ]
      if recipe.objective == .sft {
        report.comparisons.append(
          .init(name: "Validation perplexity", base: exp(baseLoss), tuned: exp(bestLoss), lowerIsBetter: true))
      }
    }
    if let probe {
      report.comparisons += [
        .init(
          name: "General text", explanation: "bits per byte of texts that were not taught",
          base: probe.base.bits_per_byte,
          tuned: probe.tuned.bits_per_byte, lowerIsBetter: true),
        .init(
          name: "General questions", explanation: "\(probe.tuned.questions) of common knowledge, four choices",
          base: probe.base.accuracy, tuned: probe.tuned.accuracy, lowerIsBetter: false, format: .percent),
      ]
      report.notes += probe.warnings.map { "Forgotten: " + $0 }
    }
    report.recipe = try recipe.entries()
    try AtomicFile.write(report.html, to: folder.file(RunFolder.reportName))
  }

  private struct Line: Decodable {
    let event: String
    let step: Int
    let loss: Double?
  }

  private func readMetrics(into report: inout Report) {
    guard let data = FileManager.default.contents(atPath: folder.file(RunFolder.metricsName)) else { return }
    for line in data.split(separator: UInt8(ascii: "\n")) {
      guard let line = try? JSONDecoder().decode(Line.self, from: Data(line)), let loss = line.loss else {
        continue
      }
      switch line.event {
      case "step": report.trainingLoss.append(.init(step: line.step, value: loss))
      case "evaluation": report.validationLoss.append(.init(step: line.step, value: loss))
      default: break
      }
    }
  }
}
