internal import Glibc

/// Pairs of answers to the same prompt, one preferred to the other, side by side like all sequences of a batch.
public struct PreferenceBatch: Sendable {
  /// The answers: of each pair the chosen one, then the rejected one.
  public private(set) var sequences = TrainingBatch()
  /// What the reference gives each answer: Σ log p over its supervised tokens, in the order of `sequences`.
  public private(set) var references: [Double] = []

  /// A batch without pairs.
  public init() {}

  init(sequences: TrainingBatch, references: [Double]) {
    self.sequences = sequences
    self.references = references
  }

  /// One answer with its prompt.
  public struct Answer: Sendable {
    /// Prompt and answer.
    public let ids: [Int32]
    /// For each token, whether it belongs to the answer.
    public let supervised: [Bool]
    /// Σ log p of the answer under the reference.
    public let reference: Double

    /// An answer; see the properties.
    public init(ids: [Int32], supervised: [Bool], reference: Double) {
      self.ids = ids
      self.supervised = supervised
      self.reference = reference
    }
  }

  /// Adds a pair.
  public mutating func append(chosen: Answer, rejected: Answer) {
    for answer in [chosen, rejected] {
      sequences.append(answer.ids, supervised: answer.supervised)
      references.append(answer.reference)
    }
  }

  /// Pairs appended so far.
  public var pairCount: Int { references.count / 2 }
}

/// How preferences stand over some pairs.
///
/// The reward of an answer is β·(log π(answer) − log π_ref(answer)).
public struct PreferenceFigures: Sendable, Equatable {
  /// Pairs counted.
  public var pairCount = 0
  /// Σ −log σ(margin).
  public var lossSum = 0.0
  /// Σ reward of the chosen answers.
  public var chosenSum = 0.0
  /// Σ reward of the rejected answers.
  public var rejectedSum = 0.0
  /// Pairs whose chosen answer has the greater reward.
  public var wins = 0

  /// Of no pairs yet.
  public init() {}

  /// All of it, to be added up among the members of a group.
  var numbers: [Double] { [Double(pairCount), lossSum, chosenSum, rejectedSum, Double(wins)] }

  init(_ numbers: [Double]) {
    (pairCount, lossSum, chosenSum) = (Int(numbers[0]), numbers[1], numbers[2])
    (rejectedSum, wins) = (numbers[3], Int(numbers[4]))
  }

  private func mean(_ sum: Double) -> Double { pairCount > 0 ? sum / Double(pairCount) : 0 }
  /// The mean loss.
  public var loss: Double { mean(lossSum) }
  /// The mean reward of chosen answers.
  public var chosen: Double { mean(chosenSum) }
  /// The mean reward of rejected answers.
  public var rejected: Double { mean(rejectedSum) }
  /// By how much chosen answers are ahead, in the mean.
  public var margin: Double { mean(chosenSum - rejectedSum) }
  /// Share of pairs in which the chosen answer is ahead.
  public var accuracy: Double { mean(Double(wins)) }

  /// Counts a pair.
  ///
  /// - Returns: −dloss/dmargin = σ(−margin): how much the pair still pulls.
  @discardableResult
  mutating func add(chosen: Double, rejected: Double) -> Double {
    let margin = chosen - rejected
    pairCount += 1
    // log(1 + e^−margin) without overflow.
    lossSum += max(0, -margin) + log1p(exp(-abs(margin)))
    chosenSum += chosen
    rejectedSum += rejected
    if margin > 0 { wins += 1 }
    return margin >= 0 ? exp(-margin) / (1 + exp(-margin)) : 1 / (1 + exp(margin))
  }

  /// Counts the pairs of another.
  public mutating func add(_ other: PreferenceFigures) {
    pairCount += other.pairCount
    lossSum += other.lossSum
    chosenSum += other.chosenSum
    rejectedSum += other.rejectedSum
    wins += other.wins
  }
}

