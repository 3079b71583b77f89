extension WordScanner {
  /// Where the word that begins at `start` ends, by the pattern of Llama 3 (at most three digits
  /// together) and of Qwen 2 (one):
  ///
  ///     (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}
  ///     | ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
  ///
  /// - Parameter digitCount: the most digits that stay together.
  func endOfLlama3Word(
    _ bytes: Span<UInt8>, _ start: Int, _ end: Int, digitCount: Int
  ) -> Int {
    let first = bytes[start]
    if first == UInt8(ascii: "'") {
      let length = contraction(bytes, start, end, ignoresCase: true)
      if length > 0 { return start + length }
    }
    let (classes, length) = character(bytes, start)
    let next = start + length
    if classes.contains(.letter) { return endOfRun(bytes, next, end, of: .letter) }
    if classes.contains(.number) {
      var index = next
      for _ in 1..<max(digitCount, 2) where digitCount > 1 && index < end {
        let (classes, length) = character(bytes, index)
        guard classes.contains(.number) else { break }
        index += length
      }
      return index
    }
    var following: (classes: CharacterClass, length: Int) = (.space, 0)
    if next < end { following = character(bytes, next) }
    // Any one character but a line's end goes with the letters after it.
    if following.classes.contains(.letter), !isLineEnd(first) {
      return endOfRun(bytes, next + following.length, end, of: .letter)
    }
    if !classes.contains(.space) { return endOfMarks(bytes, next, end) }
    if first == UInt8(ascii: " "), following.classes.isDisjoint(with: .pattern) {
      return endOfMarks(bytes, next + following.length, end)
    }
    return endOfLinesOrSpace(bytes, start, end)
  }

  /// The end of `[^\s\p{L}\p{N}]*[\r\n]*` from `index`.
  private func endOfMarks(_ bytes: Span<UInt8>, _ index: Int, _ end: Int) -> Int {
    var index = endOfRun(bytes, index, end, of: [])
    while index < end, isLineEnd(bytes[index]) { index += 1 }
    return index
  }

  /// The end of `\s*[\r\n]+|\s+(?!\S)|\s+` from `start`: through the last line end of the white space
  /// if it has one.
  private func endOfLinesOrSpace(_ bytes: Span<UInt8>, _ start: Int, _ end: Int) -> Int {
    let spaceEnd = endOfRun(bytes, start, end, of: .space)
    var index = spaceEnd
    while index > start {
      if isLineEnd(bytes[index - 1]) { return index }
      index -= 1
    }
    return endOfSpace(bytes, start, end)
  }

  @inline(__always)
  private func isLineEnd(_ byte: UInt8) -> Bool {
    byte == UInt8(ascii: "\n") || byte == UInt8(ascii: "\r")
  }
}
