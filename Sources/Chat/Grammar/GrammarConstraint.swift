public import Engine
internal import Synchronization
public import Tokenizers

/// Lets only those tokens be chosen whose bytes go on with a text of a grammar, and ends only where the text may end.
///
/// A value: each answer has one of its own, in the state of its text.
public struct GrammarConstraint: TokenConstraint {
  private let vocabulary: TokenVocabulary
  private let endTokens: Set<Int32>
  private var automaton: GrammarAutomaton
  private var state = GrammarAutomaton.start
  /// Which tokens may come in a state, as bits.
  private var masks: [Int32: [UInt64]] = [:]

  /// A constraint at the start of a text.
  public init(_ grammar: Grammar, _ vocabulary: TokenVocabulary, endTokens: Set<Int32>) {
    self.vocabulary = vocabulary
    self.endTokens = endTokens
    automaton = GrammarAutomaton(grammar)
  }

  /// Sets the logits of tokens that may not come to −∞.
  public mutating func restrict(_ logits: inout MutableSpan<Float>) {
    let mask = mask()
    for index in logits.indices where index >> 6 >= mask.count || mask[index >> 6] >> UInt64(index & 63) & 1 == 0 {
      logits[index] = -.infinity
    }
  }

  /// Goes on with a token that was chosen.
  public mutating func accept(_ token: Int32) {
    guard !endTokens.contains(token) else { return }
    for byte in vocabulary.tokenizer.bytes(of: token) {
      let next = automaton.step(state, byte)
      // Tokens that may not come are never chosen.
      guard next >= 0 else { return }
      state = next
    }
  }

  /// Whether the text so far is whole.
  public var mayEnd: Bool { automaton.mayEnd(state) }

  private mutating func mask() -> [UInt64] {
    if let mask = masks[state] { return mask }
    var mask = [UInt64](repeating: 0, count: (vocabulary.tokenizer.vocabularyCount + 63) / 64)
    func allow(_ token: Int32) { mask[Int(token) >> 6] |= 1 << UInt64(token & 63) }
    // Tokens in the order of their bytes: what they have in common with the one before is not walked again, and of those
    // that begin with what may not come, only the first is looked at.
    var path = [state]
    var index = 0
    while index < vocabulary.tokens.count {
      var depth = Int(vocabulary.shared[index])
      path.removeSubrange((depth + 1)...)
      let bytes = vocabulary.tokenizer.bytes(of: vocabulary.tokens[index])
      var place = bytes.startIndex + depth
      var isAllowed = true
      while place < bytes.endIndex {
        let next = automaton.step(path[depth], bytes[place])
        if next < 0 {
          isAllowed = false
          break
        }
        path.append(next)
        depth += 1
        place += 1
      }
      if isAllowed { allow(vocabulary.tokens[index]) }
      index += 1
      if !isAllowed { while index < vocabulary.tokens.count, Int(vocabulary.shared[index]) > depth { index += 1 } }
    }
    if automaton.mayEnd(state) { for token in endTokens { allow(token) } }
    // Many states are seen once, inside a number or a key; a few, inside a string, again and again.
    if masks.count >= 256 { masks = [:] }
    masks[state] = mask
    return mask
  }
}

/// The tokens of a vocabulary that are text, in the order of their bytes.
public final class TokenVocabulary: Sendable {
  let tokenizer: Tokenizer
  let tokens: [Int32]
  /// How many bytes each has in common with the one before.
  let shared: [UInt16]

  /// Special tokens and those without bytes are no text.
  public init(_ tokenizer: Tokenizer) {
    self.tokenizer = tokenizer
    tokens = (0..<Int32(clamping: tokenizer.vocabularyCount)).filter {
      let count = tokenizer.bytes(of: $0).count
      return count > 0 && count < Int(UInt16.max) && !tokenizer.isSpecial($0) && !tokenizer.isAdded($0)
    }.sorted { tokenizer.bytes(of: $0).lexicographicallyPrecedes(tokenizer.bytes(of: $1)) }
    var shared: [UInt16] = []
    shared.reserveCapacity(tokens.count)
    for index in tokens.indices {
      guard index > 0 else {
        shared.append(0)
        continue
      }
      let (left, right) = (tokenizer.bytes(of: tokens[index - 1]), tokenizer.bytes(of: tokens[index]))
      shared.append(UInt16(zip(left, right).prefix { $0 == $1 }.count))
    }
    self.shared = shared
  }
}
