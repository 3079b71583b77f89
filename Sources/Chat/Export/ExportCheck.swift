public import Engine
internal import Foundation

/// What an export kept of what was learned. The field names are those of the command's JSON.
///
/// Four models are asked the same held-out examples: the base, the base with what was learned (the yardstick), that merged in f32, and
/// what was written. Quantising again can cost about as much as a small adapter brought, and nothing else would show it.
public struct ExportCheck: Encodable, Sendable, Equatable {
  /// How one model compares with the yardstick.
  public struct Figures: Encodable, Sendable, Equatable {
    /// Σ −log p over the supervised tokens, divided by their number.
    public let loss: Double
    /// KL divergence from the yardstick, mean over positions, in nats.
    public let mean_kl: Double
    /// Share of positions with the same likeliest token.
    public let top1_agreement: Double
  }

  /// How an export is to be checked.
  public struct Request: Sendable {
    /// Held-out files; when empty, what the run kept aside.
    public var data: [String] = []
    /// Whether what lost too much is written all the same.
    public var allowsLoss = false
    /// What all models are computed in.
    public var precision = Precision.reference

    /// A check on the run's own data.
    public init() {}
  }

  /// Share of what was learned that an export may lose.
  public static let allowedShare = 0.1
  /// What it may lose in any case, in nats per token: what rounding to 8 bits costs.
  public static let allowedLeast = 0.02

  /// Where the examples come from.
  public let data: [String]
  public let examples: Int
  /// Supervised tokens that losses are taken over.
  public let tokens: Int
  /// Positions that divergences are taken over.
  public let positions: Int
  /// Of the base without what was learned; nil when there is nothing learned.
  public let base_loss: Double?
  /// Of the yardstick.
  public let tuned_loss: Double
  /// Merged in f32; nil unless an adapter was merged.
  public let merged: Figures?
  /// What was written, read back.
  public let written: Figures
  /// How much more loss than the yardstick's is allowed; nil when there is nothing learned to lose.
  public let allowed_loss: Double?

  /// How much loss what was written has beyond the yardstick's.
  public var lost: Double { written.loss - tuned_loss }
  /// How much was learned; nil when nothing was.
  public var learned: Double? { base_loss.map { $0 - tuned_loss } }
  /// Whether the export kept what was learned.
  public var isPassed: Bool { allowed_loss.map { lost <= $0 } ?? true }

  init(
    data: [String], examples: Int, tokens: Int, positions: Int, baseLoss: Double?, tunedLoss: Double, merged: Figures?,
    written: Figures
  ) {
    (self.data, self.examples, self.tokens, self.positions) = (data, examples, tokens, positions)
    (base_loss, tuned_loss, self.merged, self.written) = (baseLoss, tunedLoss, merged, written)
    allowed_loss = baseLoss.map { max(ExportCheck.allowedLeast, ExportCheck.allowedShare * ($0 - tunedLoss)) }
  }
}

/// Asks models the held-out examples of an export's check.
struct ExportExaminer {
  /// Examples at most; what is learned shows in a few.
  static let maximumExamples = 64
  /// Positions at most of which whole distributions are kept.
  static let maximumPositions = 512

  let files: [String]
  private let examples: [TokenizedExample]
  /// Each example's positions whose distributions are compared.
  private let compared: [Set<Int>]

  /// - Throws: `ExportError` when the run's own data cannot be read, `DatasetError` when what was given cannot.
  init(_ source: ExportSource, data: [String]) throws {
    (files, examples) = try ExportExaminer.examples(source, data)
    let count = examples.reduce(0) { $0 + $1.supervisedCount }
    let every = (count + ExportExaminer.maximumPositions - 1) / ExportExaminer.maximumPositions
    var number = 0
    compared = examples.map { example in
      Set(
        ExportExaminer.rows(example).filter { _ in
          number += 1
          return number % max(1, every) == 0 || count <= ExportExaminer.maximumPositions
        })
    }
  }

  /// The rows whose next token counts.
  private static func rows(_ example: TokenizedExample) -> [Int] {
    example.supervised.indices.dropFirst().filter { example.supervised[$0] }.map { $0 - 1 }
  }

