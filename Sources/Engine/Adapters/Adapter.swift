/// A set of low-rank pairs over the linear maps of one model.
public final class Adapter {
  /// Everything about an adapter but its values.
  public struct Settings: Sendable, Equatable, Codable {
    /// Columns of A's product: the width of the bottleneck, 1 to 4096.
    public var rank: Int
    /// α: the term is scaled by α / rank.
    public var alpha: Float
    /// Probability that an input of A is dropped in training.
    public var dropout: Float
    /// The last components of the Hugging Face names of the maps to adapt, "q_proj"; empty means all.
    public var targets: [String]

    /// Whether the term is scaled by α / √rank instead of α / rank (rsLoRA).
    public var isRankStabilised: Bool
    /// Whether each row of an adapted map has a length of its own, which is learned too (DoRA).
    public var isWeightDecomposed: Bool

    /// Settings; the defaults are those of a new fine-tuning recipe.
    public init(
      rank: Int = 8, alpha: Float = 16, dropout: Float = 0, targets: [String] = [],
      isRankStabilised: Bool = false, isWeightDecomposed: Bool = false
    ) {
      self.rank = rank
      self.alpha = alpha
      self.dropout = dropout
      self.targets = targets
      self.isRankStabilised = isRankStabilised
      self.isWeightDecomposed = isWeightDecomposed
    }

    /// What the term is multiplied by.
    public var scale: Float { alpha / (isRankStabilised ? Float(rank).squareRoot() : Float(rank)) }

    /// The settings of a map that has a rank or an α of its own.
    func with(rank: Int?, alpha: Float?) -> Settings {
      var settings = self
      settings.rank = rank ?? self.rank
      settings.alpha = alpha ?? self.alpha
      return settings
    }
  }

  /// What the pairs were made with.
  public let settings: Settings
  /// By the identity of the linear map.
  private(set) var pairs: [ObjectIdentifier: LowRankPair] = [:]
  /// In the order of the model's linear maps.
  private(set) var entries: [(linear: Linear, pair: LowRankPair)] = []

  init(settings: Settings) { self.settings = settings }

  func add(_ pair: LowRankPair, to linear: Linear) {
    pairs[ObjectIdentifier(linear)] = pair
    entries.append((linear, pair))
  }

  /// A, B and, with DoRA, m of each adapted map, in the model's order.
  var parameters: [Parameter] { entries.flatMap { $0.pair.parameters } }

  /// Whether inputs of any map are dropped in training.
  var hasDropout: Bool { entries.contains { $0.pair.dropout > 0 } }

  /// How many linear maps it adapts.
  public var mapCount: Int { entries.count }

  /// How many numbers the adapter holds.
  public var parameterCount: Int { parameters.reduce(0) { $0 + $1.count } }
}

/// Why an adapter does not fit a model.
public struct AdapterError: Error, Sendable, CustomStringConvertible {
  /// What does not fit, for the person at the keyboard.
  public let description: String
  init(_ description: String) { self.description = description }
}
