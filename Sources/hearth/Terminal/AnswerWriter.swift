/// Lays a streaming answer out for a terminal: lines are broken between words, and nothing in the text commands the
/// terminal.
///
/// The answer's own lines stay as they are, and so does everything between ``` fences, where a break would change code.
struct AnswerWriter {
  /// Cells of a row; nil breaks nothing.
  private let width: Int?
  private var column = 0
  /// Spaces before the word that is coming; dropped where the line is broken.
  private var spaces = ""
  private var word = ""
  /// The line so far, as far as fences are concerned.
  private var lineStart = ""
  private var isCode = false

  init(width: Int?) { self.width = width.map { max($0, 10) } }

  /// Takes a piece of the answer.
  ///
  /// - Returns: What to print; the word that may go on is held back.
  mutating func append(_ text: String) -> String {
    var output = ""
    for scalar in text.unicodeScalars { output += take(scalar) }
    return output
  }

  /// The rest, at the end of the answer.
  mutating func finish() -> String { flush() }

  private mutating func take(_ scalar: Unicode.Scalar) -> String {
    if scalar == "\n" {
      // Spaces at the end of a line show nothing.
      let output = (word.isEmpty ? "" : flush()) + "\n"
      if lineStart.hasPrefix("```") { isCode.toggle() }
      (column, spaces, lineStart) = (0, "", "")
      return output
    }
    let isTab = scalar == "\t"
    guard isTab || !(scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value)) else { return "" }
    if lineStart.unicodeScalars.count < 3 { lineStart.unicodeScalars.append(scalar) }
    if isTab || scalar == " " {
      let output = word.isEmpty ? "" : flush()
      spaces += isTab ? String(repeating: " ", count: DisplayWidth.tabWidth) : " "
      return output
    }
    // Scripts without spaces break between any two wide characters.
    let output = DisplayWidth.of(Character(scalar)) == 2 && !word.isEmpty && !word.hasSuffix("\u{200D}") ? flush() : ""
    word.unicodeScalars.append(scalar)
    return output
  }

  private mutating func flush() -> String {
    let cells = DisplayWidth.of(word)
    var output = spaces + word
    let reached = column + spaces.count + cells
    if let width, !isCode, !word.isEmpty, reached > width, column > 0 {
      output = "\n" + word
      column = cells
    } else {
      column = reached
    }
    // A word wider than the row is broken by the terminal.
    if let width, column > width { column = (column - 1) % width + 1 }
    (spaces, word) = ("", "")
    return output
  }
}
