public import Engine

/// The loss on examples that were not trained on.
public struct HeldOutLoss: Sendable {
  /// What was measured.
  public struct Measurement: Sendable, Equatable {
    /// Σ −log p over the supervised tokens of each example.
    public let sums: [Double]
    /// Supervised tokens of each example.
    public let counts: [Int]

    /// Σ −log p over all supervised tokens, divided by their number.
    public var perToken: Double { sums.reduce(0, +) / Double(max(1, counts.reduce(0, +))) }
  }

  let examples: [TokenizedExample]

  /// The loss on `examples`, in their order.
  public init(_ examples: [TokenizedExample]) { self.examples = examples }

  /// Measures, several examples at a time; the grouping does not change the figures.
  public func measure(
    _ model: LanguageModel, adapter: Adapter?, precision: Precision = .reference
  ) -> Measurement {
    var (sums, counts): ([Double], [Int]) = ([], [])
    var batch = TrainingBatch()
    func flush() {
      sums += model.losses(batch, adapter: adapter, precision: precision)
      batch = TrainingBatch()
    }
    for example in examples {
      // About a thousand tokens keep the matrix kernels busy.
      if batch.sequenceCount > 0, batch.tokens.count + example.ids.count > 1024 { flush() }
      batch.append(example.ids, supervised: example.supervised)
      // The first token has nothing before it and never counts.
      counts.append(example.supervised.dropFirst().count { $0 })
    }
    if batch.sequenceCount > 0 { flush() }
    return Measurement(sums: sums, counts: counts)
  }
}
