/// Trains an adapter, or all parameters, one optimiser step at a time.
///
/// The trainer decides nothing about data, schedules or when to stop: it turns batches into gradients and gradients into a
/// step. Given the same parameters, moments, batches and step number it gives the same bits under any number of threads.
public final class Trainer {
  /// What one optimiser step did.
  public struct StepResult: Sendable, Equatable {
    /// Σ −log p over supervised tokens, divided by their number.
    public let loss: Double
    /// √Σg² before clipping.
    public let gradientNorm: Double
    /// Tokens whose prediction counted, over all batches of the step.
    public let supervisedTokens: Int
    /// Every token that went through the model.
    public let tokens: Int
    /// How preferences stand before the step; nil when none were trained on.
    public var preferences: PreferenceFigures?
  }

  /// Everything about the optimisation that stays the same from step to step.
  public struct Settings: Sendable, Equatable {
    /// AdamW's decoupled decay, multiplied by the learning rate; 0 is off.
    public var weightDecay: Float
    /// The gradient is shortened to this norm if it is longer; 0 leaves it as it is.
    public var maximumGradientNorm: Double
    /// Decides what dropout drops.
    public var seed: UInt64
    /// Whether gains and biases decay too.
    public var decaysVectors: Bool
    /// What is computed in: `reference` (f32), `bf16` or `int8`.
    public var precision: Precision

    /// Settings; the defaults are those of a new fine-tuning recipe.
    public init(
      weightDecay: Float = 0, maximumGradientNorm: Double = 1, seed: UInt64 = 0, decaysVectors: Bool = false,
      precision: Precision = .reference
    ) {
      precondition(precision != .serving, "training needs gradients")
      self.weightDecay = weightDecay
      self.maximumGradientNorm = maximumGradientNorm
      self.seed = seed
      self.decaysVectors = decaysVectors
      self.precision = precision
    }
  }

  /// The model whose parameters, or whose adapter's, are trained.
  public let model: LanguageModel
  /// The adapter that is trained; nil in full fine-tuning.
  public let adapter: Adapter?
  /// What the trainer was made with.
  public let settings: Settings
  let optimizer: AdamW
  /// Who else trains this model, each on a share of every batch; nil when this process is alone.
  public let group: (any TrainingGroup)?
  /// Whether matrices are held turned round, as no part so far had many rows.
  private var holdsTurned = true

  /// The most that a part's activations took so far, in bytes, weights' gradients left out.
  public private(set) var activationBytes = 0
  /// Rows of the largest part so far.
  public private(set) var largestPartRows = 0
  /// Whether a batch so far had more rows than are computed together.
  public private(set) var hasSplitBatches = false

  /// Steps taken, in this run and those it resumes.
  public var stepCount: Int { optimizer.stepCount }

  /// - Parameters:
  ///   - adapter: What to train; nil trains every parameter of the model.
  ///   - group: With whom; every member is made with the same arguments and takes the same steps.
  public init(_ model: LanguageModel, adapter: Adapter?, settings: Settings, group: (any TrainingGroup)? = nil) {
    self.group = group
    self.model = model
    self.adapter = adapter
    self.settings = settings
    let trained = adapter?.parameters ?? model.parameters
    // Only products add to these matrices' gradients, and look-ups; an odd row would end in the middle of a pair.
    let matrices = adapter == nil && settings.precision.usesHalves ? model.servedMatrices : []
    for parameter in trained {
      let isInHalf = matrices.contains(ObjectIdentifier(parameter)) && parameter.columns % 2 == 0
      parameter.startTraining(model.pool, halvesIn: isInHalf ? model.workspace : nil)
    }
    optimizer = AdamW(
      trained,
      settings: AdamW.Settings(weightDecay: settings.weightDecay, decaysVectors: settings.decaysVectors))
    // Products in bf16 read the packed weights.
    if !settings.precision.usesHalves { model.holdFloat32ForTraining() }
    if settings.precision == .int8 { model.chooseTurned() }
    model.workspace.trim()
    // What was measured of the base before leaves memory behind, which would stand beside all that is held now.
    FreedMemory.giveBack()
  }

  /// Frees gradients; the trained values stay.
  public func finish() {
    for parameter in optimizer.parameters { parameter.stopTraining() }
    model.holdTurned(false)
  }

  /// Adds the gradient of Σ −log p · `scale` over the supervised tokens.
  ///
  /// - Returns: Σ −log p.
  func accumulate(_ batch: TrainingBatch, scale: Float, pass index: Int) -> Double {
    let dropout = DropoutSource(seed: settings.seed, step: index)
    let parts = batch.packed(isSharing: isSharing, limit: partLimit)
    if parts.count > 1 { hasSplitBatches = true }
    return parts.reduce(0.0) { $0 + accumulate($1, scale: scale, dropout) }
  }

  /// Rows that are computed together, so that no more activations are held than speed needs: from some hundred on, products in
  /// bf16 gain little from more, but the more sequences there are, the more of their beginnings are shared, and weights that are trained
  /// are cut and turned once a part. In f32, batches are computed as they are.
  private var partLimit: Int { settings.precision.usesHalves ? 1024 : .max }

  /// Whether sequences that begin alike share the rows of that beginning. Where inputs are dropped each has its own.
  var isSharing: Bool { adapter?.hasDropout != true }

