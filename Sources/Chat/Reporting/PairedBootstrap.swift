internal import Engine

/// The confidence interval of a mean difference between two systems on the same examples.
///
/// Examples are drawn with replacement, both systems' figures of a draw together (Efron and Tibshirani, *An Introduction
/// to the Bootstrap*, percentile interval; Koehn, "Statistical Significance Tests for Machine Translation Evaluation",
/// EMNLP 2004). Percentiles interpolate linearly, as numpy's default does.
public struct PairedBootstrap: Sendable, Equatable {
  /// The difference of the means, second minus first.
  public let difference: Double
  /// Its 95 % interval.
  public let low: Double
  /// Its 95 % interval.
  public let high: Double

  /// Resamples per-example figures, `[examples]` each.
  ///
  /// - Parameters:
  ///   - weights: what each example weighs in the mean, such as its supervised tokens where the figures are losses per
  ///     token; nil for all alike.
  ///   - resamples: how many draws.
  ///   - seed: the same seed gives the same interval.
  /// - Returns: nil when the counts differ, there are no examples, or a figure is not finite.
  public init?(
    _ first: [Double], _ second: [Double], weights: [Double]? = nil, resamples: Int = 10_000,
    seed: UInt64 = 0
  ) {
    let weights = weights ?? [Double](repeating: 1, count: first.count)
    guard first.count == second.count, first.count == weights.count, !first.isEmpty, resamples > 0
    else { return nil }
    let differences = zip(first, second).map { $1 - $0 }
    let total = weights.reduce(0, +)
    guard differences.allSatisfy(\.isFinite), weights.allSatisfy({ $0 >= 0 && $0.isFinite }), total > 0
    else { return nil }
    let weighted = zip(differences, weights).map { $0 * $1 }
    difference = weighted.reduce(0, +) / total

    var random = SplitMix64(seed: seed)
    var means: [Double] = []
    means.reserveCapacity(resamples)
    for _ in 0..<resamples {
      var sum = 0.0
      var weight = 0.0
      for _ in weighted.indices {
        let drawn = random.index(below: weighted.count)
        sum += weighted[drawn]
        weight += weights[drawn]
      }
      // A draw may hit only examples that weigh nothing.
      means.append(weight > 0 ? sum / weight : difference)
    }
    means.sort()
    low = Self.percentile(means, 0.025)
    high = Self.percentile(means, 0.975)
  }

  /// The value that `share` of the sorted `values` do not exceed, between two by linear interpolation.
  static func percentile(_ values: [Double], _ share: Double) -> Double {
    let place = share * Double(values.count - 1)
    let below = Int(place)
    let above = min(below + 1, values.count - 1)
    return values[below] + (place - Double(below)) * (values[above] - values[below])
  }
}
