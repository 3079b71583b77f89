internal import Chat
internal import Engine
internal import Foundation

/// A run's events as JSON, one object a line.
enum TrainingEventJSON {
  private struct Step: Encodable {
    let event = "step"
    let step: Int
    let epoch: Double
    let loss: Double
    let learning_rate: Double
    let gradient_norm: Double
    let supervised_tokens: Int
    let tokens_per_second: Double
    let rewards: Rewards?
  }
  private struct Evaluation: Encodable {
    let event = "evaluation"
    let step: Int
    let loss: Double
    let perplexity: Double?
    let best: Bool
    let rewards: Rewards?
  }
  private struct Rewards: Encodable {
    let accuracy: Double
    let margin: Double
    let chosen: Double
    let rejected: Double

    init?(_ figures: PreferenceFigures?) {
      guard let figures else { return nil }
      (accuracy, margin, chosen, rejected) = (figures.accuracy, figures.margin, figures.chosen, figures.rejected)
    }
  }
  private struct Probe: Encodable {
    let event = "probe"
    let base: GeneralProbe.Score
    let tuned: GeneralProbe.Score
    let warnings: [String]
  }
  private struct Done: Encodable {
    let event = "done"
    let steps: Int
    let best_step: Int?
    let best_loss: Double?
    let base_loss: Double?
    let output: String
    let seconds: Double
    let tokens_per_second: Double
    let peak_memory_bytes: Int
  }

  /// The event's line, with its end; nil for events that have none.
  static func line(_ event: FineTuningEvent) throws -> Data? {
    switch event {
    case .prepared, .resumed: nil
    case .step(let s):
      try JSONOutput.line(
        Step(
          step: s.step, epoch: s.epoch, loss: s.loss, learning_rate: s.learningRate,
          gradient_norm: s.gradientNorm, supervised_tokens: s.supervisedTokens,
          tokens_per_second: s.tokensPerSecond, rewards: Rewards(s.preferences)))
    case .evaluation(let e):
      try JSONOutput.line(
        Evaluation(
          step: e.step, loss: e.loss, perplexity: e.perplexity, best: e.isBest, rewards: Rewards(e.preferences)))
    case .probe(let p): try JSONOutput.line(Probe(base: p.base, tuned: p.tuned, warnings: p.warnings))
    case .done(let d):
      try JSONOutput.line(
        Done(
          steps: d.steps, best_step: d.bestStep, best_loss: d.bestLoss, base_loss: d.baseLoss, output: d.output,
          seconds: d.seconds,
          tokens_per_second: d.tokensPerSecond, peak_memory_bytes: d.peakMemoryBytes))
    }
  }
}

/// A run's events on their way to a program that may stop reading.
///
/// A run takes hours, and `metrics.jsonl` has its events too. So the reader decides nothing: if it goes (`hearth finetune --json | head -1`),
/// a note says so once; if it stops reading, lines wait here until it goes on, and the run does not wait with them. A program that started
/// the run for itself can ask for the opposite, so that it leaves nothing behind when it is killed.
final class TrainingEventStream {
  /// A pipe that is ready takes so many bytes without waiting (PIPE_BUF).
  private static let pieceBytes = 4096
  /// For how long the last lines of a run that was interrupted are offered, in seconds.
  private static let patience = 1.0

  private let output: String
  private let endsWithReader: Bool
  private var waiting = Data()
  /// Why nothing is written any more.
  private var failure: (any Error)?

  /// - Parameters:
  ///   - output: The run folder.
  ///   - endsWithReader: Whether the run is interrupted, as by Ctrl-C, when nobody reads any more.
  init(output: String, endsWithReader: Bool) { (self.output, self.endsWithReader) = (output, endsWithReader) }

  /// Takes an event, and writes what the reader takes now.
  func write(_ event: FineTuningEvent) throws {
    guard failure == nil, let line = try TrainingEventJSON.line(event) else { return }
    waiting += line
    writeOn(timeout: 0)
  }

  /// Waits until everything is read. Ctrl-C ends the waiting.
  ///
  /// - Throws: `CommandError` when lines were lost though somebody reads them: a full disk, say.
  func finish() throws {
    var end: ContinuousClock.Instant?
    while !waiting.isEmpty, failure == nil {
      if Interruption.isRequested, end == nil { end = ContinuousClock.now + .seconds(TrainingEventStream.patience) }
      if let end, ContinuousClock.now > end { return }
      writeOn(timeout: 100)
    }
    if let failure, !(failure is OutputClosed) { throw failure }
  }

  /// - Parameter timeout: For how long to wait for a reader that is busy, in milliseconds.
  private func writeOn(timeout: Int32) {
    while !waiting.isEmpty, failure == nil {
      var ready = pollfd(fd: STDOUT_FILENO, events: Int16(POLLOUT), revents: 0)
      guard poll(&ready, 1, timeout) > 0 else { return }
      let piece = waiting.prefix(TrainingEventStream.pieceBytes)
      do { try StandardOutput.write(piece) } catch {
        failure = error
        let reason = error is OutputClosed ? "nobody reads standard output any more" : "\(error)"
        if endsWithReader {
          StandardError.write("note: \(reason); the run stops with a checkpoint\n")
          Interruption.request()
        } else {
          StandardError.write("note: \(reason); the run goes on, and its events are in \(output)/metrics.jsonl\n")
        }
      }
      waiting = Data(waiting.dropFirst(piece.count))
    }
  }
}
