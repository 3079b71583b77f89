/// The message being typed: keys go in, what to do about them comes out. Knows nothing of terminals.
struct LineEditor {
  /// What follows from a key.
  enum Action: Equatable {
    /// Nothing changed.
    case none
    /// Text or cursor changed.
    case redraw
    /// The message is done, as typed.
    case submit(String)
    /// Ctrl-C with something typed: the text is to be dropped.
    case abandon
    /// Ctrl-C with nothing typed.
    case interrupt
    /// Ctrl-D with nothing typed.
    case endOfInput
    /// Ctrl-Z.
    case suspend
    /// Ctrl-L.
    case clearScreen
    /// The key can do nothing here.
    case bell
  }

  /// Characters as a person sees them; a line end is `\n`.
  private(set) var text: [Character] = []
  /// Before which character the cursor stands; `text.count` at the end.
  private(set) var cursor = 0
  private(set) var history: InputHistory
  /// What Ctrl-K, Ctrl-U, Ctrl-W and Alt-D cut last, for Ctrl-Y.
  private var cut: [Character] = []
  /// Words that Tab completes, such as commands.
  private let completions: [String]

  init(history: InputHistory = InputHistory(), completions: [String] = []) {
    self.history = history
    self.completions = completions
  }

  /// Takes a key.
  mutating func handle(_ key: Key) -> Action {
    switch key {
    case .text(let text), .paste(let text): return replace(cursor..<cursor, with: text)
    case .newline: return replace(cursor..<cursor, with: "\n")
    case .enter: return enter()
    case .tab: return complete()
    case .backspace: return cursor > 0 ? replace(cursor - 1..<cursor, with: "") : .bell
    case .delete: return cursor < text.count ? replace(cursor..<cursor + 1, with: "") : .bell
    case .left: return move(to: cursor - 1)
    case .right: return move(to: cursor + 1)
    case .home: return move(to: lineStart(cursor))
    case .end: return move(to: lineEnd(cursor))
    case .wordLeft: return move(to: wordStart)
    case .wordRight: return move(to: wordEnd)
    case .up: return vertical(up: true)
    case .down: return vertical(up: false)
    case .deleteWordLeft: return cutOut(wordStart..<cursor)
    case .deleteWordRight: return cutOut(cursor..<wordEnd)
    case .control(let letter): return control(letter)
    case .escape, .unknown: return .none
    }
  }

  private mutating func control(_ letter: Character) -> Action {
    switch letter {
    case "c":
      if text.isEmpty { return .interrupt }
      return .abandon
    case "d":
      if text.isEmpty { return .endOfInput }
      return handle(.delete)
    case "k":
      // At the end of a line, its line end goes, as in Emacs.
      let end = lineEnd(cursor)
      return cutOut(cursor..<(end == cursor ? min(end + 1, text.count) : end))
    case "u": return cutOut(lineStart(cursor)..<cursor)
    case "y": return replace(cursor..<cursor, with: String(cut))
    case "l": return .clearScreen
    case "z": return .suspend
    default: return .none
    }
  }

  /// Forgets what is typed, as after Ctrl-C.
  mutating func clear() {
    (text, cursor) = ([], 0)
    history.reset()
  }

  /// Remembers a message that was sent.
  mutating func remember(_ message: String) { history.append(message) }

  private mutating func enter() -> Action {
    let typed = String(text)
    if typed.allSatisfy(\.isWhitespace) {
      clear()
      return .submit("")
    }
    // Enter within a message sends it; only an unfinished end asks for more.
    if MessageSyntax.isIncomplete(typed) {
      cursor = text.count
      return replace(cursor..<cursor, with: "\n")
    }
    clear()
    return .submit(typed)
  }

  private mutating func complete() -> Action {
    let typed = String(text)
    let matches = completions.filter { $0.hasPrefix(typed) }
    guard let first = matches.first, !typed.isEmpty, cursor == text.count else { return .bell }
    var common = Array(first)
    for match in matches { common = zip(common, match).prefix { $0 == $1 }.map(\.0) }
    if common.count > text.count { return replace(0..<text.count, with: String(common)) }
    return matches.count == 1 && typed == first ? replace(cursor..<cursor, with: " ") : .bell
  }

  // MARK: Changing

  /// Puts `new` in the place of a range and the cursor behind it. A combining mark joins the letter before it.
  private mutating func replace(_ range: Range<Int>, with new: String) -> Action {
    let before = Array(String(text[..<range.lowerBound]) + new)
    let all = Array(String(before) + String(text[range.upperBound...]))
    guard all != text else { return .none }
    cursor = min(before.count, all.count)
    text = all
    return .redraw
  }

  private mutating func cutOut(_ range: Range<Int>) -> Action {
    guard !range.isEmpty else { return .bell }
    cut = Array(text[range])
    return replace(range, with: "")
  }

  private mutating func show(_ entry: String) -> Action {
    text = Array(entry)
    cursor = text.count
    return .redraw
  }

  // MARK: Moving

  private mutating func move(to place: Int) -> Action {
    guard (0...text.count).contains(place), place != cursor else { return .none }
    cursor = place
    return .redraw
  }

  /// To the line above or below at the same distance from its start; beyond the first and last, through the history.
  private mutating func vertical(up: Bool) -> Action {
    let start = lineStart(cursor)
    let column = DisplayWidth.of(text[start..<cursor])
    if up, start > 0 { return move(to: place(column, inLineAt: lineStart(start - 1))) }
    let end = lineEnd(cursor)
    if !up, end < text.count { return move(to: place(column, inLineAt: end + 1)) }
    let entry = up ? history.previous(from: String(text)) : history.next()
    return entry.map { show($0) } ?? .bell
  }

  private func place(_ column: Int, inLineAt start: Int) -> Int {
    var (place, width) = (start, 0)
    while place < lineEnd(start), width + DisplayWidth.of(text[place]) <= column {
      width += DisplayWidth.of(text[place])
      place += 1
    }
    return place
  }

  private func lineStart(_ place: Int) -> Int {
    text[..<place].lastIndex(of: "\n").map { $0 + 1 } ?? 0
  }

  private func lineEnd(_ place: Int) -> Int {
    text[place...].firstIndex(of: "\n") ?? text.count
  }

  private var wordStart: Int {
    var place = cursor
    while place > 0, !Self.isWord(text[place - 1]) { place -= 1 }
    while place > 0, Self.isWord(text[place - 1]) { place -= 1 }
    return place
  }

  private var wordEnd: Int {
    var place = cursor
    while place < text.count, !Self.isWord(text[place]) { place += 1 }
    while place < text.count, Self.isWord(text[place]) { place += 1 }
    return place
  }

  private static func isWord(_ character: Character) -> Bool {
    character.isLetter || character.isNumber || character == "_"
  }
}
