/// Draws the message being typed, in place, by the bytes to send to a terminal.
struct PromptView {
  /// A screen's size in cells.
  struct Size: Equatable {
    var width: Int
    var height: Int
  }

  /// Before the first line, and before the others.
  let prompt: String
  let continuation: String
  /// Colours the prompts; the identity where colours are not wanted.
  let style: (String) -> String

  /// What is on the screen.
  private var drawn: (text: [Character], cursor: Int, height: Int)?

  init(prompt: String, continuation: String, style: @escaping (String) -> String = { $0 }) {
    self.prompt = prompt
    self.continuation = continuation
    self.style = style
  }

  /// Draws over what was drawn before.
  ///
  /// Terminals wrap the old text anew when their width changes, so the way up to its first row is that of the old text at
  /// the new width. A message higher than the screen shows the part around the cursor.
  mutating func draw(_ text: [Character], cursor: Int, size: Size) -> String {
    let layout = layout(text, cursor, size.width)
    let top = Self.top(layout, size.height)
    var output = wayToTop(size) + "\r\u{1B}[J"
    let last = min(layout.rows.count, top + size.height) - 1
    for index in top...last { output += row(layout, index, isLast: index == last) }
    let up = last - layout.cursorRow
    if up > 0 { output += "\u{1B}[\(up)A" }
    output += "\r" + (layout.cursorColumn > 0 ? "\u{1B}[\(layout.cursorColumn)C" : "")
    drawn = (text, cursor, size.height)
    return output
  }

  /// Draws the whole message a last time and leaves the cursor on the row below it.
  ///
  /// - Parameter note: What to put behind the text, such as `^C`.
  mutating func finish(_ text: [Character], size: Size, note: String = "") -> String {
    let layout = layout(text + Array(note), text.count + note.count, size.width)
    var output = wayToTop(size) + "\r\u{1B}[J"
    var rows = layout.rows.count
    // The row for a cursor behind a full row is not needed once the line ends.
    if rows > 1, layout.rows[rows - 1].text.isEmpty, layout.rows[rows - 1].prefix.isEmpty { rows -= 1 }
    for index in 0..<rows { output += row(layout, index, isLast: index == rows - 1) }
    drawn = nil
    return output + "\n"
  }

  /// Forgets what was drawn: something else is on the screen now.
  mutating func forget() { drawn = nil }

  private func wayToTop(_ size: Size) -> String {
    guard let drawn else { return "" }
    let old = layout(drawn.text, drawn.cursor, size.width)
    let up = min(old.cursorRow - Self.top(old, drawn.height), size.height - 1)
    return up > 0 ? "\u{1B}[\(up)A" : ""
  }

  private func row(_ layout: PromptLayout, _ index: Int, isLast: Bool) -> String {
    let row = layout.rows[index]
    let text = (row.prefix.isEmpty ? "" : style(row.prefix)) + row.text
    if isLast { return text }
    // A full row goes on by itself, so that the terminal knows it for one line; only an empty rest must be led to.
    return text + (row.endsLine || layout.rows[index + 1].text.isEmpty ? "\n" : "")
  }

  private func layout(_ text: [Character], _ cursor: Int, _ width: Int) -> PromptLayout {
    PromptLayout(prompt: prompt, continuation: continuation, text: text, cursor: cursor, width: width)
  }

  /// The first row to show.
  private static func top(_ layout: PromptLayout, _ height: Int) -> Int {
    layout.rows.count <= height ? 0 : max(0, layout.cursorRow - height + 1)
  }
}
