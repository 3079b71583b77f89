public import Engine
internal import Foundation

/// What the members of a group do next. The first one, which has the run's folder, decides; the others follow.
enum GroupOrder: UInt8 {
  case step = 1, evaluate, end
}

extension TrainingGroup {
  /// Tells the others what is next.
  func announce(_ order: GroupOrder) throws { _ = try share([order.rawValue]) }

  /// Waits for the first member's order.
  func nextOrder() throws -> GroupOrder {
    guard let order = try share([]).first.flatMap(GroupOrder.init) else {
      throw RunError("the first process of the group said something else than this version of hearth expects")
    }
    return order
  }

  /// Makes sure that all members have the same tokens to train on and the same weights to begin with.
  ///
  /// - Throws: `RunError` in every member when one of them differs.
  func requireSame(_ facts: String) throws {
    let isSame = try share(Array(facts.utf8)) == Array(facts.utf8)
    var others = [isSame ? 0.0 : 1.0]
    var span = others.mutableSpan
    try sum(&span)
    guard others[0] == 0 else {
      throw RunError(
        isSame
          ? "\(Int(others[0])) of \(size) processes of the group read other data, or another model, than the first: copy the files to all machines"
          : "process \(rank) of the group, on \(ProcessInfo.processInfo.hostName), reads other data, or another model, than the first: "
            + "copy the files of the first machine to this one")
    }
  }
}

extension HeldOutLoss {
  /// Measures, each member of the group a share of the examples; the same figures as one alone.
  func measure(
    _ model: LanguageModel, adapter: Adapter?, precision: Precision, _ group: (any TrainingGroup)?
  ) throws -> Double {
    guard let group else { return measure(model, adapter: adapter, precision: precision).perToken }
    let range = examples.count * group.rank / group.size..<examples.count * (group.rank + 1) / group.size
    let share = HeldOutLoss(Array(examples[range])).measure(model, adapter: adapter, precision: precision)
    // The others' places are zero, so adding changes no bit.
    var sums = [Double](repeating: 0, count: examples.count)
    sums.replaceSubrange(range, with: share.sums)
    var span = sums.mutableSpan
    try group.sum(&span)
    return Measurement(sums: sums, counts: examples.map { $0.supervised.dropFirst().count { $0 } }).perToken
  }
}

/// A process that lends its processor to another's run: it holds the same parameters, computes its share of every step, and
/// writes nothing.
public final class FineTuningMember {
  private let recipe: FineTuningRecipe
  private let base: ChatModel
  private let group: any TrainingGroup

  /// Waits for the run's recipe, whatever this process was told on its own command line.
  ///
  /// - Throws: What the group throws; `RunError` when the recipe cannot be read.
  public static func recipe(of group: any TrainingGroup) throws -> FineTuningRecipe {
    try FineTuningRecipe(
      yaml: Data(try group.share([])), from: "the recipe of the group's first process")
  }

  /// - Parameters:
  ///   - recipe: The run's.
  ///   - base: The model that it names, on this machine.
  public init(_ recipe: FineTuningRecipe, base: ChatModel, group: any TrainingGroup) {
    self.recipe = recipe
    self.base = base.rendering(on: recipe.renderingDate)
    self.group = group
  }

  /// Works until the run ends.
  ///
  /// - Parameter report: Called with the number of each step before it is taken.
  /// - Throws: `RunError`, `DatasetError`, `TrainingError`, and what the group and `report` throw.
  public func run(_ report: (_ step: Int) throws -> Void = { _ in }) throws {
    let data = try TrainingData(recipe, for: base)
    let plan = data.plan(recipe)
    let schedule = LearningRateSchedule(recipe, stepCount: plan.stepCount)
    try group.requireSame(try base.weightsFingerprint() + " " + data.hash)
    let trainer = try FineTuning.makeTrainer(recipe, base.engine, checkpoint: nil, group: group)
    try trainer.agree()
    let references = try PreferenceReferences(sharedBy: group, for: data)
    while true {
      switch try group.nextOrder() {
      case .end: return
      case .step:
        let step = trainer.stepCount
        try report(step)
        _ = try trainer.step(plan.batches(at: step), of: data, references, recipe, rate: schedule.rate(at: step))
      case .evaluate:
        _ = try HeldOutLoss(data.validation.answers).measure(
          base.engine, adapter: trainer.adapter, precision: recipe.heldOutPrecision, group)
      }
    }
  }
}

extension Trainer {
  /// One step on the examples at `chosen`, of whatever kind the run learns from.
  func step(
    _ chosen: [[Int]], of data: TrainingData, _ references: PreferenceReferences?, _ recipe: FineTuningRecipe,
    rate: Double
  ) throws(TrainingError) -> StepResult {
    guard let references else { return try step(chosen.map { data.training.batch($0) }, learningRate: rate) }
    return try step(
      chosen.map { data.training.preferences($0, references.training) }, beta: recipe.beta, learningRate: rate)
  }
}

extension LearningRateSchedule {
  /// The recipe's, over so many steps.
  init(_ recipe: FineTuningRecipe, stepCount: Int) {
    self.init(
      shape: recipe.schedule, peak: recipe.learningRate,
      warmupSteps: Int((recipe.warmupRatio * Double(stepCount)).rounded(.up)), totalSteps: stepCount)
  }
}

extension FineTuningRecipe {
  /// The recipe with what is really computed in.
  func namingPrecision(for model: ChatModel) -> FineTuningRecipe {
    guard precision == .int8, method != .full, !model.engine.canGoBackInIntegers else { return self }
    var recipe = self
    recipe.precision = .bf16
    return recipe
  }

  /// What held-out loss is measured in.
  var heldOutPrecision: Precision {
    switch precision {
    case .f32: .reference
    case .serving: .serving
    case .bf16: .bf16
    case .int8: .int8
    }
  }

  /// What gradients, the references of preferences and the probe against forgetting are computed in.
  var trainedPrecision: Precision {
    switch precision {
    case .f32, .serving: .reference
    case .bf16: .bf16
    case .int8: .int8
    }
  }
}
