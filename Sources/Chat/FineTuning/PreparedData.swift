/// The data of a run as it would be trained on, for a look before it starts.
public struct PreparedData: Sendable {
  let data: TrainingData
  /// Optimiser steps that the recipe makes of it.
  public let stepCount: Int

  /// - Throws: As a run would.
  public init(_ recipe: FineTuningRecipe, for model: ChatModel) throws {
    data = try TrainingData(recipe, for: model)
    stepCount = data.plan(recipe).stepCount
  }

  /// Figures of what is trained on.
  public var trainingStatistics: DatasetStatistics { data.trainingStatistics }
  /// Figures of what is held out, leaks from training data included.
  public var validationStatistics: DatasetStatistics { data.validationStatistics }

  /// The first examples to train on, as tokens.
  public func first(_ count: Int) -> [TokenizedExample] { Array(data.training.answers.prefix(count)) }

  /// The rejected answers beside them; empty unless preferences are learned.
  public func firstRejected(_ count: Int) -> [TokenizedExample] { Array(data.training.rejected.prefix(count)) }
}
