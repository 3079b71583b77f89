internal import Foundation

/// Where a chat takes place: a terminal, or a pipe.
protocol ChatConsole: AnyObject {
  /// Reads a message or a command.
  func read() -> PromptReader.Input
  /// Remembers what was typed.
  func remember(_ text: String)
  /// Tells something that is not the model's answer.
  func say(_ text: String)
  /// Tells what went wrong.
  func complain(_ text: String)
  func beginAnswer()
  /// Shows a piece of the answer.
  func show(_ text: String)
  /// - Parameter note: Why the answer ends early, nil when it does not.
  func endAnswer(note: String?)
  /// Whether Ctrl-C was pressed since the answer began.
  var isInterrupted: Bool { get }
}

/// A person at a terminal.
final class TerminalConsole: ChatConsole {
  private let terminal: Terminal
  private let reader: PromptReader
  private var history: HistoryFile?
  private let isColoured: Bool
  private let breaksLines: Bool
  private var writer = AnswerWriter(width: nil)
  private var interruptCount = 0

  /// - Parameters:
  ///   - history: nil keeps nothing.
  ///   - breaksLines: Whether long lines of an answer are broken between words.
  init(_ terminal: Terminal, history: HistoryFile?, breaksLines: Bool) {
    let isColoured = (ProcessInfo.processInfo.environment["NO_COLOR"] ?? "").isEmpty
    self.terminal = terminal
    self.history = history
    self.isColoured = isColoured
    self.breaksLines = breaksLines
    reader = PromptReader(
      terminal,
      LineEditor(
        history: InputHistory(history?.read() ?? []), completions: ChatCommand.list.map(\.name)),
      PromptView(prompt: ">>> ", continuation: "... ") { isColoured ? "\u{1B}[1m\($0)\u{1B}[0m" : $0 })
  }

  func read() -> PromptReader.Input { reader.read() }

  func remember(_ text: String) {
    reader.remember(text)
    do { try history?.append(text) } catch {
      history = nil
      complain("The history is not kept: \(error)")
    }
  }

  func say(_ text: String) { terminal.write(styled(fitted(text), "2") + "\n") }

  func complain(_ text: String) { terminal.write(styled(fitted(text), "33") + "\n") }

  /// Shows a line until the next thing is written.
  func sayBriefly(_ text: String) { terminal.write(styled(text, "2")) }
  func takeBack() { terminal.write("\r\u{1B}[K") }

  func beginAnswer() {
    terminal.enter(.answering)
    interruptCount = TerminalSignals.interruptCount
    writer = AnswerWriter(width: breaksLines ? terminal.size.width : nil)
  }

  func show(_ text: String) { terminal.write(writer.append(text)) }

  func endAnswer(note: String?) {
    terminal.write(writer.finish() + "\n")
    if let note { say(note) }
    terminal.write("\n")
  }

  var isInterrupted: Bool { TerminalSignals.interruptCount != interruptCount }

  private func fitted(_ text: String) -> String {
    var writer = AnswerWriter(width: terminal.size.width)
    return writer.append(text) + writer.finish()
  }

  private func styled(_ text: String, _ code: String) -> String {
    isColoured ? "\u{1B}[\(code)m\(text)\u{1B}[0m" : text
  }
}

/// Messages line by line on stdin, answers on stdout, everything else on stderr.
final class LineConsole: ChatConsole {
  /// Whether something went wrong on the way.
  private(set) var hasFailed = false
  private var isGone = false

  func read() -> PromptReader.Input {
    if isatty(STDIN_FILENO) == 1 { write(">>> ", to: STDERR_FILENO) }
    var text = ""
    while !isGone, let line = readLine(strippingNewline: true) {
      text += text.isEmpty ? line : "\n" + line
      if !MessageSyntax.isIncomplete(text) { return .message(text) }
      text += text.isEmpty ? "\n" : ""
    }
    // The end of the input ends an unfinished message too.
    return text.isEmpty || isGone ? .endOfInput : .message(text)
  }

  func remember(_ text: String) {}
  func say(_ text: String) { write(text + "\n", to: STDERR_FILENO) }

  func complain(_ text: String) {
    hasFailed = true
    write("hearth: \(text)\n", to: STDERR_FILENO)
  }

  func beginAnswer() { Interruption.reset() }
  func show(_ text: String) { write(text, to: STDOUT_FILENO) }

  func endAnswer(note: String?) {
    signal(SIGINT, SIG_DFL)
    write("\n", to: STDOUT_FILENO)
    if let note { say(note) }
  }

  /// Also when nobody reads the answers any more.
  var isInterrupted: Bool { Interruption.isRequested || isGone }

  private func write(_ text: String, to descriptor: Int32) {
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
      let count = bytes.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
      if count > 0 {
        bytes = bytes.dropFirst(count)
      } else if errno != EINTR {
        if descriptor == STDOUT_FILENO { isGone = true }
        return
      }
    }
  }
}
