/// Finds added tokens in text: the leftmost, and of those that begin there the longest.
///
/// A trie over bytes. From every place that a token's first byte may begin, it is walked once, so the
/// cost is at most the text's length times the longest token's.
struct AddedTokenMatcher: Sendable {
  /// Part of a text: an added token, or text between.
  struct Piece: Equatable {
    /// The added token's id, or nil for text.
    var id: Int32?
    var start: Int
    var end: Int
  }

  private let tokens: [AddedToken]
  /// Whether a token begins with the byte.
  private var begins = [Bool](repeating: false, count: 256)
  /// Per node, what its edges are: first child, next sibling, byte, token number; −1 for none.
  private var nodes: [Node] = [Node(byte: 0)]
  private let scanner = WordScanner()
  /// Whether any token is found when special tokens are not asked for.
  private let hasOrdinary: Bool

  private struct Node {
    var byte: UInt8
    var child: Int32 = -1
    var sibling: Int32 = -1
    var token: Int32 = -1
  }

  /// - Parameter tokens: with contents that are not empty; of equal contents the first counts.
  init(_ tokens: [AddedToken]) {
    self.tokens = tokens
    hasOrdinary = tokens.contains { !$0.isSpecial }
    for (number, token) in tokens.enumerated() {
      var node = 0
      for (offset, byte) in token.content.utf8.enumerated() {
        if offset == 0 { begins[Int(byte)] = true }
        var child = self.child(of: node, byte)
        if child < 0 {
          child = nodes.count
          nodes.append(Node(byte: byte, sibling: nodes[node].child))
          nodes[node].child = Int32(child)
        }
        node = child
      }
      if node > 0, nodes[node].token < 0 { nodes[node].token = Int32(number) }
    }
  }

  /// Whether `pieces` could find anything.
  func canMatch(special: Bool) -> Bool { special ? !tokens.isEmpty : hasOrdinary }

  private func child(of node: Int, _ byte: UInt8) -> Int {
    var child = nodes[node].child
    while child >= 0, nodes[Int(child)].byte != byte { child = nodes[Int(child)].sibling }
    return Int(child)
  }

  /// The number of the longest token at `start`, or nil.
  private func longestToken(_ bytes: Span<UInt8>, _ start: Int, _ end: Int) -> Int? {
    guard begins[Int(bytes[start])] else { return nil }
    var node = 0
    var found: Int?
    var index = start
    while index < end {
      node = child(of: node, bytes[index])
      guard node > 0 else { break }
      if nodes[node].token >= 0 { found = Int(nodes[node].token) }
      index += 1
    }
    return found
  }

  /// Splits `bytes[start..<end]` at the tokens.
  ///
  /// - Parameter marks: places, ascending, that no special token begins at or reaches over.
  ///
  /// Follows Hugging Face `tokenizers` to the letter where its rules meet: a special token that was
  /// not asked for still hides the tokens inside it, and so does one that is no single word.
  func pieces(
    _ bytes: Span<UInt8>, _ start: Int, _ end: Int, special: Bool, marks: [Int] = []
  ) -> [Piece] {
    var pieces: [Piece] = []
    var mark = 0
    var textStart = start
    var index = start
    while index < end {
      guard let number = longestToken(bytes, index, end) else {
        index += 1
        continue
      }
      let token = tokens[number]
      var tokenStart = index
      var tokenEnd = index + token.content.utf8.count
      index = tokenEnd
      if token.isSpecial {
        while mark < marks.count, marks[mark] < tokenStart { mark += 1 }
        if !special || (mark < marks.count && marks[mark] < tokenEnd) { continue }
      }
      if token.isSingleWord,
        isWord(bytes, before: tokenStart, from: start) || isWord(bytes, at: tokenEnd, to: end)
      {
        continue
      }
      if token.stripsLeft {
        tokenStart = max(startOfSpace(bytes, before: tokenStart, from: start), textStart)
      }
      if token.stripsRight { tokenEnd = scanner.endOfRun(bytes, tokenEnd, end, of: .space) }
      if textStart < tokenStart {
        pieces.append(Piece(id: nil, start: textStart, end: tokenStart))
      }
      pieces.append(Piece(id: token.id, start: tokenStart, end: tokenEnd))
      textStart = tokenEnd
    }
    if textStart < end { pieces.append(Piece(id: nil, start: textStart, end: end)) }
    return pieces
  }

  /// Where the character before `index` begins.
  private func previous(_ bytes: Span<UInt8>, _ index: Int) -> Int {
    var index = index - 1
    while index > 0, bytes[index] & 0xC0 == 0x80 { index -= 1 }
    return index
  }

  private func isWord(_ bytes: Span<UInt8>, before index: Int, from start: Int) -> Bool {
    index > start
      && scanner.character(bytes, previous(bytes, index)).classes.contains(.word)
  }

  private func isWord(_ bytes: Span<UInt8>, at index: Int, to end: Int) -> Bool {
    index < end && scanner.character(bytes, index).classes.contains(.word)
  }

  private func startOfSpace(_ bytes: Span<UInt8>, before index: Int, from start: Int) -> Int {
    var index = index
    while index > start {
      let before = previous(bytes, index)
      guard scanner.character(bytes, before).classes.contains(.space) else { break }
      index = before
    }
    return index
  }
}
