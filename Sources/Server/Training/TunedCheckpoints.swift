internal import Chat
internal import Foundation
internal import Logging

/// What jobs have saved on their way, as models: `NAME:step-N` is step N of the run that makes NAME, as long as its files are there.
///
/// One is loaded when it is first asked for, onto its base, which must be served: whoever may ask models does not decide which ones
/// take memory. Of several, those that were asked last stay.
actor TunedCheckpoints {
  /// The name of one.
  struct Name: Hashable {
    let tuned: String
    let step: Int
    var text: String { "\(tuned):step-\(step)" }

    init(_ tuned: String, _ step: Int) { (self.tuned, self.step) = (tuned, step) }

    /// nil when a text is no such name.
    init?(_ text: String) {
      guard let mark = text.range(of: ":step-", options: .backwards), let step = Int(text[mark.upperBound...]) else {
        return nil
      }
      self.init(String(text[..<mark.lowerBound]), step)
      // One checkpoint, one name: not "step-+5".
      guard self.text == text else { return nil }
    }
  }

  /// So many are loaded at a time.
  static let most = 8

  /// Those that were loaded, and where their runs lie; the one that was asked last is the last.
  private var loaded: [(name: Name, run: String)] = []
  private var arriving: [Name: Task<ServedModel, any Error>] = [:]

  /// The model; nil when no job has such a checkpoint.
  ///
  /// - Throws: `APIError` when there is one and it cannot be asked.
  func model(_ name: Name, _ state: ServerState) async throws -> ServedModel? {
    guard let run = try run(name, state) else { return nil }
    let place = loaded.firstIndex { $0.name == name }
    guard let location = ModelStore.Location.checkpoint(name.step, of: run, as: name.text) else {
      if let place {
        loaded.remove(at: place)
        await state.room.unload(name.text)
      }
      return nil
    }
    if let place, let model = state.room.model(name.text) {
      loaded.append(loaded.remove(at: place))
      return model
    }
    // Who asks for the same meanwhile waits for the same.
    let task = arriving[name] ?? Task { try await load(location, name, run, state) }
    arriving[name] = task
    return try await task.value
  }

  /// Where the run of a checkpoint lies; nil when no job has its name.
  private func run(_ name: Name, _ state: ServerState) throws -> String? {
    if state.room.model(name.text) != nil, let known = loaded.first(where: { $0.name == name }) { return known.run }
    guard let job = try state.storage.jobs(of: nil).first(where: { $0.tunedName == name.tuned }),
      let jobs = state.jobs.current
    else { return nil }
    guard state.room.models.contains(where: { $0.facts.path == job.modelPath }) else {
      throw APIError(
        .notFound, "\(name.text) was trained on \(job.model), which is not loaded here", parameter: "model",
        code: "model_not_found")
    }
    return jobs.folder(job.id)
  }

  private func load(
    _ location: ModelStore.Location, _ name: Name, _ run: String, _ state: ServerState
  ) async throws -> ServedModel {
    defer { arriving[name] = nil }
    let model: ServedModel
    do {
      model = try await state.room.load(
        location, precision: state.settings.precision, threads: state.settings.threads,
        isChecked: state.settings.checksMemory)
    } catch {
      state.logger.warning("a checkpoint is not loaded", metadata: ["model": "\(name.text)", "error": "\(error)"])
      throw APIError(
        .unavailable, "\(name.text) cannot be loaded; the server's log says why", parameter: "model",
        code: "load_failed")
    }
    loaded.removeAll { $0.name == name }
    loaded.append((name, run))
    while loaded.count > TunedCheckpoints.most { await state.room.unload(loaded.removeFirst().name.text) }
    return model
  }
}
