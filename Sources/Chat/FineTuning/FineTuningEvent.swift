/// What a run reports as it goes.
public enum FineTuningEvent: Sendable {
  /// An optimiser step was taken.
  public struct Step: Sendable {
    /// Counted from 1.
    public let step: Int
    public let stepCount: Int
    public let epoch: Double
    public let loss: Double
    public let learningRate: Double
    public let gradientNorm: Double
    public let supervisedTokens: Int
    /// Input tokens through the model per second, over this step.
    public let tokensPerSecond: Double
  }

  /// The validation examples were measured.
  public struct Evaluation: Sendable {
    public let step: Int
    public let loss: Double
    public let perplexity: Double
    /// Whether no earlier evaluation was better.
    public let isBest: Bool
    /// Answers of the model as it is now: question and answer.
    public let samples: [(question: String, answer: String)]
  }

  /// The run is over.
  public struct Done: Sendable {
    public let steps: Int
    public let bestStep: Int?
    public let bestLoss: Double?
    public let output: String
    /// Of this process; a resumed run does not count what went before.
    public let seconds: Double
    public let tokensPerSecond: Double
    public let peakMemoryBytes: Int
    /// Whether it ended before its last step because the loss did not improve.
    public let stoppedEarly: Bool
  }

  /// What will be trained on.
  case prepared(DatasetStatistics, validation: DatasetStatistics, trainableParameters: Int, stepCount: Int)
  /// The run goes on after this many steps.
  case resumed(step: Int)
  case step(Step)
  case evaluation(Evaluation)
  case done(Done)
}
