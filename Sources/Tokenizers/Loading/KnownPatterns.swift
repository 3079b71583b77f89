/// The pre-tokenizer patterns that there are scanners for, by the text or the name they go by.
enum KnownPatterns {
  /// `\p{L}`-run patterns that differ in how contractions and digits are written.
  private static let llama3Contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
  private static let llama3Middle = #"|[^\r\n\p{L}\p{N}]?\p{L}+|"#
  private static let llama3Rest = #"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
  private static let gpt2Rest = #"| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#
  private static let cl100k =
    #"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*"#

  /// What a `Split` step's regular expression means, compared as text.
  ///
  /// The spellings of one pattern differ only in possessive quantifiers and in which alternative
  /// takes a line end, which changes no match.
  static func step(regularExpression: String) -> PreTokenizer.Step? {
    switch regularExpression {
    case "'s|'t|'re|'ve|'m|'ll|'d" + gpt2Rest, "'(?:[sdmt]|ll|ve|re)" + gpt2Rest: .gpt2
    case llama3Contractions + llama3Middle + #"\p{N}{1,3}"# + llama3Rest,
      cl100k + #"|\s*[\r\n]|\s+(?!\S)|\s+"#, cl100k + #"|\s*[\r\n]|\s+(?!\S)|\s"#:
      .llama3(digitCount: 3)
    case llama3Contractions + llama3Middle + #"\p{N}"# + llama3Rest: .llama3(digitCount: 1)
    case #"\p{N}{1,3}"#: .numbers(together: 3)
    case #"\p{N}"#: .numbers(together: 1)
    case #"\p{N}+"#: .numbers(together: Int.max)
    default: nil
    }
  }

  /// What the name of a pattern in a GGUF file stands for.
  struct Recipe {
    var steps: [PreTokenizer.Step]
    var normalizer = Normalizer.none
    /// Whether words that are tokens are not merged.
    var ignoresMerges = false
    /// Whether a text begins with the beginning of sequence if the file does not say.
    var addsBeginning = false
  }

  /// What `tokenizer.ggml.pre` of a GGUF file means, down to the settings of the original
  /// `tokenizer.json` that GGUF has no key for.
  static func recipe(ggufName: String) -> Recipe? {
    switch ggufName {
    case "gpt-2", "phi-2", "mpt", "olmo", "jais", "roberta-bpe": Recipe(steps: [.gpt2])
    case "smollm", "starcoder", "refact", "command-r", "codeshell":
      Recipe(steps: [.digits(alone: true), .gpt2])
    case "llama-bpe", "llama3", "llama-v3":
      Recipe(steps: [.llama3(digitCount: 3)], ignoresMerges: true, addsBeginning: true)
    case "dbrx", "smaug-bpe": Recipe(steps: [.llama3(digitCount: 3)])
    case "qwen2": Recipe(steps: [.llama3(digitCount: 1)], normalizer: .composed)
    case "deepseek-r1-qwen": Recipe(steps: [.llama3(digitCount: 1)])
    default: nil
    }
  }
}
