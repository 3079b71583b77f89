internal import Chat

/// Parts an answer that may call tools: words are shown as they come, calls when they are whole.
struct ToolCallStream: Sendable {
  /// Whether there are tools; else all is words.
  let callsTools: Bool
  private var text = ""
  private var shownCount = 0

  init(callsTools: Bool) { self.callsTools = callsTools }

  /// Takes the next piece.
  ///
  /// - Returns: Words to show now, and with the last piece the calls.
  mutating func append(_ piece: AnswerPiece) -> (words: String, calls: [ToolCallText.Call]) {
    guard callsTools else { return (piece.text, []) }
    text += piece.text
    let isEnd = piece.answer != nil
    return (release(isEnd: isEnd), isEnd ? ToolCallText.parse(text).calls : [])
  }

  /// The same of a whole answer.
  static func parts(of text: String, callsTools: Bool) -> (words: String, calls: [ToolCallText.Call]) {
    guard callsTools else { return (text, []) }
    let (content, calls) = ToolCallText.parse(text)
    return (content, calls)
  }

  /// Words end where a call begins, and the white space before it is not theirs.
  private mutating func release(isEnd: Bool) -> String {
    let bytes = Array(text.utf8)
    let marker = Array(ToolCallText.open.utf8)
    var end = bytes.count
    var isOpen = false
    search: for start in shownCount..<bytes.count where bytes[start] == marker[0] {
      let found = bytes[start...].prefix(marker.count)
      guard marker.starts(with: found) else { continue }
      isOpen = true
      // What may become the opening of a call, at the end is none.
      if found.count == marker.count || !isEnd {
        end = start
        break search
      }
    }
    if isOpen || !isEnd {
      while end > shownCount, [0x20, 0x0A, 0x0D, 0x09].contains(bytes[end - 1]) { end -= 1 }
    }
    guard end > shownCount else { return "" }
    defer { shownCount = end }
    return String(decoding: bytes[shownCount..<end], as: UTF8.self)
  }
}
