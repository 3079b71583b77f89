internal import CKernels
internal import Glibc

/// A token and the natural logarithm of its probability.
public struct TokenLogProbability: Sendable, Hashable {
  /// The token.
  public var id: Int32
  /// ln p(token | what came before).
  public var logProbability: Float

  /// A token with its log-probability.
  public init(id: Int32, logProbability: Float) {
    self.id = id
    self.logProbability = logProbability
  }
}

/// The largest logit and its token, the lowest of those that tie.
///
/// - Parameter logits: `[vocabulary]`.
/// - Throws: `SamplingError.logitNotFinite` for NaN or +infinity, `.nothingPossible` if all are
///   −infinity or there are none.
func largestLogit(_ logits: Span<Float>) throws(SamplingError) -> (token: Int, logit: Float) {
  var best: Float = 0
  let place = unsafe logits.withUnsafeBufferPointer { unsafe hearth_largest($0.baseAddress, $0.count, &best) }
  // What is wrong with the others is looked for one by one.
  if place < logits.count, best > -.infinity { return (place, best) }
  var token = -1
  var largest = -Float.infinity
  for i in logits.indices {
    let logit = logits[i]
    // Written so that NaN takes the branch too.
    guard !(logit <= largest) else { continue }
    guard logit < .infinity else { throw .logitNotFinite(token: Int32(i), found: logit) }
    (token, largest) = (i, logit)
  }
  guard token >= 0 else { throw .nothingPossible }
  return (token, largest)
}

/// The logarithm of the sum of exponentials, accumulated in `Double` in order of ids.
///
///     ln Σ_i e^x_i = m + ln Σ_i e^(x_i − m)      m = max_i x_i
///
/// - Parameter logits: `[vocabulary]`.
/// - Throws: as `largestLogit`.
func logSumExp(_ logits: Span<Float>) throws(SamplingError) -> Double {
  let largest = try largestLogit(logits).logit
  var sum = 0.0
  for weight in exponentials(of: logits, minus: largest) { sum += Double(weight) }
  return Double(largest) + log(sum)
}
