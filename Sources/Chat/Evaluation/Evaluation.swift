public import Engine
public import Foundation
internal import Tokenizers

/// How well a model does on held-out examples. The field names are those of the command's JSON.
public struct Evaluation: Encodable, Sendable {
  /// What the user calls the model.
  public let model: String
  /// Σ −log p over supervised tokens, divided by their number.
  public let loss: Double
  /// e to the power of the loss.
  public let perplexity: Double
  /// Over the bytes of the supervised tokens.
  public let bits_per_byte: Double
  /// Tokens that the loss is taken over.
  public let supervised_tokens: Int
  /// Examples that the loss is taken over; those with nothing to predict are left out.
  public let examples: Int
  /// Examples of which only the beginning fits the model's context; nil when all fit.
  public let truncated_examples: Int?
  /// Share of generated answers equal to the reference after SQuAD's normalisation.
  public let exact_match: Double?
  /// Mean F1 of words shared with the reference.
  public let token_f1: Double?
  /// Share of generated answers that state the example's key fact, where examples have one.
  public let key_fact: Double?
  /// On general texts and questions; nil when not asked for.
  public var probe: GeneralProbe.Score?

  /// A generated answer to a held-out question.
  struct Answered: Sendable {
    let question: String
    let reference: String
    let answer: String
    let exactMatch: Double
    let tokenF1: Double
    let isRight: Bool?
  }
}

/// Evaluates models on one set of held-out examples.
public struct Evaluator {
  private let examples: [Example]
  private let keys: [KeyFact?]
  private let generates: Bool
  private let probes: Bool
  private let maximumTokenCount: Int

  /// - Parameters:
  ///   - files: JSONL or JSON lists of held-out examples; a `"key"` beside the messages lists spellings of the fact that an answer must state.
  ///   - generates: Whether to let the model answer, beside measuring the loss.
  ///   - probes: Whether to measure on general texts and questions too.
  /// - Throws: `DatasetError` naming file and line.
  public init(files: [String], generates: Bool, probes: Bool = false, maximumTokenCount: Int = 64) throws {
    examples = try Dataset(files: files).examples
    guard !examples.isEmpty else { throw RunError("\(files.joined(separator: ", ")): hold no example") }
    keys = try KeyFactReader(files).facts(of: examples)
    self.generates = generates
    self.probes = probes
    self.maximumTokenCount = maximumTokenCount
  }

  /// A model's figures.
  ///
  /// - Parameters:
  ///   - date: What templates that write the date take as today; nil is what the model was trained with, if it was.
  ///   - precision: What losses are computed in.
  /// - Throws: `DatasetError` when an example does not fit the model's template, `GenerationError` when a question does not fit its context.
  public func evaluate(
    _ model: ChatModel, date: Date? = nil, precision: Precision = .reference
  ) throws -> (evaluation: Evaluation, detail: EvaluationDetail) {
    let model = model.rendering(on: date ?? model.trainingDate)
    let tokenizer = try ExampleTokenizer(model)
    var tokenized: [TokenizedExample] = []
    var statistics = DatasetStatistics()
    for example in examples {
      let outcome = try tokenizer.tokenize(example)
      statistics.add(outcome)
      if let example = outcome.example { tokenized.append(example) }
    }
    guard !tokenized.isEmpty else {
      throw RunError(
        "\(examples.first?.file ?? "the data"): no example has an answer that fits the \(model.engine.contextLength) tokens "
          + "of \(model.name): expected at least one; shorten the questions")
    }
    let losses = HeldOutLoss(tokenized).measure(model.engine, adapter: model.adapter, precision: precision)
    let answers = generates ? try answer(model) : []
    let bytes = tokenized.map { example in
      zip(example.ids, example.supervised).reduce(0) { $0 + ($1.1 ? model.tokenizer.bytes(of: $1.0).count : 0) }
    }
    let judged = answers.compactMap(\.isRight)
    func mean(_ values: [Double]) -> Double? {
      values.isEmpty ? nil : values.reduce(0, +) / Double(values.count)
    }
    let evaluation = Evaluation(
      model: model.name, loss: losses.perToken, perplexity: exp(losses.perToken),
      bits_per_byte: losses.sums.reduce(0, +) / log(2) / Double(max(1, bytes.reduce(0, +))),
      supervised_tokens: losses.counts.reduce(0, +), examples: tokenized.count,
      truncated_examples: statistics.truncatedCount > 0 ? statistics.truncatedCount : nil,
      exact_match: mean(answers.map(\.exactMatch)), token_f1: mean(answers.map(\.tokenF1)),
      key_fact: mean(judged.map { $0 ? 1 : 0 }),
      probe: probes ? GeneralProbe().measure(model, precision: precision) : nil)
    return (
      evaluation,
      EvaluationDetail(
        losses: losses, answers: answers, bytes: bytes, places: tokenized.map { "\($0.file):\($0.line)" })
    )
  }

