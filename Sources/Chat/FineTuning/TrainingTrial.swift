internal import Engine
internal import Foundation

/// Some seconds of a run, tried before it begins.
///
/// In this order: a small pass twice, as the first one makes what is made once; what is measured without gradients; the run's largest
/// pass, as much of it as there is time for, and its longest conversation; its other passes while there is time. Learning rates are zero.
struct TrainingTrial {
  /// Tokens of the largest pass of the run, and of the largest one that was tried.
  let largestTokens: Int
  private(set) var probedTokens = 0
  /// Tokens a second that are measured without gradients: held-out examples, and the probe against forgetting.
  private(set) var (heldOutRate, probeRate) = (Double.infinity, Double.infinity)
  /// What the sample answers of one evaluation take.
  private(set) var sampleSeconds = 0.0
  /// The most that was held, and what the largest pass will hold beyond it if it could not be tried.
  private(set) var memoryBytes = 0
  private var tries: [(tokens: Int, seconds: Double)] = []

  /// A pass of so many tokens is a small one.
  fileprivate static let smallTokens = 64
  /// What is measured without gradients comes in passes of so many tokens.
  private static let forwardTokens = 1024
  /// Share of the time for each thing that is measured without gradients.
  private static let forwardShare = 0.2
  /// In bf16 the trainer computes at most so many rows of a pass together, or one conversation, if that is longer.
  ///
  /// `Trainer` decides that; a test holds this against what it does. It counts only for models so slow that there is no time to try a
  /// pass of as many tokens.
  static let rowsAtOnce = 1024

  /// How much a run comes to hold for activations, as a multiple of what its largest pass asks for. Measured, not derived: with it,
  /// runs of SmolLM2 in int8 and bf16 (LoRA and full, short and long conversations) take what Docs/finetuning.md has beside what was told.
  private static let activationAllowance = 1.3

  /// Tries.
  ///
  /// - Parameters:
  ///   - passes: The examples of each pass of the run.
  ///   - duration: For how long to try, in seconds; the largest pass may take as long again.
  /// - Throws: `TrainingError` when a loss is not finite; what answering throws.
  init(
    _ recipe: FineTuningRecipe, _ data: TrainingData, _ base: ChatModel, _ trainer: Trainer, passes: [[Int]],
    duration: Double
  ) throws {
    let end = ContinuousClock.now + .seconds(duration)
    let largest = passes.max { data.tokenCount($0) < data.tokenCount($1) } ?? [0]
    let longest = data.training.answers.indices.max { data.tokenCount([$0]) < data.tokenCount([$1]) } ?? 0
    largestTokens = data.tokenCount(largest)
    func attempt(_ indices: [Int]) throws {
      let began = ContinuousClock.now
      let result = try trainer.tryStep(indices, of: data, recipe)
      tries.append((result.tokens, (ContinuousClock.now - began).seconds))
      probedTokens = max(probedTokens, result.tokens)
    }

    let small = TrainingTrial.beginning(of: largest, data, tokens: TrainingTrial.smallTokens)
    for _ in 0..<2 { try attempt(small) }
    tries.removeFirst()
    let (heldBefore, activationsBefore) = (PeakMemory.bytes, base.engine.workspacePeakBytes)
    // Without gradients it is two to three times as fast.
    let most = 2 * TrainingTrial.forwardShare * duration * Double(tries[0].tokens) / max(1e-9, tries[0].seconds)
    try measureForward(recipe, data, base.with(adapter: trainer.adapter), most: Int(min(most, 1e6)))
    base.engine.trimWorkspace()

    // In two goes, as a token takes less time in a larger pass than the small one says.
    var beginning: [Int] = []
    for _ in 0..<2 {
      let next = TrainingTrial.beginning(of: largest, data, tokens: affordable(until: end + .seconds(duration)))
      guard next.count > beginning.count else { break }
      beginning = next
      try attempt(next)
    }
    // A conversation that is longer than what is computed together is computed by itself.
    let isAffordable = data.tokenCount([longest]) < affordable(until: end + .seconds(duration))
    if !beginning.contains(longest), isAffordable { try attempt([longest]) }
    for pass in passes.reversed() {
      let expected = secondsPerStep + secondsPerToken * Double(data.tokenCount(pass))
      guard ContinuousClock.now + .seconds(expected) < end else { break }
      try attempt(pass)
    }

    // Activations grow with the rows that are computed together.
    let isInParts = trainer.settings.precision != .reference && recipe.objective == .sft
    let limit = isInParts ? max(data.tokenCount([longest]), TrainingTrial.rowsAtOnce) : .max
    let untried = Double(min(largestTokens, limit) - min(probedTokens, limit)) / Double(max(1, probedTokens))
    // Among many passes that are computed in parts some part is as large as one may be.
    let rows = Double(max(1, trainer.largestPartRows))
    let unfilled = trainer.hasSplitBatches ? max(0, Double(limit) / rows - 1) : 0
    let whole = Double(base.engine.workspacePeakBytes) + max(untried, unfilled) * Double(trainer.activationBytes)
    // What was held before counts whole. The peak alone would be too low: of what is asked for, the system gives what is touched, or
    // whole huge pages if it has them at that moment, and passes of other sizes need buffers of other sizes beside.
    memoryBytes = max(
      PeakMemory.bytes, heldBefore - activationsBefore + Int(whole * TrainingTrial.activationAllowance))
  }

