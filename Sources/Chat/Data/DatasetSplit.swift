internal import Engine

/// A data set divided into what is trained on and what is held out.
///
/// Examples that ask the same thing stay together, or the held-out loss would measure memory: those whose `prompt` (the
/// first user turn, or the whole text) is equal after folding case, white space and Unicode composition. Equal *answers*
/// do not bind examples: paraphrased questions with one answer are what a held-out set is for, and "Yes." would
/// otherwise tie half of a data set together.
public struct DatasetSplit: Sendable, Equatable {
  /// Indices of the examples to train on, ascending.
  public let training: [Int]
  /// Indices of the examples held out, ascending.
  public let validation: [Int]
  /// Groups of more than one example.
  public let duplicateGroupCount: Int

  /// Divides `examples`.
  ///
  /// The held-out count is `fraction` of the examples, rounded, at least one example and never all groups; where groups
  /// of duplicates do not allow that count exactly, the nearest they allow is looked for. The same examples, fraction
  /// and seed always give the same split.
  ///
  /// - Parameters:
  ///   - fraction: from 0 (nothing is held out) to below 1.
  ///   - seed: chooses which groups are held out.
  /// - Throws: `invalidSettings` for a fraction outside 0..<1, or when fewer than two groups are to be divided.
  public init(_ examples: [Example], validationFraction fraction: Double, seed: UInt64)
    throws(DatasetError)
  {
    guard fraction >= 0, fraction < 1 else {
      throw DatasetError(
        .invalidSettings, file: "validation fraction", expected: "a number from 0 to below 1",
        found: "\(fraction)", remedy: "0.1 holds out a tenth")
    }
    var groups: [[Int]] = []
    var groupOfPrompt: [String: Int] = [:]
    for (index, example) in examples.enumerated() {
      let key = example.prompt.folded
      if let group = groupOfPrompt[key] {
        groups[group].append(index)
      } else {
        groupOfPrompt[key] = groups.count
        groups.append([index])
      }
    }
    duplicateGroupCount = groups.count { $0.count > 1 }
    guard fraction > 0 else {
      training = Array(examples.indices)
      validation = []
      return
    }
    guard groups.count > 1 else {
      throw DatasetError(
        .invalidSettings, file: examples.first?.file ?? "data", expected: "two different prompts",
        found: "\(groups.count)",
        remedy: "add examples, give a validation file of its own, or hold nothing out with --validation-fraction 0")
    }
    var random = SplitMix64(seed: seed)
    random.shuffle(&groups)
    let target = min(max(Int((Double(examples.count) * fraction).rounded()), 1), examples.count - 1)
    let chosen = Self.choose(groups.map(\.count), target: target)
    validation = chosen.flatMap { groups[$0] }.sorted()
    let held = Set(validation)
    training = examples.indices.filter { !held.contains($0) }
  }

  /// Indices of groups whose sizes sum to `target`, or as near to it as can be found.
  ///
  /// Taking groups in order while they fit is nearly always exact, single examples being common. Otherwise the reachable
  /// sums are tabulated, unless that would take minutes.
  static func choose(_ sizes: [Int], target: Int) -> [Int] {
    var chosen: [Int] = []
    var sum = 0
    for (index, size) in sizes.enumerated() where sum + size <= target {
      chosen.append(index)
      sum += size
    }
    let total = sizes.reduce(0, +)
    let (work, overflow) = sizes.count.multipliedReportingOverflow(by: target)
    if sum != target, !overflow, work <= 200_000_000 {
      chosen = nearest(sizes, target: target, limit: min(2 * target, total))
    }
    if chosen.isEmpty, let smallest = sizes.indices.min(by: { sizes[$0] < sizes[$1] }) {
      chosen = [smallest]
    }
    return chosen
  }

  /// The subset of `sizes` with the sum nearest to `target`, neither empty nor everything.
  private static func nearest(_ sizes: [Int], target: Int, limit: Int) -> [Int] {
    // last[s]: the group that first reached the sum s, all those under it having lower indices.
    var last = [Int](repeating: -1, count: limit + 1)
    var isReachable = [Bool](repeating: false, count: limit + 1)
    isReachable[0] = true
    let total = sizes.reduce(0, +)
    for (index, size) in sizes.enumerated() where size <= limit {
      for sum in stride(from: limit, through: size, by: -1)
      where !isReachable[sum] && isReachable[sum - size] {
        isReachable[sum] = true
        last[sum] = index
      }
      if isReachable[target] { break }
    }
    let sums = (1...max(limit, 1)).filter { $0 <= limit && $0 < total && isReachable[$0] }
    guard var sum = sums.min(by: { abs($0 - target) < abs($1 - target) }) else { return [] }
    var chosen: [Int] = []
    while sum > 0 {
      chosen.append(last[sum])
      sum -= sizes[last[sum]]
    }
    return chosen.reversed()
  }
}
