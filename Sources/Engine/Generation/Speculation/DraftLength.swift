/// How many guessed tokens are worth trying in one pass.
///
///     expected tokens of a pass with k guesses  (1 − p^(k+1)) / (1 − p)      p: how often a guess was right
///
/// of which the k is taken that gives most tokens for the pass's cost. After a while without trying, one is tried again: a
/// text may begin to repeat itself later.
struct DraftLength: Sendable {
  /// What a pass of 1 + k tokens costs, in passes of one: measured with SmolLM2-135M in Q4_1 on two threads of a Zen 4 (1, 2, 3, 4, 6
  /// and 8 tokens), rounded up. Products are bound by arithmetic from the third token on.
  static let costs: [Double] = [1, 1.25, 1.6, 2, 2.5, 3]
  static var longest: Int { costs.count - 1 }

  /// How often a guess was right, recent ones counting more.
  private var rate = 0.3
  /// Tokens until the next trial, and what that becomes if the trial is in vain.
  private var pause = 0
  private var nextPause = 16

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
    for trial in 0..<min(drafted, accepted + 1) { rate += (trial < accepted ? 1 - rate : -rate) * 0.25 }
    if DraftLength.best(rate) == 0 {
      pause = nextPause
      nextPause = min(256, nextPause * 2)
    } else {
      nextPause = max(8, nextPause / 2)
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
