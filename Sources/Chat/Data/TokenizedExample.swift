/// Which tokens training counts.
public enum LossTarget: String, Sendable, CaseIterable {
  /// Every assistant turn through its stop token, nothing else.
  case responses
  /// Every token that has one before it.
  case all
}

/// Something a user should know about one example that is used all the same, or dropped.
public struct ExampleWarning: Sendable, Equatable, CustomStringConvertible {
  /// What happened.
  public enum Kind: Sendable, Equatable {
    /// The template rewrites earlier turns (some drop past reasoning), so only the last answer is as serving sees it.
    case onlyLastAnswerSupervised
    /// An assistant turn with nothing before it cannot be prompted for; it is context only.
    case openingAnswerUnsupervised
    /// The turn ends with a special token that the model's own settings do not count as an end.
    case stopTokenNotAnEnd(Int32)
    /// The template ends a turn with no special token; the model's end token was added.
    case stopTokenAdded(Int32)
    /// There is no token to stop with: the model will not learn to end its answer.
    case noStopToken
    /// Encoding the whole conversation at once gives other tokens than prompt and answers in turn.
    case borderTokensDiffer
    /// The end was cut off: tokens lost, and how many of them were supervised.
    case truncated(lost: Int, lostSupervised: Int)
    /// The example was dropped, nothing in it being supervised within the length.
    case droppedNothingSupervised
  }

  /// What happened.
  public let kind: Kind
  /// `file:line` of the example.
  public let place: String

  /// One line for the user.
  public var description: String {
    let text =
      switch kind {
      case .onlyLastAnswerSupervised:
        "the chat template rewrites earlier turns, so only the last answer is trained on"
      case .openingAnswerUnsupervised:
        "the conversation opens with an answer, which is used as context only"
      case .stopTokenNotAnEnd(let id):
        "answers end with token \(id), which the model's settings do not list as an end"
      case .stopTokenAdded(let id):
        "the chat template ends answers with no stop token; token \(id) was added"
      case .noStopToken: "there is no stop token to learn, so answers will not end"
      case .borderTokensDiffer:
        "text across the border of prompt and answer would be one token if encoded together"
      case .truncated(let lost, let lostSupervised):
        "\(lost) tokens beyond the maximum length were cut, \(lostSupervised) of them to be learned"
      case .droppedNothingSupervised: "dropped: nothing to learn within the maximum length"
      }
    return "\(place): \(text)"
  }
}

/// Token ids of one example and which of them count in the loss.
public struct TokenizedExample: Sendable, Equatable {
  /// The tokens of one supervised answer.
  public struct Answer: Sendable, Equatable {
    /// Index of the turn in the conversation.
    public let turn: Int
    /// Positions in `ids`, stop token included.
    public let range: Range<Int>
  }

  /// The tokens, `[tokens]`.
  public let ids: [Int32]
  /// `supervised[i]`: predicting token `i` from those before it counts in the loss, `[tokens]`. Never true at 0.
  public let supervised: [Bool]
  /// The supervised answers, in order.
  public let answers: [Answer]
  /// The data file, as the user named it.
  public let file: String
  /// The line the example starts on.
  public let line: Int

  /// How many tokens count.
  public var supervisedCount: Int { supervised.count { $0 } }

  /// The same with only the last answer counting; nil when nothing of it is left.
  var countingLastAnswerOnly: TokenizedExample? {
    guard let answer = answers.last else { return nil }
    let example = TokenizedExample(
      ids: ids, supervised: supervised.indices.map { supervised[$0] && answer.range.contains($0) }, answers: [answer],
      file: file, line: line)
    return example.supervisedCount > 0 ? example : nil
  }
}

/// What became of one example.
public struct TokenizedOutcome: Sendable, Equatable {
  /// The example, nil when it was dropped.
  public let example: TokenizedExample?
  /// Tokens before truncation.
  public let fullLength: Int
  /// What the user should know.
  public let warnings: [ExampleWarning]
}
