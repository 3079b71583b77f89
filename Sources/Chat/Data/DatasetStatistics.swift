/// What a data set looks like to the trainer, for a preview before anything is trained.
public struct DatasetStatistics: Sendable, Equatable {
  /// One bar of the length histogram.
  public struct Bar: Sendable, Equatable {
    /// Lengths in tokens.
    public let lengths: Range<Int>
    /// Examples of such a length.
    public let count: Int
  }

  /// Examples read.
  public private(set) var exampleCount = 0
  /// Examples left out because nothing in them would be learned.
  public private(set) var droppedCount = 0
  /// Examples cut to the maximum length.
  public private(set) var truncatedCount = 0
  /// Tokens that remain.
  public private(set) var tokenCount = 0
  /// Tokens that count in the loss.
  public private(set) var supervisedCount = 0
  /// Tokens that would have counted but were cut off or dropped.
  public private(set) var lostSupervisedCount = 0
  /// Tokens of each example before cutting, in order.
  public private(set) var lengths: [Int] = []
  /// Groups of examples that ask the same.
  public var duplicateGroupCount = 0
  /// Held-out examples that the training data gives away.
  public var leaks: [Leak] = []
  /// How the files' examples are written, in the order of their first appearance.
  public var shapes: [DatasetShape] = []
  /// Examples among them that were mixed in against forgetting.
  public var replayCount = 0
  /// Answers to be learned.
  public private(set) var answerCount = 0
  /// Those of them that are learned through a token at which generation stops.
  public private(set) var stoppedAnswerCount = 0
  /// The tokens that answers end with, by how many do.
  public private(set) var stopTokens: [Int32: Int] = [:]
  /// How often each kind of warning came up, and the first of its kind.
  public private(set) var warnings: [(count: Int, first: ExampleWarning)] = []

  /// Statistics of nothing yet.
  public init() {}

  /// Counts one example in.
  ///
  /// - Parameter stops: Tokens at which generation stops.
  public mutating func add(_ outcome: TokenizedOutcome, stops: Set<Int32> = []) {
    exampleCount += 1
    lengths.append(outcome.fullLength)
    if outcome.example == nil { droppedCount += 1 }
    addTokens(of: outcome, stops: stops)
  }

  /// Counts in the rejected answer beside an example that was counted: its tokens and warnings, no further example.
  public mutating func addRejected(_ outcome: TokenizedOutcome, stops: Set<Int32> = []) {
    addTokens(of: outcome, stops: stops)
  }

  private mutating func addTokens(of outcome: TokenizedOutcome, stops: Set<Int32>) {
    if let example = outcome.example {
      tokenCount += example.ids.count
      supervisedCount += example.supervisedCount
      for answer in example.answers {
        answerCount += 1
        let last = example.ids[answer.range.upperBound - 1]
        guard stops.contains(last), example.supervised[answer.range.upperBound - 1] else { continue }
        stoppedAnswerCount += 1
        stopTokens[last, default: 0] += 1
      }
    }
    for warning in outcome.warnings {
      if case .truncated(_, let lost) = warning.kind {
        truncatedCount += 1
        lostSupervisedCount += lost
      }
      let place = warnings.firstIndex { $0.first.kind.isSameSort(as: warning.kind) }
      if let place { warnings[place].count += 1 } else { warnings.append((1, warning)) }
    }
  }

  /// The lengths in at most `barCount` bars of equal, round width from the shortest on; lengths far beyond those of 99 in 100 share one
  /// more bar at the end, so that a few long examples do not press all others into the first.
  public func histogram(barCount: Int = 12) -> [Bar] {
    guard let longest = lengths.max(), let shortest = lengths.min(), barCount > 0 else { return [] }
    let usual = length(at: 0.99)
    let shown = longest > 2 * usual ? usual : longest
    let widths = [1, 2, 5, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096, 8_192, 16_384]
    let width = widths.first { shown / $0 - shortest / $0 < barCount } ?? (shown / barCount + 1)
    let (first, end) = (shortest / width, shown / width + 1)
    var counts = [Int](repeating: 0, count: end - first)
    for length in lengths where length < end * width { counts[length / width - first] += 1 }
    let far = lengths.count - counts.reduce(0, +)
    return counts.enumerated().map { Bar(lengths: ((first + $0) * width)..<((first + $0 + 1) * width), count: $1) }
      + (far > 0 ? [Bar(lengths: (end * width)..<(longest + 1), count: far)] : [])
  }

  /// The length that `share` of the examples do not exceed.
  public func length(at share: Double) -> Int {
    guard !lengths.isEmpty else { return 0 }
    let sorted = lengths.sorted()
    let place = Int((Double(sorted.count) * min(max(share, 0), 1)).rounded(.up)) - 1
    return sorted[min(max(place, 0), sorted.count - 1)]
  }

  /// Equal when every figure is.
  public static func == (a: Self, b: Self) -> Bool {
    a.lengths == b.lengths && a.droppedCount == b.droppedCount
      && a.truncatedCount == b.truncatedCount && a.tokenCount == b.tokenCount
      && a.supervisedCount == b.supervisedCount && a.lostSupervisedCount == b.lostSupervisedCount
      && a.duplicateGroupCount == b.duplicateGroupCount && a.leaks == b.leaks && a.shapes == b.shapes
      && a.replayCount == b.replayCount && a.answerCount == b.answerCount && a.stopTokens == b.stopTokens
      && a.warnings.elementsEqual(b.warnings) { $0.count == $1.count && $0.first == $1.first }
  }
}

extension ExampleWarning.Kind {
  /// Whether both say the same thing, whatever the numbers in them.
  func isSameSort(as other: Self) -> Bool {
    switch (self, other) {
    case (.truncated, .truncated), (.stopTokenAdded, .stopTokenAdded),
      (.stopTokenNotAnEnd, .stopTokenNotAnEnd):
      true
    default: self == other
    }
  }
}
