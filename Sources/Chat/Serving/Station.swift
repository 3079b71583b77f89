internal import Engine

/// A loaded base with the decoder that answers for it and for every adapter on it. Belongs to the `EngineRoom`.
final class Station {
  let model: ChatModel
  /// Where the base lies, as run folders have it.
  let path: String
  let decoder: BatchDecoder
  /// By the decoder's request: which call, which of its answers.
  var places: [Int: (call: Int, choice: Int)] = [:]
  /// Prompt tokens in a step.
  private(set) var chunkLength: Int
  /// Prompt tokens per second, a moving average of full steps.
  private var rate: Double?

  init(_ model: ChatModel, path: String, _ settings: EngineRoom.Settings) {
    self.model = model
    self.path = path
    // Where speed is not known yet, a step of any model is short.
    chunkLength = 64
    decoder = BatchDecoder(
      model.engine, cache: model.cache,
      settings: .init(
        contextLength: settings.contextLength,
        scheduling: .init(maximumLaneCount: settings.laneCount, chunkLength: chunkLength)))
  }

  /// Takes as many prompt tokens a step from now on as can be read in the time a step should take.
  ///
  /// - Parameters:
  ///   - count: Prompt tokens that a step has read; steps that read few say little about many.
  ///   - seconds: What the step took.
  ///   - target: What it should take.
  func learn(_ count: Int, seconds: Double, _ target: Double) {
    guard count >= 32, seconds > 0 else { return }
    let found = Double(count) / seconds
    rate = rate.map { $0 + (found - $0) / 4 } ?? found
    // Whole panels of the kernels, never so few that reading a prompt becomes slow.
    chunkLength = max(32, min(512, Int((rate ?? found) * target) / 32 * 32))
  }
}
