/// Reads a text a piece at a time, when something else than an answer is wanted of it: how likely each token is, or the mean
/// of its hidden states.
///
/// Between pieces others can be served. Results do not depend on how the text was cut. Not `Sendable`: it belongs to the
/// executor of its model.
public final class PromptReader {
  /// What is wanted of the text.
  public enum Purpose: Sendable, Hashable {
    /// The log-probability of every token but the first, with so many of the likeliest beside it.
    case scores(listing: Int)
    /// The mean over all positions of what the last norm gives, `[width]`.
    case mean
  }

  private let model: LanguageModel
  private let tokens: [Int32]
  private let purpose: Purpose
  private let sequence: TokenSequence
  /// For `.scores`, one a token; nil for the first.
  public private(set) var scores: [SampledToken?] = [nil]
  private var sum: [Double] = []

  /// A reader at the start of `tokens`.
  ///
  /// - Throws: When there are none, or more than the context holds, or one is outside the vocabulary.
  public init(
    _ model: LanguageModel, _ tokens: [Int32], for purpose: Purpose, adapter: Adapter? = nil
  ) throws(GenerationError) {
    guard !tokens.isEmpty else { throw .emptyPrompt }
    if let stranger = tokens.first(where: { $0 < 0 || Int($0) >= model.vocabularyCount }) {
      throw .unknownToken(stranger, vocabularyCount: model.vocabularyCount)
    }
    guard tokens.count <= model.contextLength else {
      throw .promptTooLong(tokens: tokens.count, contextLength: model.contextLength)
    }
    self.model = model
    self.tokens = tokens
    self.purpose = purpose
    sequence = model.sequence(adapter: adapter)
  }

  /// Whether all that is needed has been read. The last token is nobody's past, so scores do not need it.
  public var isDone: Bool { sequence.tokens.count >= neededCount }

  private var neededCount: Int { purpose == .mean ? tokens.count : tokens.count - 1 }

  /// The mean hidden state of what was read, `[width]`.
  public var mean: [Float] { sum.map { Float($0 / Double(max(1, sequence.tokens.count))) } }

  /// Reads up to `count` tokens.
  ///
  /// - Throws: `.sampling` when the model gives no usable logits.
  public func advance(by count: Int) throws(GenerationError) {
    let start = sequence.tokens.count
    let piece = Array(tokens[start..<min(start + max(1, count), neededCount)])
    guard !piece.isEmpty else { return }
    switch purpose {
    case .mean:
      for row in model.hiddenStates(continuing: sequence, piece) {
        if sum.isEmpty { sum = [Double](repeating: 0, count: row.count) }
        for index in row.indices { sum[index] += Double(row[index]) }
      }
    case .scores(let listing):
      guard let logits = model.step([(sequence: sequence, tokens: piece, logitCount: piece.count)]) else { return }
      for row in 0..<logits.rows {
        let token = tokens[start + row + 1]
        do { scores.append(try Self.score(token, logits.span(ofRows: row..<row + 1), listing)) } catch {
          throw .sampling(error)
        }
      }
    }
  }

  private static func score(
    _ token: Int32, _ logits: Span<Float>, _ listing: Int
  ) throws(SamplingError) -> SampledToken {
    let logSum = try logSumExp(logits)
    var best = TopSelection(capacity: listing, expected: listing)
    if listing > 0 {
      for index in logits.indices { best.offer(logits[index], at: index) }
    }
    func listed(_ index: Int) -> TokenLogProbability {
      TokenLogProbability(id: Int32(index), logProbability: Float(Double(logits[index]) - logSum))
    }
    return SampledToken(chosen: listed(Int(token)), likeliest: best.sorted().map { listed($0.index) })
  }
}

extension LanguageModel {
  /// Continues a sequence, and gives what the last norm makes of each of its new tokens, `[width]` each.
  func hiddenStates(continuing sequence: TokenSequence, _ tokens: [Int32]) -> [[Float]] {
    let pass = Pass(
      continuing: [(sequence: sequence, count: tokens.count)], pool: pool, workspace: workspace, precision: precision)
    pass.prepareCaches()
    let hidden = architecture.hiddenStates(tokens, pass)
    pass.advanceCaches()
    sequence.tokens += tokens
    return (0..<hidden.rows).map(hidden.row)
  }
}
