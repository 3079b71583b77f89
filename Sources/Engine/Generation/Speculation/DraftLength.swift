/// How many guessed tokens are worth trying in one pass.
///
///     expected tokens of a pass with k guesses  (1 − p^(k+1)) / (1 − p)      p: how often a guess was right
///
/// of which the k is taken that gives most tokens for the pass's cost. After a while without trying, one is tried again: a
/// text may begin to repeat itself later.
struct DraftLength: Sendable {
  /// What a pass of 1 + k tokens costs, in passes of one.
  static let costs: [Double] = [1, 1.15, 1.3, 1.45, 1.6, 1.75, 1.9, 2.05]
  static var longest: Int { costs.count - 1 }

  /// How often a guess was right, recent ones counting more.
  private var rate = 0.5
  /// Tokens until the next trial, and what that becomes if the trial is in vain.
  private var pause = 0
  private var nextPause = 8

  /// How many to try now.
  var count: Int {
    guard pause == 0 else { return 0 }
    return max(1, DraftLength.best(rate))
  }

  /// Takes note of what came of `drafted` guesses, of which the first `accepted` were right; none if none were tried.
  mutating func record(drafted: Int, accepted: Int) {
    guard drafted > 0 else {
      pause = max(0, pause - 1)
      return
    }
    // A guess after a wrong one was never put to the test.
    for trial in 0..<min(drafted, accepted + 1) { rate += (trial < accepted ? 1 - rate : -rate) * 0.15 }
    if DraftLength.best(rate) == 0 {
      pause = nextPause
      nextPause = min(256, nextPause * 2)
    } else {
      nextPause = 8
    }
  }

  private static func best(_ rate: Double) -> Int {
    var (best, most) = (0, 1.0)
    var (tokens, chance) = (1.0, 1.0)
    for count in 1...longest {
      chance *= rate
      tokens += chance
      if tokens / costs[count] > most { (best, most) = (count, tokens / costs[count]) }
    }
    return best
  }
}