// Direct preference optimisation: the preferred answer is to gain on the other, measured from a reference that stays as it is.
//
//     loss = −log σ(β·((log π(c) − log π_ref(c)) − (log π(r) − log π_ref(r))))      mean over the step's pairs
//
// Rafailov et al., "Direct Preference Optimization" (arXiv:2305.18290), equation 7. The reference's log-probabilities are numbers by now:
// it is the model that the run began with, so it need not be in memory.
extension Trainer {
  /// One optimiser step over pairs of answers.
  ///
  /// - Parameter beta: How far the model may go from the reference: the smaller, the farther.
  /// - Throws: `TrainingError.lossIsNotFinite` before anything has changed.
  public func step(
    _ batches: [PreferenceBatch], beta: Double, learningRate: Double
  ) throws(TrainingError) -> StepResult {
    let pairCount = batches.reduce(0) { $0 + $1.pairCount }
    var figures = PreferenceFigures()
    for (index, batch) in batches.enumerated() {
      let share = group.map { batch.pairs($0.share(of: batch.pairCount)) } ?? batch
      guard share.pairCount > 0 else { continue }
      figures.add(accumulate(share, beta: beta, scale: 1 / Float(pairCount), pass: stepCount << 16 | index))
    }
    figures = PreferenceFigures(try combine(figures.numbers))
    return try update(
      StepResult(
        loss: figures.loss, gradientNorm: 0,
        supervisedTokens: batches.reduce(0) { $0 + $1.sequences.targets.count },
        tokens: batches.reduce(0) { $0 + $1.sequences.tokens.count }, preferences: figures),
      learningRate: learningRate)
  }

  /// Adds the gradient of the pairs' losses times `scale`.
  ///
  /// How much a pair pulls is known only when both answers have been scored, so the rows go through the head twice: once to be scored,
  /// once with the weight that follows, ±β·σ(−margin).
  func accumulate(_ batch: PreferenceBatch, beta: Double, scale: Float, pass index: Int) -> PreferenceFigures {
    precondition(adapter != nil, "preferences are trained on an adapter")
    let (tape, sequences) = (Tape(), batch.sequences)
    guard let part = sequences.packed(isSharing: isSharing).first else {
      return batch.judge(sequences.sums([]), beta: beta).figures
    }
    prepareTurned(forRows: part.rows.tokens.count)
    let pass = Pass(
      packed: part.rows, adapter: adapter, pool: model.pool, workspace: model.workspace,
      precision: settings.precision, wanted: part.wanted, tape: tape,
      dropout: DropoutSource(seed: settings.seed, step: index))
    let head = model.architecture.head
    let states = pass.wantedRows(of: model.architecture.hiddenStates(part.rows.tokens, pass))
    let scoring = Pass(
      packed: PackedRows(lengths: [states.rows]), adapter: nil, pool: model.pool, workspace: model.workspace,
      precision: settings.precision
    )
    let sums = sequences.sums(scoring.crossEntropy(states, head, targets: sequences.targets, scale: 0))
    let (figures, pulls) = batch.judge(sums, beta: beta)
    let weights = sequences.sequenceOfRow.map { Float(pulls[$0]) }
    _ = pass.crossEntropy(states, head, targets: sequences.targets, scale: scale, weights: weights)
    noteActivations()
    tape.backward()
    return figures
  }
}

extension PreferenceBatch {
  /// The figures of the pairs, and what each answer's −log p is to be multiplied by in the loss's gradient.
  ///
  /// - Parameter sums: Σ −log p of each answer.
  func judge(_ sums: [Double], beta: Double) -> (figures: PreferenceFigures, pulls: [Double]) {
    var (figures, pulls): (PreferenceFigures, [Double]) = (PreferenceFigures(), [])
    for pair in 0..<pairCount {
      func reward(_ answer: Int) -> Double { beta * (-sums[answer] - references[answer]) }
      let pull = beta * figures.add(chosen: reward(2 * pair), rejected: reward(2 * pair + 1))
      pulls += [pull, -pull]
    }
    return (figures, pulls)
  }
}

extension TrainingBatch {
  /// The sequence that each supervised row belongs to.
  var sequenceOfRow: [Int] {
    var sequence = 0
    return supervisedRows.map { row in
      while row >= Int(starts[sequence + 1]) { sequence += 1 }
      return sequence
    }
  }

  /// The sum over the supervised rows of each sequence.
  func sums(_ losses: [Float]) -> [Double] {
    var sums = [Double](repeating: 0, count: sequenceCount)
    for (sequence, loss) in zip(sequenceOfRow, losses) { sums[sequence] += Double(loss) }
    return sums
  }
}

extension LanguageModel {
  /// How preferences stand, without gradients.
  public func preferences(
    _ batch: PreferenceBatch, beta: Double, adapter: Adapter?, precision: Precision = .reference
  ) -> PreferenceFigures {
    batch.judge(losses(batch.sequences, adapter: adapter, precision: precision), beta: beta).figures
  }
}
