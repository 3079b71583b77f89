internal import Crypto
internal import Engine
internal import Foundation
internal import Tokenizers

/// The examples of a run as tokens, split into what is trained on and what is held out.
struct TrainingData: Sendable {
  let training: [TokenizedExample]
  let validation: [TokenizedExample]
  /// The held-out examples as they were written, for sample answers.
  let validationExamples: [Example]
  let trainingStatistics: DatasetStatistics
  let validationStatistics: DatasetStatistics
  /// SHA-256 of all tokens and masks, hexadecimal: a resumed run must see the same data.
  let hash: String

  /// Reads, splits and tokenises.
  ///
  /// - Throws: `DatasetError` naming file and line; `RunError` when nothing is left to train on.
  init(_ recipe: FineTuningRecipe, for model: ChatModel) throws {
    let tokenizer = try ExampleTokenizer(model, target: recipe.lossOn, maximumLength: recipe.maxLength)
    let examples = try Dataset(files: recipe.data).examples
    var (trained, held): ([Example], [Example])
    var duplicateGroups = 0
    if recipe.validation.isEmpty {
      let split = try DatasetSplit(
        examples, validationFraction: recipe.validationFraction, seed: recipe.seed)
      (trained, held) = (split.training.map { examples[$0] }, split.validation.map { examples[$0] })
      duplicateGroups = split.duplicateGroupCount
    } else {
      (trained, held) = (examples, try Dataset(files: recipe.validation).examples)
    }
    var statistics = DatasetStatistics()
    training = try TrainingData.tokenize(trained, tokenizer, &statistics)
    statistics.duplicateGroupCount = duplicateGroups
    var heldStatistics = DatasetStatistics()
    validation = try TrainingData.tokenize(held, tokenizer, &heldStatistics)
    if !recipe.validation.isEmpty { heldStatistics.leaks = LeakFinder(training: trained).leaks(into: held) }
    validationExamples = held
    trainingStatistics = statistics
    validationStatistics = heldStatistics
    guard !training.isEmpty else {
      throw RunError(
        "\(recipe.data.joined(separator: ", ")): no example has anything to learn from within --max-length "
          + "\(recipe.maxLength): raise it, or check that the examples have answers")
    }
    hash = TrainingData.hash([training, validation])
  }

  private static func tokenize(
    _ examples: [Example], _ tokenizer: ExampleTokenizer, _ statistics: inout DatasetStatistics
  ) throws -> [TokenizedExample] {
    var tokenized: [TokenizedExample] = []
    for example in examples {
      let outcome = try tokenizer.tokenize(example)
      statistics.add(outcome)
      if let example = outcome.example { tokenized.append(example) }
    }
    return tokenized
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

extension TrainingBatch {
  /// The examples at `indices`, side by side.
  init(_ examples: [TokenizedExample], _ indices: [Int]) {
    self.init()
    for index in indices { append(examples[index].ids, supervised: examples[index].supervised) }
  }
}

extension ExampleTokenizer {
  /// A tokenizer of examples for `model`: its template, its tokens.
  ///
  /// - Throws: `ChatModelError.noTemplate` is thrown later, by the first conversation, as plain text needs no template.
  init(_ model: ChatModel, target: LossTarget = .responses, maximumLength: Int = .max) throws {
    let tokenizer = model.tokenizer
    self.init(
      renderer: TemplateRenderer(name: model.name, template: model.template, guardian: tokenizer.forgeryGuard),
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

  func render(_ turns: [Turn], addGenerationPrompt: Bool) throws -> RenderedText {
    guard let template else { throw ChatModelError.noTemplate(model: name) }
    return try template.render(
      messages: turns.map { ChatMessage(role: $0.role.rawValue, content: $0.content) },
      addGenerationPrompt: addGenerationPrompt, against: guardian)
  }
}
