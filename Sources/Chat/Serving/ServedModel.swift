internal import Engine

/// A model that is ready to answer, as those who ask it need to know it. Weights stay with the `EngineRoom`.
public struct ServedModel: Sendable {
  /// Under which name it is asked.
  public let name: String
  /// Its tokenizer and chat template.
  public let text: ChatText
  /// The longest sequence, in tokens, prompt and answer together.
  public let contextLength: Int
  /// Ids are 0 to one less.
  public let vocabularyCount: Int
  /// Where it lies, what it is and how large.
  public let facts: ModelFacts
  /// Its tokens by their bytes, for texts that are held to a grammar.
  public let vocabulary: TokenVocabulary
  /// What was measured when it was fine-tuned; nil for other models.
  public let tuning: TuningRecord?
  /// Tells this model from another that had the name before.
  let number: Int

  /// Checks, without computing anything, whether a request can be answered.
  ///
  /// - Throws: `GenerationError`, or `StopStrings.ValidationError`.
  public func check(_ prompt: [Int32], _ options: AnswerOptions) throws {
    guard !prompt.isEmpty else { throw GenerationError.emptyPrompt }
    if let stranger = prompt.first(where: { $0 < 0 || Int($0) >= vocabularyCount }) {
      throw GenerationError.unknownToken(stranger, vocabularyCount: vocabularyCount)
    }
    guard prompt.count < contextLength else {
      throw GenerationError.promptTooLong(tokens: prompt.count, contextLength: contextLength)
    }
    do { try options.sampling.validate(vocabularyCount: vocabularyCount) } catch {
      throw GenerationError.sampling(error)
    }
    _ = try StopStrings(options.stops)
  }
}

/// What is known of a fine-tuned model's making.
public struct TuningRecord: Sendable, Equatable {
  /// What the user called the base.
  public let base: String
  /// `lora` or `full`.
  public let method: String
  /// The step of the checkpoint in force.
  public let step: Int?
  /// Held-out loss of that checkpoint.
  public let loss: Double?
  /// Held-out loss of the base on the same data.
  public let baseLoss: Double?
}
