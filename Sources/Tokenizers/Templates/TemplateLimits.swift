/// What one rendering may use before it is stopped with a `TemplateError` of kind `limit`.
///
/// A model's template comes from whoever made the model, so it runs as untrusted code. The defaults
/// leave a conversation of thousands of messages ample room and stop a hostile template within a
/// second or two.
public struct TemplateLimits: Sendable, Equatable {
  /// Evaluated expressions and statements; operations on long texts count by their length.
  public var steps: Int
  /// Bytes of UTF-8 in the output, and in any one text on the way there.
  public var outputBytes: Int
  /// Expressions, blocks and macro calls open at once.
  public var depth: Int
  /// Elements of one `range(…)`, and of any one list. Jinja2's sandbox allows 100,000 for ranges.
  public var rangeElements: Int

  /// Makes limits; each argument defaults to what `default` has.
  public init(
    steps: Int = 5_000_000, outputBytes: Int = 64 << 20, depth: Int = 400,
    rangeElements: Int = 100_000
  ) {
    self.steps = steps
    self.outputBytes = outputBytes
    self.depth = depth
    self.rangeElements = rangeElements
  }

  /// The limits used when the caller states none.
  public static let `default` = TemplateLimits()

  /// Longest template text that is parsed, in bytes. Real ones stay under 50 kB.
  static let sourceBytes = 4 << 20
  /// Blocks within blocks, or brackets within brackets, that the parser follows.
  static let parserDepth = 100
  /// Height of an expression's tree. Python's own parser stops at 200 nested parentheses.
  static let expressionDepth = 200
  /// Lists within lists that a value may hold.
  static let valueDepth = 200
}
