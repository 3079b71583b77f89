public import Engine
internal import Foundation

/// What a model was put behind an alias for. The field names are those of the command's JSON and of the store's records.
public struct Promotion: Codable, Sendable, Equatable {
  /// How the model compares with the one that was behind the alias.
  public enum Verdict: String, Codable, Sendable {
    /// The alias is new.
    case first
    /// The whole interval of the difference is below zero.
    case better
    /// The interval contains zero: the data does not tell.
    case undecided
    /// The whole interval is above zero.
    case worse
  }

  public let verdict: Verdict
  /// Whether the model was put there whatever the verdict.
  public let forced: Bool
  /// The held-out files.
  public let data: [String]
  /// Held-out examples that were measured.
  public let examples: Int
  /// `loss`, or `bits_per_byte` where the two models do not have the same tokens.
  public let measure: String
  /// Of the model.
  public let value: Double
  /// Of the model that was behind the alias.
  public let against: Double?
  /// The first minus the second: negative is better.
  public let difference: Double?
  /// Of the difference, by a paired bootstrap over examples.
  public let confidence_interval_95: [Double]?

  /// Whether the model may take the alias.
  public var isAllowed: Bool { forced || verdict == .first || verdict == .better }

  /// Compares what was measured of a model with what was measured of the current one, if there is one.
  ///
  /// - Throws: `RunError` when not the same examples could be measured of both.
  init(_ measured: Measured, against other: Measured?, data: [String], forced: Bool) throws {
    (self.data, self.forced) = (data, forced)
    examples = measured.sums.count
    let sameTokens = other.map { $0.tokenizer == measured.tokenizer } ?? true
    measure = sameTokens ? "loss" : "bits_per_byte"
    func weights(_ measured: Measured) -> [Double] {
      sameTokens ? measured.counts.map(Double.init) : measured.bytes.map { Double($0) * log(2) }
    }
    func means(_ measured: Measured) -> [Double] { zip(measured.sums, weights(measured)).map { $0 / max(1, $1) } }
    func mean(_ measured: Measured) -> Double { measured.sums.reduce(0, +) / max(1, weights(measured).reduce(0, +)) }
    value = mean(measured)
    guard let other else {
      (verdict, against, difference, confidence_interval_95) = (.first, nil, nil, nil)
      return
    }
    guard measured.examples == other.examples,
      let interval = PairedBootstrap(means(other), means(measured), weights: weights(measured))
    else {
      throw RunError(
        "\(data.joined(separator: ", ")): of \(measured.name) \(measured.sums.count) examples could be measured, of "
          + "\(other.name) \(other.sums.count), or a loss is not finite: use examples that fit the context of both models"
      )
    }
    verdict = interval.high < 0 ? .better : interval.low > 0 ? .worse : .undecided
    against = mean(other)
    difference = interval.difference
    confidence_interval_95 = [interval.low, interval.high]
  }

  /// What was measured of one model.
  struct Measured {
    let name: String
    /// Fingerprint of the tokenizer: losses per token compare only where it is the same.
    let tokenizer: String
    /// Places of the examples, in order.
    let examples: [String]
    /// Σ −log p of each example, its supervised tokens and their bytes.
    let sums: [Double]
    let counts, bytes: [Int]

    init(_ model: ChatModel, _ evaluator: Evaluator, precision: Precision) throws {
      let detail = try evaluator.evaluate(model, precision: precision).detail
      name = model.name
      tokenizer = model.fingerprint.tokenizer
      examples = detail.places
      (sums, counts, bytes) = (detail.losses.sums, detail.losses.counts, detail.bytes)
    }

    init(name: String, tokenizer: String, examples: [String], sums: [Double], counts: [Int], bytes: [Int]) {
      (self.name, self.tokenizer, self.examples) = (name, tokenizer, examples)
      (self.sums, self.counts, self.bytes) = (sums, counts, bytes)
    }
  }
}

/// Puts models behind aliases: names that stay while what they stand for gets better.
public struct Promoter {
  private let store: ModelStore
  private let open: (ModelStore.Location) throws -> ChatModel
  private let precision: Precision

  /// - Parameters:
  ///   - precision: What losses are computed in.
  ///   - open: Loads a model; it is let go before the next one is loaded.
  public init(
    store: ModelStore = ModelStore(), precision: Precision, open: @escaping (ModelStore.Location) throws -> ChatModel
  ) {
    self.store = store
    self.precision = precision
    self.open = open
  }

  /// Measures a model, and the one behind the alias, and puts it there if it is better by more than the choice of examples explains.
  ///
  /// - Parameters:
  ///   - files: Held-out examples: neither trained on nor chosen by.
  ///   - isForced: Whether to put it there whatever was measured.
  /// - Returns: What was decided, and the alias as it is now; nil for an alias that there still is not.
  /// - Throws: `StoreError` when the alias is a model of its own, or stands for the model already; as `Evaluator` and `open`.
  public func promote(
    _ model: String, as alias: String, data files: [String], isForced: Bool = false
  ) throws -> (promotion: Promotion, alias: ModelManifest?) {
    let candidate = try store.locate(model)
    try store.requireAlias(alias, isNew: true)
    let current = try store.manifest(of: alias)
    if let current, current.path == ModelStore.standard(candidate.path) {
      let target = current.target ?? model
      throw StoreError(
        "\(alias): stands for \(target) already\(target == model ? "" : ", as \(model) does"): nothing to promote")
    }
    let evaluator = try Evaluator(files: files, generates: false)
    func measure(_ location: ModelStore.Location) throws -> Promotion.Measured {
      try Promotion.Measured(open(location), evaluator, precision: precision)
    }
    // Of a model whose files have gone nothing can be measured; only --force gets past it.
    let behind = try current.flatMap { _ in isForced ? try? store.locate(alias) : try store.locate(alias) }
    let other = try behind.map(measure)
    let promotion = try Promotion(measure(candidate), against: other, data: files, forced: isForced)
    guard promotion.isAllowed else { return (promotion, current) }
    return (promotion, try store.place(candidate, behind: alias, promotion, replacing: current))
  }
}
