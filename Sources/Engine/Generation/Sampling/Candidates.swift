/// The tokens still in play while filters narrow them down, in ascending order of ids.
///
/// The filters keep what `transformers`' `TopKLogitsWarper`, `TopPLogitsWarper` and `MinPLogitsWarper`
/// keep, with sums in `Double` and, where the nucleus ends among tokens of one score, the lowest
/// ids first (PyTorch leaves that order open).
struct Candidates {
  private(set) var ids: [Int32] = []
  /// Logits after penalties and temperature.
  private(set) var scores: [Float] = []
  /// e^(score − largest score): probabilities up to a common factor.
  private(set) var weights: [Float] = []
  private let largest: Float

  /// Takes the `topK` best of a row and those that tie with the last of them; all if `topK` is 0.
  ///
  /// - Parameters:
  ///   - row: `[vocabulary]`, without NaN and +infinity.
  ///   - largest: the largest of `row`, finite.
  init(_ row: Span<Float>, largest: Float, topK: Int) {
    self.largest = largest
    // No less than the smallest number, so that tokens of probability 0 are left out.
    var threshold = -Float.greatestFiniteMagnitude
    if topK > 0, topK < row.count {
      var best = TopSelection(capacity: topK, expected: topK)
      for i in row.indices { best.offer(row[i], at: i) }
      if let worst = best.worst { threshold = max(threshold, worst.score) }
    }
    var count = 0
    for i in row.indices where row[i] >= threshold { count += 1 }
    ids = [Int32](repeating: 0, count: count)
    scores = [Float](repeating: 0, count: count)
    var next = 0
    for i in row.indices where row[i] >= threshold {
      ids[next] = Int32(truncatingIfNeeded: i)
      scores[next] = row[i]
      next += 1
    }
    weights = exponentials(of: scores.span, minus: largest)
  }

  /// Keeps the fewest likeliest tokens whose probabilities reach `topP`, at least one.
  ///
  /// Tokens are dealt into narrow buckets by score; whole buckets are kept until the one in which the
  /// sum is reached, and only that one is sorted. Linear in the number of tokens.
  mutating func keepNucleus(_ topP: Float) {
    guard topP < 1, ids.count > 1 else { return }
    let bucketCount = 2048
    var masses = [Double](repeating: 0, count: bucketCount)
    // 32 buckets a unit: e^−64, the end of the range, is nothing beside the largest weight of 1.
    func bucket(_ score: Float) -> Int { Int(min((largest - score) * 32, Float(bucketCount - 1))) }
    var total = 0.0
    for i in ids.indices {
      masses[bucket(scores[i])] += Double(weights[i])
      total += Double(weights[i])
    }

    let target = Double(topP) * total
    var before = 0.0
    var last = 0
    while last < bucketCount - 1, before + masses[last] < target {
      before += masses[last]
      last += 1
    }

    let border = ids.indices.filter { bucket(scores[$0]) == last }
      .sorted { scores[$0] > scores[$1] || (scores[$0] == scores[$1] && $0 < $1) }
    var cut = TopSelection.Entry(score: .infinity, index: -1)
    for i in border {
      guard before < target || cut.index < 0 else { break }
      cut = TopSelection.Entry(score: scores[i], index: i)
      before += Double(weights[i])
    }
    keep { scores, _, i in
      scores[i] > cut.score || (scores[i] == cut.score && i <= cut.index)
    }
  }

  /// Keeps tokens at least `minP` times as likely as the likeliest.
  mutating func keepLikely(_ minP: Float) {
    guard minP > 0 else { return }
    keep { _, weights, i in weights[i] >= minP }
  }

  /// The token at `unit` of the way through the cumulative distribution, ids ascending.
  ///
  ///     the first i with Σ_{j ≤ i} w_j > unit · Σ_j w_j
  ///
  /// - Parameter unit: in [0, 1).
  func token(at unit: Double) -> Int32 {
    var total = 0.0
    for weight in weights { total += Double(weight) }
    let target = unit * total
    var sum = 0.0
    for i in ids.indices {
      sum += Double(weights[i])
      if sum > target { return ids[i] }
    }
    // Not reached: the last sum equals `total`, and `unit` is below 1.
    return ids[ids.count - 1]
  }

  /// Moves what satisfies `isKept` (of scores, weights, index) to the front and drops the rest.
  private mutating func keep(where isKept: ([Float], [Float], Int) -> Bool) {
    let kept = ids.indices.filter { isKept(scores, weights, $0) }
    guard kept.count < ids.count else { return }
    ids = kept.map { ids[$0] }
    scores = kept.map { scores[$0] }
    weights = kept.map { weights[$0] }
  }
}
