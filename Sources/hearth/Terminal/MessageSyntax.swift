/// How lines make a message: a line that ends in a backslash goes on in the next, and so does everything between `"""`
/// and `"""`.
enum MessageSyntax {
  /// Whether a person who presses Enter after `text` is not done yet.
  static func isIncomplete(_ text: String) -> Bool {
    if let block = block(in: text) { return block.end == nil }
    return endsInContinuation(text)
  }

  /// What `text` says, without the marks that held it together.
  static func message(_ text: String) -> String {
    if let block = block(in: text) {
      let before = text[..<block.start]
      let content = text[block.content..<(block.end ?? text.endIndex)]
      let after = block.end.map { text[$0...].dropFirst(mark.count) } ?? ""
      var inner = content.first == "\n" ? content.dropFirst() : content
      if inner.last == "\n" { inner = inner.dropLast() }
      return String(before) + inner + (after.allSatisfy(\.isWhitespace) ? "" : after)
    }
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    return lines.enumerated().map { index, line in
      index < lines.count - 1 && endsInContinuation(String(line)) ? String(line.dropLast()) : String(line)
    }.joined(separator: "\n")
  }

  private static let mark = "\"\"\""

  /// A block opens the message, or follows a command and one space.
  private static func block(
    in text: String
  ) -> (start: String.Index, content: String.Index, end: String.Index?)? {
    var start = text.firstIndex { !$0.isWhitespace } ?? text.endIndex
    if start < text.endIndex, text[start] == "/" {
      guard let space = text[start...].firstIndex(where: \.isWhitespace) else { return nil }
      start = text[space...].firstIndex { !$0.isWhitespace } ?? text.endIndex
    }
    guard text[start...].hasPrefix(mark) else { return nil }
    let content = text.index(start, offsetBy: mark.count)
    return (start, content, firstMark(in: text[content...]))
  }

  private static func firstMark(in text: Substring) -> String.Index? {
    var rest = text
    while let quote = rest.firstIndex(of: "\"") {
      if rest[quote...].hasPrefix(mark) { return quote }
      rest = rest[rest.index(after: quote)...]
    }
    return nil
  }

  /// An odd number of backslashes at the end: a pair stands for themselves.
  private static func endsInContinuation(_ text: String) -> Bool {
    text.reversed().prefix { $0 == "\\" }.count % 2 == 1
  }
}
