/// What is done to the bytes of tokens when they become text again.
///
/// Byte-level vocabularies need nothing: their tokens' bytes, one after another, are the text.
struct DecodingRules: Equatable, Sendable {
  /// What a text loses at its start, to undo the space that encoding put there.
  enum Start: Equatable, Sendable {
    case nothing
    /// At most so many spaces (`Strip`).
    case spaces(Int)
    /// Every space of the first token (`Metaspace`).
    case firstToken
  }

  var start = Start.nothing
  /// Whether tokens such as `<0x0A>` are bytes: neighbouring ones are text together, and if they are no valid text
  /// together, each becomes U+FFFD.
  var joinsBytes = false

  static let none = DecodingRules()
}

/// Puts the pieces of tokens together. What `append` and `finish` return, joined, is the text.
struct PieceJoiner: Sendable {
  private let rules: DecodingRules
  /// Bytes that cannot be text yet: the beginning of a character, or a run of byte tokens, which only its end decides on.
  private var pending: [UInt8] = []
  /// Whether `pending` is a run of byte tokens.
  private var isRun = false
  /// Spaces that the start of the text may still lose.
  private var spaces = 0
  private var isFirstToken = true

  init(_ rules: DecodingRules) {
    self.rules = rules
    if case .spaces(let count) = rules.start { spaces = count }
  }

  /// The text that a token completes.
  ///
  /// - Parameter isByte: whether it is a byte token.
  mutating func append(_ piece: some Collection<UInt8>, isByte: Bool) -> String {
    defer { isFirstToken = false }
    if isByte {
      pending.append(contentsOf: piece)
      isRun = true
      return ""
    }
    guard rules != .none else {
      pending.append(contentsOf: piece)
      let complete = pending.count - StreamingDecoder.unfinishedCount(pending)
      let text = String(decoding: pending[..<complete], as: UTF8.self)
      pending.removeFirst(complete)
      return text
    }
    var text = takeRun()
    if isFirstToken, rules.start == .firstToken {
      text += String(decoding: piece.filter { $0 != UInt8(ascii: " ") }, as: UTF8.self)
    } else {
      text += String(decoding: piece, as: UTF8.self)
    }
    return withoutStart(text)
  }

  /// The text of what is held back. The joiner is then as new.
  mutating func finish() -> String {
    defer { self = PieceJoiner(rules) }
    return rules == .none ? String(decoding: pending, as: UTF8.self) : withoutStart(takeRun())
  }

  private mutating func takeRun() -> String {
    guard isRun else { return "" }
    defer {
      pending.removeAll(keepingCapacity: true)
      isRun = false
    }
    return String(validating: pending, as: UTF8.self) ?? String(repeating: "\u{FFFD}", count: pending.count)
  }

  private mutating func withoutStart(_ text: String) -> String {
    guard spaces > 0, !text.isEmpty else { return text }
    var rest = text.utf8[...]
    while spaces > 0, rest.first == UInt8(ascii: " ") {
      rest.removeFirst()
      spaces -= 1
    }
    if !rest.isEmpty { spaces = 0 }
    return String(rest) ?? text
  }
}
