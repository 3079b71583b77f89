/// What a person does at the keyboard, whatever bytes their terminal sends for it.
enum Key: Equatable {
  /// Typed text, usually one scalar.
  case text(String)
  /// Text pasted in one go, line ends as `\n`.
  case paste(String)
  /// Sends.
  case enter
  /// Begins a new line: Alt-Enter, Shift-Enter where the terminal tells, Ctrl-J.
  case newline
  case tab, escape
  case backspace, delete
  case left, right, up, down, home, end
  case wordLeft, wordRight
  case deleteWordLeft, deleteWordRight
  /// Ctrl with a lower-case letter that has no other meaning.
  case control(Character)
  /// A key that means nothing here.
  case unknown
}