  private static func examples(_ source: ExportSource, _ data: [String]) throws -> ([String], [TokenizedExample]) {
    var recipe = FineTuningRecipe()
    if let run = source.run {
      let file = run.folder + "/" + RunFolder.recipeName
      guard FileManager.default.fileExists(atPath: file) || !data.isEmpty else {
        throw ExportError("\(file): is missing, so it is not known what to check by: \(ExportExaminer.advice)")
      }
      if FileManager.default.fileExists(atPath: file) { recipe = try FineTuningRecipe(yaml: file) }
    }
    if !data.isEmpty {
      let tokenizer = try ExampleTokenizer(
        source.base.rendering(on: recipe.renderingDate), target: recipe.lossOn, maximumLength: recipe.maxLength)
      let examples = try Dataset(files: data).examples.prefix(maximumExamples)
      return (data, try examples.compactMap { try tokenizer.tokenize($0).example })
    }
    do {
      let kept = try TrainingData(recipe, for: source.base)
      let held = kept.validation.answers
      // A run that kept nothing aside is asked what it was taught.
      let files = held.isEmpty || recipe.validation.isEmpty ? recipe.data : recipe.validation
      return (files, Array((held.isEmpty ? kept.training.answers : held).prefix(maximumExamples)))
    } catch {
      throw ExportError("\(source.name): what it learned cannot be checked by its run's data (\(error)): \(advice)")
    }
  }

  private static let advice = "give held-out examples with --data FILE, or write without a check with --no-check"

  /// What is known of the yardstick: losses, and the distributions at the positions that are compared.
  struct Yardstick {
    var loss = 0.0
    /// Log-probabilities, `[vocabulary]` each, in order.
    var rows: [[Float]] = []
  }

  var tokenCount: Int { examples.reduce(0) { $0 + $1.supervisedCount } }
  var exampleCount: Int { examples.count }

  /// Goes through all supervised positions.
  private func visit(
    _ model: LanguageModel, _ adapter: Adapter?,
    _ use: (_ isCompared: Bool, _ target: Int, _ logProbabilities: UnsafeBufferPointer<Float>) -> Void
  ) {
    for (example, compared) in zip(examples, compared) {
      model.logProbabilities(of: example.ids, rows: ExportExaminer.rows(example), adapter: adapter) { row, values in
        use(compared.contains(row), Int(example.ids[row + 1]), values)
      }
    }
  }

  /// The loss alone.
  func loss(_ model: LanguageModel, _ adapter: Adapter?) -> Double {
    var sum = 0.0
    visit(model, adapter) { sum -= Double($2[$1]) }
    return sum / Double(max(1, tokenCount))
  }

  func yardstick(_ model: LanguageModel, _ adapter: Adapter?) -> Yardstick {
    var yardstick = Yardstick()
    visit(model, adapter) { isCompared, target, values in
      yardstick.loss -= Double(values[target])
      if isCompared { yardstick.rows.append(Array(values)) }
    }
    yardstick.loss /= Double(max(1, tokenCount))
    return yardstick
  }

  func compare(_ model: LanguageModel, _ adapter: Adapter?, with yardstick: Yardstick) -> ExportCheck.Figures {
    var (loss, divergence, same, position) = (0.0, 0.0, 0, 0)
    visit(model, adapter) { isCompared, target, values in
      loss -= Double(values[target])
      guard isCompared, position < yardstick.rows.count else { return }
      let truth = yardstick.rows[position]
      position += 1
      var (sum, best, other) = (0.0, 0, 0)
      for id in 0..<min(truth.count, values.count) {
        sum += exp(Double(truth[id])) * (Double(truth[id]) - Double(values[id]))
        if truth[id] > truth[best] { best = id }
        if values[id] > values[other] { other = id }
      }
      divergence += max(0, sum)
      if best == other { same += 1 }
    }
    let positions = Double(max(1, position))
    return ExportCheck.Figures(
      loss: loss / Double(max(1, tokenCount)), mean_kl: divergence / positions, top1_agreement: Double(same) / positions
    )
  }
}