  /// Greedy answers to the last question of each conversation, sixteen together.
  private func answer(_ model: ChatModel) throws -> [Evaluation.Answered] {
    var asked: [(prompt: [Int32], turns: [Turn], key: KeyFact?)] = []
    for (example, key) in zip(examples, keys) {
      guard case .conversation(let turns) = example.content, turns.last?.role == .assistant else { continue }
      let messages = turns.dropLast().map { ChatMessage(role: $0.role.rawValue, content: $0.content) }
      asked.append((try model.prompt(messages), turns, key))
    }
    var answered: [Evaluation.Answered] = []
    for start in stride(from: 0, to: asked.count, by: 16) {
      let chunk = asked[start..<min(start + 16, asked.count)]
      let answers = try model.answer(
        chunk.map { ($0.prompt, AnswerOptions(maximumTokenCount: maximumTokenCount)) }
      )
      for (question, answer) in zip(chunk, answers) {
        let reference = question.turns.last?.content ?? ""
        answered.append(
          Evaluation.Answered(
            question: question.turns.dropLast().last?.content ?? "", reference: reference, answer: answer.text,
            exactMatch: TextMetrics.exactMatch(answer.text, reference) ? 1 : 0,
            tokenF1: TextMetrics.tokenF1(answer.text, reference),
            isRight: question.key?.isStated(in: answer.text)))
      }
    }
    return answered
  }
}

/// What was measured of each example.
public struct EvaluationDetail: Sendable {
  let losses: HeldOutLoss.Measurement
  let answers: [Evaluation.Answered]
  /// Of each example's supervised tokens.
  var bytes: [Int] = []
  /// Where each example stands, `file:line`.
  var places: [String] = []

  /// Questions with the answers given.
  public var samples: [(question: String, answer: String)] { answers.map { ($0.question, $0.answer) } }
}

/// One model beside another on the same examples.
public struct EvaluationComparison: Encodable, Sendable {
  /// How far the losses of the two are apart.
  public struct Difference: Encodable, Sendable {
    /// The tuned model's loss minus the other's: negative is better.
    public let loss: Double
    /// Lower and upper end of the paired bootstrap's 95 % interval over examples.
    public let confidence_interval_95: [Double]
  }

  /// Of the model in question.
  public let evaluation: Evaluation
  /// Of the model it is compared with, if any.
  public let against: Evaluation?
  /// nil without a second model, or when a loss is not finite.
  public let difference: Difference?

  /// - Parameters:
  ///   - evaluation: Of the model in question.
  ///   - against: Of the model it is compared with, on the same examples.
  public init(
    _ evaluation: (evaluation: Evaluation, detail: EvaluationDetail),
    against: (evaluation: Evaluation, detail: EvaluationDetail)?
  ) {
    self.evaluation = evaluation.evaluation
    self.against = against?.evaluation
    difference = against.flatMap { against in
      let counts = evaluation.detail.losses.counts.map(Double.init)
      func means(_ losses: HeldOutLoss.Measurement) -> [Double] {
        zip(losses.sums, losses.counts).map { $0 / Double(max(1, $1)) }
      }
      return PairedBootstrap(means(against.detail.losses), means(evaluation.detail.losses), weights: counts).map {
        Difference(loss: $0.difference, confidence_interval_95: [$0.low, $0.high])
      }
    }
  }

  private enum CodingKeys: String, CodingKey { case against, difference }

  /// Writes the model's own figures side by side with `against` and `difference`, without a level between.
  public func encode(to encoder: any Encoder) throws {
    try evaluation.encode(to: encoder)
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encodeIfPresent(against, forKey: .against)
    try container.encodeIfPresent(difference, forKey: .difference)
  }
}
