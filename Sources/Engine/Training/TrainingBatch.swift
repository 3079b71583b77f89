/// Whole sequences side by side, and which of their tokens count.
///
/// There is no padding: attention sees where each sequence starts.
public struct TrainingBatch: Sendable, Equatable {
  /// The tokens of all sequences, one after the other.
  public private(set) var tokens: [Int32] = []
  /// First row of each sequence and, last, the number of rows.
  public private(set) var starts: [Int32] = [0]
  /// Rows whose next token counts.
  public private(set) var supervisedRows: [Int] = []
  /// The token that follows each supervised row.
  public private(set) var targets: [Int32] = []

  /// A batch without sequences.
  public init() {}

  /// Adds a sequence.
  ///
  /// - Parameters:
  ///   - ids: Its tokens.
  ///   - supervised: For each token, whether predicting it counts; the first token's entry has nothing before it and never counts.
  public mutating func append(_ ids: [Int32], supervised: [Bool]) {
    precondition(ids.count == supervised.count, "\(supervised.count) marks for \(ids.count) tokens")
    let start = tokens.count
    for index in ids.indices.dropFirst() where supervised[index] {
      supervisedRows.append(start + index - 1)
      targets.append(ids[index])
    }
    tokens += ids
    starts.append(Int32(tokens.count))
  }

  /// Sequences appended so far.
  public var sequenceCount: Int { starts.count - 1 }
}
