internal import Chat

/// Parts an answer that may call tools: words are shown as they come, calls when they are whole.
struct ToolCallStream {
  private var text = ""
  private var shownCount = 0

  /// Takes the next piece.
  ///
  /// - Returns: Words to show now.
  mutating func append(_ piece: String) -> String {
    text += piece
    return release(isEnd: false)
  }

  /// The words that are left, and the calls, at the end.
  mutating func finish() -> (words: String, calls: [ToolCallText.Call]) {
    let calls = ToolCallText.parse(text).calls
    return (release(isEnd: true), calls)
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