  private func accumulate(_ part: PackedBatch, scale: Float, _ dropout: DropoutSource) -> Double {
    largestPartRows = max(largestPartRows, part.rows.tokens.count)
    prepareTurned(forRows: part.rows.tokens.count)
    let tape = Tape()
    let pass = Pass(
      packed: part.rows, adapter: adapter, pool: model.pool, workspace: model.workspace,
      precision: settings.precision, wanted: part.wanted, tape: tape,
      dropout: dropout)
    let hidden = model.architecture.hiddenStates(part.rows.tokens, pass)
    let losses = pass.crossEntropy(
      pass.wantedRows(of: hidden), model.architecture.head, targets: part.targets,
      scale: scale)
    noteActivations()
    tape.backward()
    return losses.reduce(0.0) { $0 + Double($1) }
  }

  /// Before a part with integer gradients.
  ///
  /// Matrices are held turned round until there is a part of many rows, whose activations take what turned matrices took; from then on they
  /// are turned when they are needed, as memory that was used once stays with the process. The bits are the same.
  func prepareTurned(forRows rows: Int) {
    guard settings.precision == .int8 else { return }
    if rows >= HalfLinear.rowsWorthTurning { holdsTurned = false }
    model.holdTurned(holdsTurned)
  }

  /// Called where a part has gone forward, and the most is kept for its way back.
  func noteActivations() {
    let gradients = optimizer.parameters.reduce(0) { $0 + ($1.halfGradient?.bytes ?? 0) }
    activationBytes = max(activationBytes, model.workspace.bytesInUse - gradients)
  }

  /// One optimiser step over batches whose gradients are added up.
  ///
  /// The loss is the sum over supervised tokens divided by their number over *all* batches, so it does not matter how examples are split
  /// into batches, nor among how many members of a group they are shared.
  ///
  /// - Parameter batches: All batches of the step; a member of a group works on its share of each.
  /// - Throws: `TrainingError` before anything has changed.
  public func step(_ batches: [TrainingBatch], learningRate: Double) throws(TrainingError) -> StepResult {
    let supervised = batches.reduce(0) { $0 + $1.targets.count }
    let tokens = batches.reduce(0) { $0 + $1.tokens.count }
    var sum = 0.0
    for (index, batch) in batches.enumerated() {
      let share = group.map { batch.sequences($0.share(of: batch.sequenceCount)) } ?? batch
      guard !share.targets.isEmpty else { continue }
      sum += accumulate(share, scale: 1 / Float(supervised), pass: stepCount << 16 | index)
    }
    sum = try combine([sum])[0]
    return try update(
      StepResult(
        loss: supervised > 0 ? sum / Double(supervised) : 0, gradientNorm: 0, supervisedTokens: supervised,
        tokens: tokens), learningRate: learningRate)
  }

  /// Shortens the gradient that was gathered, and takes the step.
  ///
  /// - Throws: `TrainingError.lossIsNotFinite` before anything has changed.
  func update(_ gathered: StepResult, learningRate: Double) throws(TrainingError) -> StepResult {
    let loss = gathered.loss
    let norm = optimizer.gradientNorm(model.pool)
    guard loss.isFinite, norm.isFinite else {
      for parameter in optimizer.parameters { parameter.zeroGradient() }
      throw .lossIsNotFinite(step: stepCount + 1, loss: loss, gradientNorm: norm)
    }
    var scale = 1.0
    if settings.maximumGradientNorm > 0 {
      // As torch.nn.utils.clip_grad_norm_.
      scale = min(1, settings.maximumGradientNorm / (norm + 1e-6))
    }
    optimizer.step(learningRate: learningRate, gradientScale: Float(scale), model.pool)
    model.revision += 1
    return StepResult(
      loss: loss, gradientNorm: norm, supervisedTokens: gathered.supervisedTokens, tokens: gathered.tokens,
      preferences: gathered.preferences)
  }
}

/// Why training stopped.
public enum TrainingError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The parameters are still those of before the step.
  case lossIsNotFinite(step: Int, loss: Double, gradientNorm: Double)
  /// Another member of the group does not answer; the parameters are still those of before the step.
  case groupFailed(step: Int, String)

  /// What happened and what to do about it.
  public var description: String {
    switch self {
    case .lossIsNotFinite(let step, let loss, let norm):
      "step \(step): the loss is \(Self.spelled(loss)) and the gradient's norm \(Self.spelled(norm)). Nothing was changed by this step. "
        + "Use a smaller learning rate, a longer warm-up or a smaller --max-gradient-norm."
    case .groupFailed(let step, let reason): "step \(step): \(reason)"
    }
  }

  /// A NaN without the sign that it happens to have.
  private static func spelled(_ value: Double) -> String { value.isNaN ? "nan" : "\(value)" }
}

extension LanguageModel {
  /// Whether gradients can go back through any map in integers.
  public var canGoBackInIntegers: Bool { linears.contains { $0.weight.canTurn } }

  /// Chooses the matrices that gradients of passes of any size go back through in integers: those of the lowest blocks, as many as could
  /// be held turned round in a gigabyte. A gradient that is rounded in a low block passes through few maps behind it.
  func chooseTurned() {
    var left = 1 << 30
    for linear in linears {
      left -= linear.weight.turnedBytes
      linear.weight.isTurnedForFewRows = left >= 0
    }
  }

  /// Holds these turned round, or lets go of them; then they are turned when they are needed.
  func holdTurned(_ isHeld: Bool) {
    for linear in linears {
      if isHeld && linear.weight.isTurnedForFewRows {
        linear.weight.packTurned(pool)
      } else {
        linear.weight.dropTurned()
      }
    }
  }

  /// Holds in f32 what training multiplies with, so that it is not dequantised anew in every step.
  func holdFloat32ForTraining() {
    for linear in linears { linear.weight.holdFloat32(pool) }
    architecture.head.weight.holdFloat32(pool)
  }
}
