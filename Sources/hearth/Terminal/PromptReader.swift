/// Reads messages from a terminal with line editing.
final class PromptReader {
  /// What a person did at the prompt.
  enum Input: Equatable {
    /// A message as typed; empty when there was nothing but Enter.
    case message(String)
    /// Ctrl-C on an empty line.
    case interrupt
    case endOfInput
  }

  private let terminal: Terminal
  private var editor: LineEditor
  private var view: PromptView
  private var decoder = KeyDecoder()
  /// Keys that came with those that ended the last message.
  private var waiting: [Key] = []

  init(_ terminal: Terminal, _ editor: LineEditor, _ view: PromptView) {
    self.terminal = terminal
    self.editor = editor
    self.view = view
  }

  /// Remembers a message for the up arrow.
  func remember(_ message: String) { editor.remember(message) }

  /// Shows the prompt and reads a message.
  func read() -> Input {
    terminal.enter(.editing)
    view.forget()
    draw()
    while true {
      if !waiting.isEmpty {
        let key = waiting.removeFirst()
        if let input = handle(key) { return input }
        continue
      }
      // Half a key that nothing follows within this time was the Escape key.
      switch terminal.wait(milliseconds: decoder.isWaiting ? 50 : nil) {
      case .bytes(let bytes): waiting = decoder.decode(bytes)
      case .timeOut: waiting = decoder.timeOut()
      case .redraw(let moved):
        if moved { view.forget() }
        draw()
      case .endOfInput:
        finish(editor.text)
        return .endOfInput
      }
    }
  }

  private func handle(_ key: Key) -> Input? {
    let before = editor.text
    switch editor.handle(key) {
    case .none: break
    case .redraw:
      // Keys that came together, as when pasting, are drawn together.
      if waiting.isEmpty { draw() }
    case .submit(let text):
      finish(before)
      return .message(text)
    case .abandon:
      finish(before, note: "^C")
      editor.clear()
      draw()
    case .interrupt:
      finish(before)
      return .interrupt
    case .endOfInput:
      finish(before)
      return .endOfInput
    case .suspend:
      finish(before)
      terminal.suspend()
    // Going on wakes the reader up, which draws.
    case .clearScreen:
      terminal.write("\u{1B}[H\u{1B}[2J")
      view.forget()
      draw()
    case .bell: if waiting.isEmpty { terminal.write("\u{07}") }
    }
    return nil
  }

  private func draw() {
    terminal.write(view.draw(editor.text, cursor: editor.cursor, size: terminal.size))
  }

  private func finish(_ text: [Character], note: String = "") {
    terminal.write(view.finish(text, size: terminal.size, note: note))
  }
}
