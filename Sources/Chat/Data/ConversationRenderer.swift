public import Tokenizers

/// Turns messages into the text a model reads: its chat template, the one serving uses.
public protocol ConversationRenderer: Sendable {
  /// Renders `turns`.
  ///
  /// - Parameter addGenerationPrompt: whether the text ends where the assistant's next answer starts.
  /// - Throws: whatever the template reports.
  func render(_ turns: [Turn], addGenerationPrompt: Bool) throws -> RenderedText
}

/// The tokens a mask needs to know by their meaning.
public struct MaskingTokens: Sendable, Equatable {
  /// Put before plain text where the tokenizer does so; nil where it does not. Templates write their own.
  public var begin: Int32?
  /// Ends plain text, and answers whose template writes no end.
  public var end: Int32?
  /// Every token at which generation stops.
  public var stops: Set<Int32>
  /// Every special token, these included.
  public var special: Set<Int32>
  /// Every token after which a text begins as if after a special one: the special ones and other added ones.
  public var added: Set<Int32>

  /// The tokens by their meaning.
  public init(begin: Int32?, end: Int32?, stops: Set<Int32>, special: Set<Int32>, added: Set<Int32> = []) {
    self.begin = begin
    self.end = end
    self.stops = stops.union(end.map { [$0] } ?? [])
    self.special = special.union(self.stops)
    self.added = added.union(special)
  }

  /// The tokens as `tokenizer` defines them.
  ///
  /// - Parameter stops: further tokens at which generation stops, such as those of `generation_config.json`.
  public init(_ tokenizer: Tokenizer, stops: Set<Int32> = []) {
    let known = tokenizer.specialTokens
    let begins = known.addsBeginningOfSequence ?? !tokenizer.sequencePrefix.isEmpty
    self.init(
      begin: begins ? known.beginningOfSequence : nil, end: known.endOfSequence,
      stops: known.endOfGeneration.union(stops),
      special: Set((0..<Int32(clamping: tokenizer.vocabularyCount)).filter(tokenizer.isSpecial)),
      added: Set((0..<Int32(clamping: tokenizer.vocabularyCount)).filter(tokenizer.isAdded)))
  }
}
