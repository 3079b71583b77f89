/// Guesses how a text goes on from where it went on before: what followed the same last tokens.
///
/// Answers often repeat their prompt, word for word: names, code, quotations. The guess costs no model.
///
/// Saxena, "Prompt Lookup Decoding" (2023); Leviathan et al., "Fast Inference from Transformers via Speculative Decoding"
/// (arXiv:2211.17192) for what a guess is good for.
struct PromptLookup: Sendable {
  /// How many tokens must agree before a guess is made: the longest first.
  static let lengths = [4, 2]

  private(set) var tokens: [Int32] = []
  /// For each length, where the last n tokens ended up each time: behind their latest place but the end itself.
  private var places: [[Int: Int]] = .init(repeating: [:], count: lengths.count)
  /// Where the text's own last tokens were before, for each length; nil if nowhere.
  private var matches: [Int?] = .init(repeating: nil, count: lengths.count)

  /// A text with no guesses yet.
  init(_ tokens: [Int32] = []) { append(tokens[...]) }

  /// Goes on with the text.
  mutating func append(_ more: ArraySlice<Int32>) {
    for token in more {
      tokens.append(token)
      for (index, length) in PromptLookup.lengths.enumerated() where tokens.count >= length {
        let place = places[index].updateValue(tokens.count, forKey: PromptLookup.hash(tokens.suffix(length)))
        matches[index] = place
      }
    }
  }

  /// At most `count` tokens that may come next.
  func guess(_ count: Int) -> ArraySlice<Int32> {
    guard count > 0 else { return [] }
    for match in matches { if let match { return tokens[match..<min(match + count, tokens.count)] } }
    return []
  }

  /// Two runs of tokens that share a number make a bad guess, nothing worse.
  private static func hash(_ tokens: ArraySlice<Int32>) -> Int {
    tokens.reduce(tokens.count) { ($0 &* 0x9E37_79B9_7F4A_7C1) ^ ($0 &>> 29) &+ Int($1) }
  }
}
