/// The ids that have a meaning of their own in a vocabulary.
public struct SpecialTokens: Equatable, Sendable {
  /// Begins a text.
  public var beginningOfSequence: Int32?
  /// Ends a text.
  public var endOfSequence: Int32?
  /// Fills up the shorter texts of a batch. Often the same as another: never mask by it.
  public var padding: Int32?
  /// Stands for what the vocabulary cannot express.
  public var unknown: Int32?
  /// Every id after which generation stops.
  public var endOfGeneration: Set<Int32>
  /// Whether the model wants `beginningOfSequence` before a text, where the file says so.
  public var addsBeginningOfSequence: Bool?

  /// Gathers ids; `endOfSequence` always ends generation too.
  public init(
    beginningOfSequence: Int32? = nil, endOfSequence: Int32? = nil, padding: Int32? = nil,
    unknown: Int32? = nil, endOfGeneration: Set<Int32> = [], addsBeginningOfSequence: Bool? = nil
  ) {
    self.beginningOfSequence = beginningOfSequence
    self.endOfSequence = endOfSequence
    self.padding = padding
    self.unknown = unknown
    self.endOfGeneration = endOfGeneration
    self.addsBeginningOfSequence = addsBeginningOfSequence
    if let endOfSequence { self.endOfGeneration.insert(endOfSequence) }
  }
}
