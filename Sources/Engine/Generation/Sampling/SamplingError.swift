/// Why a token could not be chosen.
public enum SamplingError: Error, Hashable, Sendable {
  /// An option is outside its range.
  case invalidOption(field: String, expected: String, found: String)
  /// The number of logits does not fit the vocabulary and the sequences in play.
  case wrongLogitCount(expected: Int, found: Int)
  /// The model produced a logit that is not a number, or positive infinity.
  case logitNotFinite(token: Int32, found: Float)
  /// Every token is ruled out: all logits are negative infinity.
  case nothingPossible
  /// Every token is ruled out by the constraint that the text is held to.
  case nothingAllowed
}

extension SamplingError: CustomStringConvertible {
  /// The message for the person at the keyboard.
  public var description: String {
    switch self {
    case .invalidOption(let field, let expected, let found):
      "\(field) is \(found), expected \(expected)"
    case .wrongLogitCount(let expected, let found):
      "the model returned \(found) logits, expected \(expected)"
    case .logitNotFinite(let token, let found):
      "the model's logit of token \(token) is \(found), expected a finite number; "
        + "the weights or the adapter are damaged, or a logit bias is too large"
    case .nothingPossible:
      "no token is possible: every logit is -infinity; "
        + "check the logit biases, and the weights for damage"
    case .nothingAllowed:
      "the text cannot go on as its format wants: this model's vocabulary has no token for the character that must come; "
        + "leave it out of the keys, values and patterns of the format"
    }
  }
}
