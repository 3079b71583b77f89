public import Engine
internal import Foundation
internal import Tokenizers

/// What a model can do beside what it is taught: the same texts and questions for every model, so that forgetting shows.
///
/// Two figures, neither with a chat template:
/// - **bits per byte** of eight short texts of different kinds: −Σ log₂ p over bytes, each text on its own;
/// - **accuracy** on sixty sentences to be finished in one of four ways. The way of the highest log-probability per character is taken,
///   as `acc_norm` of EleutherAI's lm-evaluation-harness does; chance is a quarter.
///
/// It is small: with sixty questions, the 95 % interval of an accuracy of 0.8 is ±0.1. It shows damage, not progress.
public struct GeneralProbe: Sendable {
  /// What a model scored. The field names are those of the command's JSON.
  public struct Score: Codable, Sendable, Equatable {
    /// Of all texts together.
    public var bits_per_byte: Double
    /// Share of questions answered right.
    public var accuracy: Double
    /// Questions asked: fewer than all if the tokenizer cannot spell some.
    public var questions: Int
    /// Bits per byte of each kind of text.
    public var domains: [String: Double]
  }

  /// From which rise in bits per byte, relative to the base, a run is said to have forgotten.
  public static let bitsPerByteBound = 0.05
  /// From which fall in accuracy.
  public static let accuracyBound = 0.10

  private let passages: [Passage]
  private let questions: [Question]

  /// The probe that every run is measured by.
  public init() { self.init(passages: GeneralProbe.passages, questions: GeneralProbe.questions) }

  init(passages: [Passage], questions: [Question]) {
    self.passages = passages
    self.questions = questions
  }

  /// A model's figures, computed in f32 unless said otherwise.
  ///
  /// Texts that are longer than the model's context are scored as far as they fit.
  public func measure(_ model: ChatModel, precision: Precision = .reference) -> Score {
    var measuring = Measuring(model, precision)
    for passage in passages { measuring.add(passage) }
    for question in questions { measuring.add(question) }
    return measuring.score(passages, questions)
  }

  /// Its first texts, of so many tokens together but one of them at least: passes of the kind that it takes many of.
  func beginning(tokens: Int, _ tokenizer: Tokenizer) -> GeneralProbe {
    var chosen: [Passage] = []
    for passage in passages {
      let next = GeneralProbe(passages: chosen + [passage], questions: [])
      if !chosen.isEmpty, next.tokenCount(for: tokenizer) > tokens { break }
      chosen.append(passage)
    }
    return GeneralProbe(passages: chosen, questions: [])
  }

  /// How many tokens it shows a model.
  func tokenCount(for tokenizer: Tokenizer) -> Int {
    let prefix = tokenizer.sequencePrefix.count
    func count(_ text: String) -> Int { tokenizer.encode(text, special: false).count }
    return passages.reduce(0) { $0 + prefix + count($1.text) }
      + questions.reduce(0) { sum, question in
        question.choices.reduce(sum) { $0 + prefix + count(question.stem) + count(" " + $1) }
      }
  }

  /// What a fine-tuned model lost beyond the bounds, in sentences; empty when nothing did.
  public static func warnings(base: Score, tuned: Score) -> [String] {
    var warnings: [String] = []
    if tuned.bits_per_byte > base.bits_per_byte * (1 + bitsPerByteBound) {
      warnings.append(
        String(
          format: "bits per byte on general text rose from %.3f to %.3f, by %.0f %% (bound: %.0f %%)",
          base.bits_per_byte,
          tuned.bits_per_byte, 100 * (tuned.bits_per_byte / base.bits_per_byte - 1), 100 * bitsPerByteBound))
    }
    if tuned.accuracy <= base.accuracy - accuracyBound {
      warnings.append(
        String(
          format: "%.0f of %d general questions were right, now %.0f (bound: %.0f points)",
          base.accuracy * Double(base.questions), base.questions, tuned.accuracy * Double(tuned.questions),
          100 * accuracyBound))
    }
    return warnings
  }
}

/// Sequences on their way through a model, about a thousand tokens at a time.
private struct Measuring {
  private let model: ChatModel
  private let precision: Precision
  private var batch = TrainingBatch()
  /// −log p of the supervised tokens of each sequence, in order.
  private var sums: [Double] = []
  /// Bytes of the supervised tokens of each sequence.
  private var bytes: [Int] = []

  init(_ model: ChatModel, _ precision: Precision) {
    self.model = model
    self.precision = precision
  }

  mutating func add(_ passage: GeneralProbe.Passage) { add("", passage.text) }

  mutating func add(_ question: GeneralProbe.Question) {
    for choice in question.choices { add(question.stem, " " + choice) }
  }

  /// A text behind a beginning that does not count.
  private mutating func add(_ beginning: String, _ text: String) {
    let tokenizer = model.tokenizer
    // Something must stand before the first token that counts; where the tokenizer puts nothing there, the first token does not count.
    var ids = tokenizer.sequencePrefix + tokenizer.encode(beginning, special: false)
    var supervised = [Bool](repeating: false, count: ids.count)
    let rest = tokenizer.encode(text, special: false)
    ids += rest
    supervised += rest.map { _ in true }
    ids = Array(ids.prefix(model.engine.contextLength))
    supervised = Array(supervised.prefix(ids.count))
    if !supervised.isEmpty { supervised[0] = false }
    if batch.sequenceCount > 0, batch.tokens.count + ids.count > 1024 { flush() }
    batch.append(ids, supervised: supervised)
    bytes.append(zip(ids, supervised).reduce(0) { $0 + ($1.1 ? tokenizer.bytes(of: $1.0).count : 0) })
  }

  private mutating func flush() {
    sums += model.engine.losses(batch, adapter: model.adapter, precision: precision)
    batch = TrainingBatch()
  }

  mutating func score(_ passages: [GeneralProbe.Passage], _ questions: [GeneralProbe.Question]) -> GeneralProbe.Score {
    if batch.sequenceCount > 0 { flush() }
    var domains: [String: Double] = [:]
    for (index, passage) in passages.enumerated() {
      domains[passage.domain] = sums[index] / log(2) / Double(max(1, bytes[index]))
    }
    let texts = passages.indices
    let total = texts.reduce(0.0) { $0 + sums[$1] } / log(2) / Double(max(1, texts.reduce(0) { $0 + bytes[$1] }))
    var (asked, right, place) = (0, 0, passages.count)
    for question in questions {
      let choices = question.choices.indices.map {
        (sum: sums[place + $0], bytes: bytes[place + $0], text: question.choices[$0])
      }
      place += choices.count
      // A tokenizer without these letters cannot spell the choices.
      guard choices.allSatisfy({ $0.bytes >= $0.text.utf8.count }) else { continue }
      asked += 1
      let scores = choices.map { -$0.sum / Double($0.text.count) }
      // Of equal ones none counts as chosen, or a broken model would be always right.
      if scores.dropFirst().allSatisfy({ $0 < scores[0] }) { right += 1 }
    }
    return GeneralProbe.Score(
      bits_per_byte: total, accuracy: asked > 0 ? Double(right) / Double(asked) : 0, questions: asked, domains: domains)
  }
}
