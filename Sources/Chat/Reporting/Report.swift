/// A run's results as one HTML page: no script, nothing fetched, light and dark, phone to desktop.
public struct Report: Sendable, Equatable {
  /// One row of the comparison.
  public struct Comparison: Sendable, Equatable {
    /// How a figure is shown.
    public enum Format: Sendable, Equatable {
      /// With three decimals.
      case decimal
      /// A share from 0 to 1, in percent.
      case percent
    }

    /// What is measured.
    public var name: String
    /// The rule or unit behind it, in a few words.
    public var explanation: String
    /// The base model's figure; nil where there is none to compare with.
    public var base: Double?
    /// The tuned model's figure.
    public var tuned: Double
    /// The 95 % interval of the difference, tuned minus base.
    public var interval: ClosedRange<Double>?
    /// Whether less is better, as with a loss.
    public var lowerIsBetter: Bool
    /// How the figures are shown.
    public var format: Format

    /// A row of the comparison.
    public init(
      name: String, explanation: String = "", base: Double?, tuned: Double,
      interval: ClosedRange<Double>? = nil, lowerIsBetter: Bool, format: Format = .decimal
    ) {
      self.name = name
      self.explanation = explanation
      self.base = base
      self.tuned = tuned
      self.interval = interval
      self.lowerIsBetter = lowerIsBetter
      self.format = format
    }
  }

  /// A figure at a step.
  public struct Point: Sendable, Equatable {
    /// The optimiser step.
    public var step: Int
    /// The figure.
    public var value: Double

    /// `value` at `step`.
    public init(step: Int, value: Double) {
      self.step = step
      self.value = value
    }
  }

  /// One question and what the models said.
  public struct Sample: Sendable, Equatable {
    /// What was asked.
    public var question: String
    /// What would be right.
    public var reference: String
    /// The base model's answer.
    public var base: String?
    /// The tuned model's answer.
    public var tuned: String
    /// Whether the base model's answer is right, where a rule says so.
    public var baseIsRight: Bool?
    /// Whether the tuned model's answer is right, where a rule says so.
    public var tunedIsRight: Bool?

    /// A question with its answers.
    public init(
      question: String, reference: String, base: String?, tuned: String, baseIsRight: Bool? = nil,
      tunedIsRight: Bool? = nil
    ) {
      self.question = question
      self.reference = reference
      self.base = base
      self.tuned = tuned
      self.baseIsRight = baseIsRight
      self.tunedIsRight = tunedIsRight
    }
  }

  /// A line of a two-column table.
  public struct Entry: Sendable, Equatable {
    /// What it is.
    public var name: String
    /// Its value, as shown.
    public var value: String

    /// `name: value`.
    public init(_ name: String, _ value: String) {
      self.name = name
      self.value = value
    }
  }

  /// The page's heading: the tuned model's name.
  public var title: String
  /// A sentence under it: from what, on what, when.
  public var subtitle: String
  /// Short facts shown large, such as steps, time and speed.
  public var highlights: [Entry] = []
  /// Base beside tuned.
  public var comparisons: [Comparison] = []
  /// Loss of each optimiser step, in order.
  public var trainingLoss: [Point] = []
  /// Loss on held-out examples, in order.
  public var validationLoss: [Point] = []
  /// The step whose weights were kept.
  public var bestStep: Int?
  /// Questions and answers.
  public var samples: [Sample] = []
  /// Every setting of the run.
  public var recipe: [Entry] = []
  /// What a reader should know, such as warnings about the data.
  public var notes: [String] = []

  /// A report that holds no more than its heading yet.
  public init(title: String, subtitle: String) {
    self.title = title
    self.subtitle = subtitle
  }
}
