internal import Engine
internal import Foundation

/// What a run's model gave the answers it is to choose between, before it was trained: DPO's reference, as numbers.
///
/// They are computed once and kept in the run folder, so that a resumed run measures from where the first one did, to the bit, whatever
/// has become of the adapter it began with.
struct PreferenceReferences: Codable, Sendable, Equatable {
  /// Σ log p of one pair's answers.
  struct Pair: Codable, Sendable, Equatable {
    let chosen: Double
    let rejected: Double
  }

  static let fileName = "reference.json"

  /// Of the tokens they belong to.
  private let dataHash: String
  let training: [Pair]
  let validation: [Pair]

  private enum CodingKeys: String, CodingKey {
    case dataHash = "data_hash", training, validation
  }

  /// Scores all answers with the model as it is, in what it is trained in: the first margins are 0.
  init(_ data: TrainingData, _ engine: LanguageModel, _ adapter: Adapter?, _ precision: Precision = .reference) {
    func pairs(_ examples: TrainingData.Examples) -> [Pair] {
      let chosen = HeldOutLoss(examples.answers).measure(engine, adapter: adapter, precision: precision).sums
      let rejected = HeldOutLoss(examples.rejected).measure(engine, adapter: adapter, precision: precision).sums
      return zip(chosen, rejected).map { Pair(chosen: -$0, rejected: -$1) }
    }
    dataHash = data.hash
    training = pairs(data.training)
    validation = pairs(data.validation)
  }

  /// - Throws: `RunError` when the file is missing, damaged or of other data.
  init(_ path: String, for data: TrainingData) throws {
    guard let bytes = FileManager.default.contents(atPath: path),
      let found = PreferenceReferences(json: bytes, for: data)
    else {
      throw RunError(
        "\(path): is not what this run measured at its beginning, and it cannot be measured again now: restore it from a copy, "
          + "or start a new run")
    }
    self = found
  }

  private init?(json: Data, for data: TrainingData) {
    guard let found = try? JSONDecoder().decode(PreferenceReferences.self, from: json), found.dataHash == data.hash,
      found.training.count == data.training.count, found.validation.count == data.validation.count
    else { return nil }
    self = found
  }

  /// What the first member of a group measured; nil when the run does not learn preferences.
  ///
  /// - Throws: What the group throws; `RunError` when that belongs to other data.
  init?(sharedBy group: any TrainingGroup, for data: TrainingData) throws {
    let bytes = try group.share([])
    guard !bytes.isEmpty else { return nil }
    guard let found = PreferenceReferences(json: Data(bytes), for: data) else {
      throw RunError("the group's first process measured its references on other data: copy its files to this machine")
    }
    self = found
  }

  func json() throws -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys]
    return Array(try encoder.encode(self))
  }

  func write(to path: String) throws { try AtomicFile.write(try json(), to: path) }
}

extension TrainingData.Examples {
  /// The pairs at `indices`, side by side.
  func preferences(_ indices: [Int], _ references: [PreferenceReferences.Pair]) -> PreferenceBatch {
    var batch = PreferenceBatch()
    for index in indices {
      func answer(_ example: TokenizedExample, _ reference: Double) -> PreferenceBatch.Answer {
        PreferenceBatch.Answer(ids: example.ids, supervised: example.supervised, reference: reference)
      }
      batch.append(
        chosen: answer(answers[index], references[index].chosen),
        rejected: answer(rejected[index], references[index].rejected))
    }
    return batch
  }

  /// How all pairs stand, about a thousand tokens at a time.
  func figures(
    _ references: [PreferenceReferences.Pair], beta: Double, _ engine: LanguageModel, _ adapter: Adapter?,
    precision: Precision
  ) -> PreferenceFigures {
    var figures = PreferenceFigures()
    var (chosen, tokens): ([Int], Int) = ([], 0)
    func flush() {
      let batch = preferences(chosen, references)
      figures.add(engine.preferences(batch, beta: beta, adapter: adapter, precision: precision))
      (chosen, tokens) = ([], 0)
    }
    for index in answers.indices {
      let count = answers[index].ids.count + rejected[index].ids.count
      if !chosen.isEmpty, tokens + count > 1024 { flush() }
      chosen.append(index)
      tokens += count
    }
    if !chosen.isEmpty { flush() }
    return figures
  }
}
