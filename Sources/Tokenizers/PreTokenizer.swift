/// Cuts text into the words that byte-pair encoding works in, in one or more steps, each cutting the
/// pieces of the step before.
struct PreTokenizer: Sendable {
  /// One way to cut.
  enum Step: Equatable, Sendable {
    /// Numbers apart from the rest, each digit alone or runs of them together.
    case digits(alone: Bool)
    /// `\p{N}{1,n}` apart from the rest.
    case numbers(together: Int)
    /// GPT-2's words.
    case gpt2
    /// The words of Llama 3, with at most so many digits together.
    case llama3(digitCount: Int)
    /// A space before the piece if it begins with none.
    case prefixSpace
    /// The same, but only before the piece that begins the text.
    case firstPrefixSpace
    /// Before every space, or only before those that follow something else.
    case spaces(each: Bool)
  }

  let steps: [Step]
  private let scanner = WordScanner()

  init(steps: [Step]) { self.steps = steps }

  /// Calls `body` with each word's bounds in turn.
  ///
  /// - Parameters:
  ///   - bytes: valid UTF-8.
  ///   - place: what stands before it.
  ///   - body: takes the buffer in which the word lies, where it begins and where it ends. The
  ///     buffer is not always `bytes`: a step may have put a space in front.
  func forEachWord(
    _ bytes: Span<UInt8>, _ start: Int, _ end: Int, _ place: TextPlace = .start,
    _ body: (Span<UInt8>, Int, Int) -> Void
  ) {
    apply(0, bytes, start, end, place, body)
  }

  private func apply(
    _ number: Int, _ bytes: Span<UInt8>, _ start: Int, _ end: Int, _ place: TextPlace,
    _ body: (Span<UInt8>, Int, Int) -> Void
  ) {
    guard start < end else { return }
    guard number < steps.count else { return body(bytes, start, end) }
    switch steps[number] {
    case .gpt2:
      cut(number, bytes, start, end, place, body) { scanner.endOfGPT2Word(bytes, $0, end) }
    case .llama3(let digitCount):
      cut(number, bytes, start, end, place, body) {
        scanner.endOfLlama3Word(bytes, $0, end, digitCount: digitCount)
      }
    case .digits(let alone):
      cutNumbers(number, bytes, start, end, place, .digit, alone ? 1 : Int.max, body)
    case .numbers(let together):
      cutNumbers(number, bytes, start, end, place, .number, together, body)
    case .spaces(let each):
      cut(number, bytes, start, end, place, body) { Self.endOfSpacedWord(bytes, $0, end, each: each) }
    case .prefixSpace, .firstPrefixSpace:
      let wantsSpace = steps[number] == .prefixSpace ? place != .continued : place == .start
      guard wantsSpace, bytes[start] != UInt8(ascii: " ") else {
        return apply(number + 1, bytes, start, end, .continued, body)
      }
      var copy: [UInt8] = [UInt8(ascii: " ")]
      copy.reserveCapacity(end - start + 1)
      for index in start..<end { copy.append(bytes[index]) }
      apply(number + 1, copy.span, 0, copy.count, .continued, body)
    }
  }

  /// Where the word that begins at `start` ends: before the next space, of which a run stays together unless `each`
  /// begins a word.
  private static func endOfSpacedWord(_ bytes: Span<UInt8>, _ start: Int, _ end: Int, each: Bool) -> Int {
    let space = UInt8(ascii: " ")
    var index = start + 1
    if !each { while index < end, bytes[index] == space { index += 1 } }
    while index < end, bytes[index] != space { index += 1 }
    return index
  }

  /// Hands every word to the next step; `endOfWord` finds the end of the one that begins at its
  /// argument.
  @inline(__always)
  private func cut(
    _ number: Int, _ bytes: Span<UInt8>, _ start: Int, _ end: Int, _ place: TextPlace,
    _ body: (Span<UInt8>, Int, Int) -> Void, _ endOfWord: (Int) -> Int
  ) {
    var index = start
    let isLast = number + 1 == steps.count
    while index < end {
      let wordEnd = endOfWord(index)
      if isLast {
        body(bytes, index, wordEnd)
      } else {
        apply(number + 1, bytes, index, wordEnd, index == start ? place : .afterToken, body)
      }
      index = wordEnd
    }
  }

  private func cutNumbers(
    _ number: Int, _ bytes: Span<UInt8>, _ start: Int, _ end: Int, _ place: TextPlace,
    _ wanted: CharacterClass, _ together: Int, _ body: (Span<UInt8>, Int, Int) -> Void
  ) {
    var index = start
    while index < end {
      let (first, length) = scanner.nextDigit(bytes, index, end, as: wanted)
      apply(number + 1, bytes, index, first, index == start ? place : .afterToken, body)
      index = first + length
      guard length > 0 else { break }
      var count = 1
      while count < together, index < end {
        let (classes, length) = scanner.character(bytes, index)
        guard classes.contains(wanted) else { break }
        index += length
        count += 1
      }
      apply(number + 1, bytes, first, index, first == start ? place : .afterToken, body)
    }
  }
}
