/// Where each character of the message being typed stands on a screen of some width.
struct PromptLayout: Equatable {
  /// One row of the screen.
  struct Row: Equatable {
    /// What stands before the text; empty where a long line goes on.
    var prefix: String
    var text: String
    /// Whether the line ends here; otherwise it goes on in the next row.
    var endsLine: Bool
  }

  let rows: [Row]
  /// The cursor's place, from 0.
  let cursorRow: Int
  let cursorColumn: Int

  /// - Parameters:
  ///   - prompt: Stands before the first line.
  ///   - continuation: Stands before the others.
  ///   - width: Cells of a row.
  init(prompt: String, continuation: String, text: [Character], cursor: Int, width: Int) {
    let width = max(width, 2)
    var rows = [Row(prefix: prompt, text: "", endsLine: false)]
    var column = DisplayWidth.of(prompt)
    var place = (row: 0, column: column)
    for (index, character) in text.enumerated() {
      let cells = character == "\n" ? 0 : DisplayWidth.of(character)
      if character != "\n", column + cells > width {
        rows.append(Row(prefix: "", text: "", endsLine: false))
        column = 0
      }
      if index == cursor { place = (rows.count - 1, column) }
      if character == "\n" {
        rows[rows.count - 1].endsLine = true
        rows.append(Row(prefix: continuation, text: "", endsLine: false))
        column = DisplayWidth.of(continuation)
      } else {
        rows[rows.count - 1].text += character == "\t" ? String(repeating: " ", count: cells) : String(character)
        column += cells
      }
    }
    // A cursor behind a full row stands at the start of the next one, which the text has not reached yet.
    if column >= width, cursor >= text.count {
      rows.append(Row(prefix: "", text: "", endsLine: false))
      column = 0
    }
    if cursor >= text.count { place = (rows.count - 1, column) }
    // Before a line end on a full row there is no cell left: the cursor stays on the last one.
    if place.column >= width { place.column = width - 1 }
    rows[rows.count - 1].endsLine = true
    self.rows = rows
    (cursorRow, cursorColumn) = place
  }
}
