internal import Chat
internal import Foundation

/// A pull's progress on stderr: a bar that moves when stderr is a terminal, otherwise a line for each file and each note.
final class PullProgress {
  private let isQuiet: Bool
  private let isTerminal = isatty(STDERR_FILENO) == 1
  private var file = ""
  private var started = ContinuousClock.now
  private var atStart = 0
  private var lastShown: ContinuousClock.Instant?
  private var hasOpenLine = false

  init(isQuiet: Bool) { self.isQuiet = isQuiet }

  func show(_ event: PullEvent) {
    guard !isQuiet else { return }
    switch event {
    case .note(let text):
      end()
      write("\(text)\n")
    case .progress(let name, let received, let total): show(name, received, total)
    }
  }

  /// Leaves the bar as it is and goes to the next line.
  func end() {
    if hasOpenLine { write("\n") }
    hasOpenLine = false
  }

  private func show(_ name: String, _ received: Int, _ total: Int?) {
    if name != file {
      end()
      (file, started, atStart, lastShown) = (name, .now, received, nil)
      if !isTerminal { write("\(name)\(total.map { ", \(PullProgress.size($0))" } ?? "")\n") }
    }
    guard isTerminal else { return }
    let now = ContinuousClock.now
    // Ten times a second is as fast as anybody reads.
    if let lastShown, now - lastShown < .milliseconds(100), received != total { return }
    lastShown = now
    let rate = Double(received - atStart) / max(0.001, (now - started).seconds)
    var text = "\r\u{1B}[K\(name)  "
    if let total, total > 0 {
      let filled = received * 24 / total
      text += String(repeating: "█", count: filled) + String(repeating: "░", count: 24 - filled)
      text += "  \(PullProgress.size(received)) of \(PullProgress.size(total))"
    } else {
      text += PullProgress.size(received)
    }
    text += "  \(PullProgress.size(Int(rate)))/s"
    if let total, rate > 0, received < total {
      text += "  \(TrainingProgress.time(Double(total - received) / rate)) left"
    }
    write(text)
    hasOpenLine = true
  }

  /// "98.4 MB".
  private static func size(_ bytes: Int) -> String {
    switch bytes {
    case ..<1000: "\(bytes) B"
    case ..<1_000_000: String(format: "%.0f kB", Double(bytes) / 1e3)
    case ..<1_000_000_000: String(format: "%.1f MB", Double(bytes) / 1e6)
    default: String(format: "%.2f GB", Double(bytes) / 1e9)
    }
  }

  private func write(_ text: String) { StandardError.write(text) }
}
