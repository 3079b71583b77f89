internal import Crypto
internal import Engine
internal import Foundation
internal import Tokenizers

/// The examples of a run as tokens, split into what is trained on and what is held out.
struct TrainingData: Sendable {
  let training: Examples
  let validation: Examples
  /// The held-out examples as they were written, for sample answers.
  let validationExamples: [Example]
  let trainingStatistics: DatasetStatistics
  let validationStatistics: DatasetStatistics
  /// SHA-256 of all tokens and masks, hexadecimal: a resumed run must see the same data.
  let hash: String

  /// Which examples each step trains on.
  func plan(_ recipe: FineTuningRecipe) -> TrainingPlan {
    TrainingPlan(exampleCount: training.count, replayCount: trainingStatistics.replayCount, recipe: recipe)
  }

  /// Examples as tokens; of preferences the chosen answers, with the rejected ones beside them.
  struct Examples: Sendable {
    var answers: [TokenizedExample] = []
    /// Empty, or one for each of `answers`.
    var rejected: [TokenizedExample] = []

    var count: Int { answers.count }
    var isEmpty: Bool { answers.isEmpty }

    /// The examples at `indices`, side by side.
    func batch(_ indices: [Int]) -> TrainingBatch {
      var batch = TrainingBatch()
      for index in indices { batch.append(answers[index].ids, supervised: answers[index].supervised) }
      return batch
    }
  }

  /// Reads, splits and tokenises.
  ///
  /// - Throws: `DatasetError` naming file and line; `RunError` when nothing is left to train on, or files do not go with the objective.
  init(_ recipe: FineTuningRecipe, for model: ChatModel) throws {
    let model = model.rendering(on: recipe.renderingDate)
    let reader = try Reader(recipe, for: model)
    let data = try Dataset(files: recipe.data)
    let examples = data.examples
    var (trained, held): ([Example], [Example])
    // With no share held out this only counts duplicates.
    let fraction = recipe.validation.isEmpty ? recipe.validationFraction : 0
    let split = try DatasetSplit(examples, validationFraction: fraction, seed: recipe.seed)
    if recipe.validation.isEmpty {
      (trained, held) = (split.training.map { examples[$0] }, split.validation.map { examples[$0] })
    } else {
      (trained, held) = (examples, try Dataset(files: recipe.validation).examples)
    }
    var statistics = DatasetStatistics()
    var training = try reader.tokenize(trained, &statistics)
    guard !training.isEmpty else {
      throw RunError(
        "\(recipe.data.joined(separator: ", ")): no example has anything to learn from within --max-length "
          + "\(recipe.maxLength): raise it, or check that the examples have answers")
    }
    statistics.shapes = data.shapes
    statistics.duplicateGroupCount = split.duplicateGroupCount
    try reader.mixIn(recipe, &training, &statistics)
    var heldStatistics = DatasetStatistics()
    validation = try reader.tokenize(held, &heldStatistics)
    heldStatistics.leaks = LeakFinder(training: trained).leaks(into: held)
    self.training = training
    validationExamples = held
    trainingStatistics = statistics
    validationStatistics = heldStatistics
    hash = TrainingData.hash([training.answers, training.rejected, validation.answers, validation.rejected])
  }

  private static func hash(_ parts: [[TokenizedExample]]) -> String {
    var hash = SHA256()
    for part in parts {
      for example in part {
        for (id, counts) in zip(example.ids, example.supervised) {
          withUnsafeBytes(of: (id << 1 | (counts ? 1 : 0)).littleEndian) { hash.update(bufferPointer: $0) }
        }
        hash.update(data: Data([0xFF, 0xFF, 0xFF, 0xFF]))
      }
    }
    return hash.finalize().map { String(format: "%02x", $0) }.joined()
  }
}

/// Turns examples into tokens as a recipe wants them.
private struct Reader {
  private let tokenizer: ExampleTokenizer
  private let objective: FineTuningRecipe.Objective
  private let stops: Set<Int32>