  /// Tokens of a pass that ends in time, at the speed of the last one.
  private func affordable(until end: ContinuousClock.Instant) -> Int {
    let (last, left) = (tries[tries.count - 1], (end - ContinuousClock.now).seconds)
    return Int(max(0, min(left * Double(last.tokens) / max(1e-9, last.seconds), 1e9)))
  }

  /// What `stepCount` steps over so many tokens will take.
  func seconds(steps stepCount: Int, tokens: Double) -> Double {
    secondsPerStep * Double(stepCount) + secondsPerToken * tokens
  }

  /// The small pass and the mean of the others say what a step takes whatever its size, AdamW above all, and what a token adds.
  private var secondsPerToken: Double {
    let (small, others) = (tries[0], tries.dropFirst())
    let (tokens, seconds) = (others.reduce(0) { $0 + $1.tokens }, others.reduce(0) { $0 + $1.seconds })
    guard tokens > 2 * small.tokens * others.count else {
      return (small.seconds + seconds) / Double(max(1, small.tokens + tokens))
    }
    let growth = (seconds / Double(others.count) - small.seconds) / Double(tokens / others.count - small.tokens)
    return min(seconds / Double(tokens), max(0, growth))
  }

  private var secondsPerStep: Double {
    let mean = tries.reduce(0) { $0 + $1.seconds } - secondsPerToken * Double(tries.reduce(0) { $0 + $1.tokens })
    return max(0, mean / Double(tries.count))
  }

  /// The first of some examples, so many that they have no more tokens than wanted, but one at least.
  fileprivate static func beginning(of indices: [Int], _ data: TrainingData, tokens wanted: Int) -> [Int] {
    var (chosen, sum): ([Int], Int) = ([], 0)
    for index in indices {
      sum += data.tokenCount([index])
      if !chosen.isEmpty, sum > wanted { break }
      chosen.append(index)
    }
    return chosen
  }

  /// - Parameter most: Tokens that there is time for.
  private mutating func measureForward(
    _ recipe: FineTuningRecipe, _ data: TrainingData, _ model: ChatModel, most: Int
  ) throws {
    let most = min(most, TrainingTrial.forwardTokens)
    func rate(_ tokens: Int, _ body: () -> Void) -> Double {
      let began = ContinuousClock.now
      body()
      return Double(tokens) / max(1e-9, (ContinuousClock.now - began).seconds)
    }
    if recipe.probe {
      let beginning = GeneralProbe().beginning(tokens: most, model.tokenizer)
      probeRate = rate(beginning.tokenCount(for: model.tokenizer)) {
        _ = beginning.measure(model, precision: recipe.trainedPrecision)
      }
    }
    let held = data.validation.isEmpty ? data.training.answers : data.validation.answers
    var (shown, tokens): ([TokenizedExample], Int) = ([], 0)
    for example in held {
      if !shown.isEmpty, tokens + example.ids.count > most { break }
      shown.append(example)
      tokens += example.ids.count
    }
    guard !data.validation.isEmpty || recipe.objective == .dpo else { return }
    heldOutRate = rate(tokens) {
      _ = HeldOutLoss(shown).measure(model.engine, adapter: model.adapter, precision: recipe.heldOutPrecision)
    }
    try measureSamples(data, model)
  }

  /// Answers a few tokens to the ends of the questions, and goes on from there.
  private mutating func measureSamples(_ data: TrainingData, _ model: ChatModel) throws {
    let prompts = try SampleAnswers(data.validationExamples).prompts(for: model)
    guard !prompts.isEmpty else { return }
    func answer(_ count: Int) throws -> (seconds: Double, tokens: Int) {
      let began = ContinuousClock.now
      let answers = try model.answer(prompts.map { (Array($0.suffix(32)), AnswerOptions(maximumTokenCount: count)) })
      return ((ContinuousClock.now - began).seconds, answers.map(\.tokens.count).max() ?? 0)
    }
    let (first, more) = (try answer(1), try answer(9))
    let perToken = max(0, more.seconds - first.seconds) / Double(max(1, more.tokens - first.tokens))
    // As long as those that are taught, or the longest there may be.
    let taught = data.validation.answers.prefix(prompts.count).map { $0.supervised.count { $0 } }.max() ?? 0
    let unread = prompts.reduce(0) { $0 + max(0, $1.count - 32) }
    sampleSeconds =
      first.seconds + perToken * Double(min(taught, SampleAnswers.longestAnswer)) + Double(unread) / heldOutRate
  }
}

extension Trainer {
  /// A step that changes nothing.
  fileprivate func tryStep(_ indices: [Int], of data: TrainingData, _ recipe: FineTuningRecipe) throws -> StepResult {
    guard recipe.objective == .dpo else {
      var batches = [data.training.batch(indices)]
      // Where a step has several passes, the gradients of all weights are held while the later ones' activations are.
      if adapter == nil, recipe.gradientAccumulation > 1 {
        let small = TrainingTrial.beginning(of: indices, data, tokens: TrainingTrial.smallTokens)
        batches.insert(data.training.batch(small), at: 0)
      }
      return try step(batches, learningRate: 0)
    }
    let unknown = data.training.answers.map { _ in PreferenceReferences.Pair(chosen: 0, rejected: 0) }
    return try step([data.training.preferences(indices, unknown)], beta: recipe.beta, learningRate: 0)
  }
}
