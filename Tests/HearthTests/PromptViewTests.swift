import Testing

@testable import hearth

/// Draws on a small terminal and compares what it shows.
@Suite struct PromptViewTests {
  /// A person typing into a screen that understands what the view sends.
  private struct Desk {
    var view = PromptView(prompt: "> ", continuation: ". ")
    var screen: Screen
    var size: PromptView.Size

    init(width: Int, height: Int) {
      size = .init(width: width, height: height)
      screen = Screen(width: width, height: height)
    }

    mutating func draw(_ text: String, cursor: Int? = nil) {
      screen.write(view.draw(Array(text), cursor: cursor ?? text.count, size: size))
    }

    mutating func finish(_ text: String, note: String = "") {
      screen.write(view.finish(Array(text), size: size, note: note))
    }
  }

  @Test func drawsInPlace() {
    var desk = Desk(width: 10, height: 6)
    for text in ["", "a", "ab", "abcdefgh", "abcdefghi", "abc\ndef", "x"] {
      desk.draw(text)
      let layout = PromptLayout(
        prompt: "> ", continuation: ". ", text: Array(text), cursor: text.count, width: 10)
      #expect(desk.screen.lines == layout.rows.map { $0.prefix + $0.text }.map(\.withoutTrailingSpaces))
      #expect(desk.screen.row == layout.cursorRow)
      #expect(desk.screen.column == layout.cursorColumn)
    }
    #expect(desk.screen.lines == ["> x"])
  }

  @Test func movesTheCursorThroughAllPlaces() {
    var desk = Desk(width: 8, height: 10)
    let text = "abcdef東京gh\nij"
    for cursor in [11, 0, 6, 5, 7, 12, 3] {
      desk.draw(text, cursor: cursor)
      let layout = PromptLayout(prompt: "> ", continuation: ". ", text: Array(text), cursor: cursor, width: 8)
      #expect((desk.screen.row, desk.screen.column) == (layout.cursorRow, layout.cursorColumn))
      #expect(desk.screen.lines == ["> abcdef", "東京gh", ". ij"])
    }
  }

  @Test func leavesTheCursorBelowAFinishedMessage() {
    var desk = Desk(width: 8, height: 10)
    desk.draw("abcdef", cursor: 1)
    desk.finish("abcdef")
    desk.screen.write("answer")
    #expect(desk.screen.lines == ["> abcdef", "answer"])
    desk.screen.write("\n")
    desk.draw("xy")
    desk.finish("xy", note: "^C")
    #expect(desk.screen.lines == ["> abcdef", "answer", "> xy^C", ""])
  }

  @Test func showsTheSurroundingsOfTheCursorInATallMessage() {
    var desk = Desk(width: 10, height: 3)
    desk.screen.write("before\n")
    let text = "1\n2\n3\n4\n5"
    desk.draw(text)
    #expect(desk.screen.lines == [". 3", ". 4", ". 5"])
    desk.draw(text, cursor: 0)
    #expect(desk.screen.lines == ["> 1", ". 2", ". 3"])
    #expect(desk.screen.row == 0)
    desk.finish(text)
    #expect(desk.screen.lines == [". 4", ". 5", ""])
  }
}

/// As much of a terminal as the view relies on: wrapping, scrolling, moving, clearing.
struct Screen {
  private var cells: [[String]]
  private(set) var row = 0
  private(set) var column = 0
  private let width: Int

  init(width: Int, height: Int) {
    self.width = width
    cells = Array(repeating: [], count: height)
  }

  /// The rows down to the cursor or the last one that shows something, without trailing spaces.
  var lines: [String] {
    var lines = cells.map { $0.joined().withoutTrailingSpaces }
    while lines.count > row + 1, lines.last == "" { lines.removeLast() }
    return lines
  }

  mutating func write(_ text: String) {
    var rest = Array(text)[...]
    while let character = rest.popFirst() {
      switch character {
      case "\n": newLine()
      case "\r": column = 0
      case "\r\n": newLine()
      case "\u{1B}":
        rest = rest.dropFirst()
        let number = Int(String(rest.prefix { $0.isNumber })) ?? 1
        rest = rest.drop { $0.isNumber }
        switch rest.popFirst() {
        case "A": row = max(0, row - number)
        case "C": column = min(width - 1, column + number)
        case "J":
          cells[row] = Array(cells[row].prefix(column))
          for below in cells.indices.dropFirst(row + 1) { cells[below] = [] }
        default: Issue.record("an unknown sequence")
        }
      default: put(character)
      }
    }
  }

  private mutating func put(_ character: Character) {
    let cellCount = DisplayWidth.of(character)
    if column + cellCount > width { newLine() }
    while cells[row].count < column + cellCount { cells[row].append(" ") }
    cells[row][column] = String(character)
    if cellCount == 2 { cells[row][column + 1] = "" }
    column += cellCount
  }

  /// OPOST makes a line feed of the program a carriage return and a line feed.
  private mutating func newLine() {
    column = 0
    row += 1
    if row == cells.count {
      cells.removeFirst()
      cells.append([])
      row -= 1
    }
  }
}

extension String {
  fileprivate var withoutTrailingSpaces: String {
    var text = self
    while text.last == " " { text.removeLast() }
    return text
  }
}
