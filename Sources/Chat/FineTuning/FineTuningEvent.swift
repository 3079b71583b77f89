public import Engine

/// What a run reports as it goes.
public enum FineTuningEvent: Sendable {
  /// An optimiser step was taken.
  public struct Step: Sendable {
    /// Counted from 1.
    public let step: Int
    /// Steps of the whole run.
    public let stepCount: Int
    /// Epochs passed after this step.
    public let epoch: Double
    /// Σ −log p over the step's supervised tokens, divided by their number.
    public let loss: Double
    /// The rate that this step used.
    public let learningRate: Double
    /// √Σg² before clipping.
    public let gradientNorm: Double
    /// Tokens whose prediction counted.
    public let supervisedTokens: Int
    /// Input tokens through the model per second, over this step.
    public let tokensPerSecond: Double
    /// How the step's preferences stood before it; nil unless preferences are learned.
    public let preferences: PreferenceFigures?
  }

  /// The validation examples were measured.
  public struct Evaluation: Sendable {
    /// Steps taken when it was measured; 0 is the model as the run found it.
    public let step: Int
    /// Σ −log p over the supervised tokens of all validation examples, divided by their number; of preferences their mean loss.
    public let loss: Double
    /// e to the power of the loss; nil when preferences are learned.
    public let perplexity: Double?
    /// Whether no evaluation of an earlier checkpoint was better; what the run began with has none.
    public let isBest: Bool
    /// The loss of what the run began with.
    public let baseLoss: Double?
    /// Answers of the model as it is now: question and answer.
    public let samples: [(question: String, answer: String)]
    /// How the held-out preferences stand; nil unless preferences are learned.
    public let preferences: PreferenceFigures?
  }

  /// What the base and the run's model can do beside what was taught.
  public struct Probe: Sendable, Codable {
    /// The base, without any adapter.
    public let base: GeneralProbe.Score
    /// The best checkpoint.
    public let tuned: GeneralProbe.Score
    /// What was lost beyond the bounds, in sentences.
    public var warnings: [String] { GeneralProbe.warnings(base: base, tuned: tuned) }
  }

  /// The run is over.
  public struct Done: Sendable {
    /// Steps taken since the run began, resumed parts included.
    public let steps: Int
    /// The step of the checkpoint with the lowest validation loss; nil when none was measured.
    public let bestStep: Int?
    /// That loss.
    public let bestLoss: Double?
    /// The validation loss before the first step; nil when none was measured.
    public let baseLoss: Double?
    /// The run folder.
    public let output: String
    /// Of this process; a resumed run does not count what went before.
    public let seconds: Double
    /// Input tokens through the model per second of training steps, evaluations excluded.
    public let tokensPerSecond: Double
    /// The most resident memory this process has held.
    public let peakMemoryBytes: Int
    /// Whether the model was as good or better on the validation examples before the run than at its best after.
    public var baseWasBetter: Bool {
      guard let baseLoss, let bestLoss else { return false }
      return bestLoss >= baseLoss
    }
    /// Whether it ended before its last step because the loss did not improve.
    public let stoppedEarly: Bool
    /// Whether it ended before its last step because somebody asked for it; it can be resumed.
    public let wasInterrupted: Bool
  }

  /// What will be trained on.
  case prepared(DatasetStatistics, validation: DatasetStatistics, trainableParameters: Int, stepCount: Int)
  /// The run goes on after this many steps.
  case resumed(step: Int)
  case step(Step)
  case evaluation(Evaluation)
  /// The run is complete, and was measured against forgetting.
  case probe(Probe)
  case done(Done)
}