  init(_ recipe: FineTuningRecipe, for model: ChatModel) throws {
    tokenizer = try ExampleTokenizer(model, target: recipe.lossOn, maximumLength: recipe.maxLength)
    objective = recipe.objective
    stops = MaskingTokens(model.tokenizer, stops: model.endTokens).stops
  }

  func tokenize(_ examples: [Example], _ statistics: inout DatasetStatistics) throws -> TrainingData.Examples {
    var tokenized = TrainingData.Examples()
    for example in examples {
      guard (example.rejected != nil) == (objective == .dpo) else {
        throw RunError(
          objective == .dpo
            ? "\(example.place): has no \"rejected\" answer, which --objective dpo learns from: expected "
              + "\(DatasetShape.preference.display), or train without --objective dpo"
            : "\(example.place): holds a preference: train on it with --objective dpo, or keep one answer as "
              + DatasetShape.promptCompletion.display)
      }
      let outcome = try tokenizer.tokenize(example)
      statistics.add(outcome, stops: stops)
      guard let other = example.withRejectedAnswer else {
        if let answer = outcome.example { tokenized.answers.append(answer) }
        continue
      }
      let otherOutcome = try tokenizer.tokenize(other)
      statistics.addRejected(otherOutcome, stops: stops)
      // What both answers have in common is asked of neither.
      guard let chosen = outcome.example?.countingLastAnswerOnly,
        let rejected = otherOutcome.example?.countingLastAnswerOnly
      else { continue }
      tokenized.answers.append(chosen)
      tokenized.rejected.append(rejected)
    }
    return tokenized
  }

  /// Adds as many examples of the replay files, chosen by the seed, as make up their share of what is trained on.
  func mixIn(
    _ recipe: FineTuningRecipe, _ training: inout TrainingData.Examples, _ statistics: inout DatasetStatistics
  ) throws {
    guard !recipe.replay.isEmpty else { return }
    var ignored = DatasetStatistics()
    let replay = try tokenize(try Dataset(files: recipe.replay).examples, &ignored)
    let wanted = TrainingPlan.replayCount(beside: training.count, recipe)
    var order = Array(replay.answers.indices)
    var random = SplitMix64(seed: recipe.seed &+ 0x5245_504C_4159)
    random.shuffle(&order)
    let chosen = order.prefix(wanted)
    guard chosen.count == wanted else {
      throw RunError(
        "\(recipe.replay.joined(separator: ", ")): \(replay.count) examples, but --replay-fraction \(recipe.replayFraction) "
          + (recipe.maxSteps.map { "of \($0) steps" } ?? "of \(training.count + wanted)")
          + " takes \(wanted): add some, or use a smaller --replay-fraction")
    }
    training.answers += chosen.map { replay.answers[$0] }
    statistics.replayCount = wanted
  }
}

extension ExampleTokenizer {
  /// A tokenizer of examples for `model`: its template, its tokens.
  ///
  /// - Throws: `ChatModelError.noTemplate` is thrown later, by the first conversation, as plain text needs no template.
  init(_ model: ChatModel, target: LossTarget = .responses, maximumLength: Int = .max) throws {
    let tokenizer = model.tokenizer
    self.init(
      renderer: TemplateRenderer(
        name: model.name, template: model.template, guardian: tokenizer.forgeryGuard, now: model.date ?? Date()),
      tokens: MaskingTokens(tokenizer, stops: model.endTokens), target: target,
      maximumLength: min(maximumLength, model.engine.contextLength)
    ) { tokenizer.encode($0, at: $1) }
  }
}

/// A model's chat template as the masks need it.
struct TemplateRenderer: ConversationRenderer {
  let name: String
  let template: ChatTemplate?
  let guardian: ForgeryGuard
  /// One moment for all, or rendering twice over midnight would not give one text.
  let now: Date

  func render(_ turns: [Turn], addGenerationPrompt: Bool) throws -> RenderedText {
    guard let template else { throw ChatModelError.noTemplate(model: name) }
    return try template.render(
      messages: turns.map { ChatMessage(role: $0.role.rawValue, content: $0.content) },
      addGenerationPrompt: addGenerationPrompt, against: guardian, now: now)
  }
}
