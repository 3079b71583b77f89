public import Engine
internal import Foundation
internal import Tokenizers

// Which models there are.
extension EngineRoom {
  /// Loads a model, or another version of one that has its name; calls under way go on with the former.
  ///
  /// Weights are read on a thread of their own, so that other models answer meanwhile; several loads go one after the other. An
  /// adapter whose base is here shares it.
  ///
  /// - Parameters:
  ///   - threads: As many as this process may use when nil.
  ///   - isChecked: Whether a model for which memory is short is refused.
  /// - Throws: As `ChatModel.open`.
  @discardableResult public func load(
    _ location: ModelStore.Location, as name: String? = nil, precision: Precision = .serving, threads: Int? = nil,
    isChecked: Bool = true
  ) async throws -> ServedModel {
    await beginLoading()
    defer { endLoading() }
    let name = name ?? location.name
    let run = try TunedModel(location)
    let room = Room(contextLength: settings.contextLength, isChecked: isChecked, cacheType: settings.cacheType)
    func open(_ path: String, _ name: String, step: Int? = nil) async throws -> sending ChatModel {
      try await ModelOpening.open(
        path, name: name, step: step, precision: precision, threads: threads, room: room, onOpening: settings.onOpening)
    }
    let (station, model): (Station, ChatModel)
    if let run, run.isAdapter {
      // An adapter leaves its base as it is, so the base can be shared, now or later.
      if let found = self.station(run.base) {
        station = found
      } else {
        station = Station(try await open(run.base, run.baseName), path: Self.path(run.base), settings)
      }
      model = try run.put(on: station.model, name: name)
    } else if run == nil, let found = self.station(location.path) {
      (station, model) = (found, found.model)
    } else {
      model = try await open(location.path, name, step: location.step)
      // Weights that full fine-tuning changed are nobody's base.
      station = Station(model, path: run == nil ? Self.path(location.path) : "", settings)
    }
    let text = ChatText(
      name: name, tokenizer: model.tokenizer, template: model.template, endTokens: model.endTokens, date: model.date)
    let (facts, vocabulary) = try await ModelOpening.facts(
      location, text.tokenizer, known: models.first { $0.text.tokenizer === text.tokenizer }?.vocabulary)
    let served = ServedModel(
      name: name, text: text, contextLength: station.decoder.contextLength,
      vocabularyCount: model.engine.vocabularyCount, facts: facts, vocabulary: vocabulary,
      tuning: run.map(TuningRecord.init),
      number: nextNumber())
    if !stations.contains(where: { $0 === station }) { stations.append(station) }
    let former = withdraw(name)
    seats[served.number] = (station, model.adapter)
    publish(served)
    if let former { retire(former) }
    show()
    return served
  }

  /// Unloads a model; calls under way go on, its memory is free when they have ended.
  ///
  /// - Returns: Whether there was one of this name.
  @discardableResult public func unload(_ name: String) -> Bool {
    guard let model = withdraw(name) else { return false }
    retire(model)
    return true
  }

  /// Forgets a model whose name has gone, once those who had it in hand have asked.
  private func retire(_ model: ServedModel) {
    Task {
      try? await Task.sleep(for: .seconds(2))
      seats[model.number] = nil
      removeUnused()
      show()
    }
  }

  private static func path(_ path: String) -> String {
    URL(filePath: path).resolvingSymlinksInPath().standardizedFileURL.path
  }

  private func station(_ path: String) -> Station? { stations.first { $0.path == Self.path(path) } }

  /// Forgets bases that no model is on any more and that nobody waits for.
  func removeUnused() {
    stations.removeAll { station in
      station.decoder.isIdle && !seats.values.contains { $0.station === station }
    }
  }
}

/// What loading does outside of the engine room, which computes meanwhile.
private enum ModelOpening {
  /// Opens a model, which belongs to whoever asked.
  static func open(
    _ path: String, name: String, step: Int?, precision: Precision, threads: Int?, room: Room,
    onOpening: @escaping @Sendable (String) -> Void
  ) async throws -> sending ChatModel {
    try await apart {
      onOpening(path)
      return try ChatModel.open(
        path: path, name: name, step: step, precision: precision, pool: WorkerPool(threadCount: threads), room: room)
    }
  }

  /// What the file says of the model, and its tokens by their bytes: one list for all models of a tokenizer.
  static func facts(
    _ location: ModelStore.Location, _ tokenizer: Tokenizer, known: TokenVocabulary?
  ) async throws -> (ModelFacts, TokenVocabulary) {
    try await apart { (try ModelFacts(location), known ?? TokenVocabulary(tokenizer)) }
  }

  /// Works on a thread of its own: what takes seconds must keep none of the few that serve everybody.
  private static func apart<Value>(_ work: @escaping @Sendable () throws -> sending Value) async throws -> sending Value
  {
    try await withCheckedThrowingContinuation { continuation in
      let thread = Thread {
        do { continuation.resume(returning: try work()) } catch { continuation.resume(throwing: error) }
      }
      thread.name = "hearth-loading"
      thread.stackSize = 8 << 20
      thread.start()
    }
  }
}

extension TuningRecord {
  /// What the run's folder says; what it does not say stays unknown.
  init(_ run: TunedModel) {
    var (step, loss, baseLoss): (Int?, Double?, Double?)
    if let checkpoint = run.checkpointPath {
      let target = URL(filePath: checkpoint).resolvingSymlinksInPath().lastPathComponent
      step = target.hasPrefix("step-") ? Int(target.dropFirst(5)) : nil
    }
    let lines = FileManager.default.contents(atPath: run.folder + "/metrics.jsonl").map { [UInt8]($0) } ?? []
    for line in lines.split(separator: 0x0A) {
      var reader = JSONReader(Array(line))
      guard let event = try? reader.value(), event["event"] == .string("evaluation"),
        case .number(let stepText)? = event["step"], case .number(let lossText)? = event["loss"]
      else { continue }
      if Int(stepText) == 0 { baseLoss = Double(lossText) }
      if Int(stepText) == step { loss = Double(lossText) }
    }
    self.init(base: run.baseName, method: run.method, step: step, loss: loss, baseLoss: baseLoss)
  }
}
