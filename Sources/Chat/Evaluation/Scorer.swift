internal import Engine
internal import Foundation
public import Tokenizers

/// How likely a model holds a text, token by token.
public struct Scorer {
  /// The field names are those of the command's JSON.
  public struct Score: Encodable, Sendable {
    /// The tokens scored.
    public let ids: [Int32]
    /// Natural log of p(token | those before it); nil for the first.
    public let logprobs: [Double?]
    /// The likeliest tokens at each place, best first, none at the first; nil when none were asked for.
    public let top: [[Alternative]]?
    /// e to the power of the mean negative log-probability; 1 for a single token.
    public let perplexity: Double
    /// The same per byte of text, in bits: comparable between tokenizers.
    public let bits_per_byte: Double
  }

  /// A token that could have stood at a place.
  public struct Alternative: Encodable, Sendable {
    /// Its id.
    public let id: Int32
    /// Natural log of its probability.
    public let logprob: Double
  }

  private let model: ChatModel
  private let window: Int
  private let stride: Int
  private let listed: Int

  /// - Parameters:
  ///   - contextLength: Tokens in a window; the model's when nil.
  ///   - stride: Tokens that each window moves on; half a window when nil.
  ///   - listed: How many alternatives to list at each place.
  public init(_ model: ChatModel, contextLength: Int? = nil, stride: Int? = nil, listed: Int = 0) {
    self.model = model
    window = max(2, min(contextLength ?? model.engine.contextLength, model.engine.contextLength))
    self.stride = max(1, min(stride ?? window / 2, window - 1))
    self.listed = listed
  }

  /// Scores a whole conversation as the chat template writes it; `visit` as below.
  public func score(
    _ messages: [ChatMessage], visit: (Span<Float>) throws -> Void = { _ in }
  ) throws -> Score {
    let text = try model.rendered(messages, addGenerationPrompt: false)
    return try score(model.tokenizer.encode(text), visit: visit)
  }

  /// Scores ids. Texts longer than a window are scored in windows that overlap, each token once, with all the context that its window
  /// has before it.
  ///
  /// - Parameter visit: Receives the log-probabilities of every token, `[vocabulary]`, for each place but the first, in order.
  /// - Throws: `GenerationError` for an id outside the vocabulary or no id at all, or what `visit` throws.
  public func score(_ ids: [Int32], visit: (Span<Float>) throws -> Void = { _ in }) throws -> Score {
    guard !ids.isEmpty else { throw GenerationError.emptyPrompt }
    if let stranger = ids.first(where: { $0 < 0 || Int($0) >= model.engine.vocabularyCount }) {
      throw GenerationError.unknownToken(stranger, vocabularyCount: model.engine.vocabularyCount)
    }
    var logProbabilities: [Double?] = [nil]
    var top: [[Alternative]] = [[]]
    var (start, scored) = (0, 1)
    var failure: (any Error)?
    while scored < ids.count {
      let end = min(start + window, ids.count)
      let rows = Array(scored - 1 - start..<end - 1 - start)
      model.engine.logProbabilities(of: Array(ids[start..<end - 1]), rows: rows, adapter: model.adapter) {
        position, values in
        logProbabilities.append(Double(values[Int(ids[start + position + 1])]))
        if listed > 0 { top.append(Scorer.likeliest(values, listed)) }
        if failure == nil { do { try visit(values.span) } catch { failure = error } }
      }
      if let failure { throw failure }
      scored = end
      start = max(0, min(start + stride, ids.count - window))
      // A window must begin early enough to leave something to score.
      if scored < ids.count, start + window <= scored { start = scored - window + 1 }
    }
    let sum = logProbabilities.reduce(0.0) { $0 - ($1 ?? 0) }
    let bytes = ids.dropFirst().reduce(0) { $0 + model.tokenizer.bytes(of: $1).count }
    return Score(
      ids: ids, logprobs: logProbabilities, top: listed > 0 ? top : nil,
      perplexity: ids.count > 1 ? exp(sum / Double(ids.count - 1)) : 1,
      bits_per_byte: bytes > 0 ? sum / log(2) / Double(bytes) : 0)
  }

  /// The `count` largest, best first, ties by id.
  private static func likeliest(_ values: UnsafeBufferPointer<Float>, _ count: Int) -> [Alternative] {
    var best: [(id: Int, value: Float)] = []
    for (id, value) in values.enumerated() where best.count < count || value > (best.last?.value ?? 0) {
      let place = best.firstIndex { $0.value < value } ?? best.count
      best.insert((id, value), at: place)
      if best.count > count { best.removeLast() }
    }
    return best.map { Alternative(id: Int32($0.id), logprob: Double($0.value)) }
  }
}
