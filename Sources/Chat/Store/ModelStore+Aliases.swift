internal import Foundation

// Names that stand for one model after the other.
extension ModelStore {
  /// A path as records hold it.
  static func standard(_ path: String) -> String { URL(filePath: path).standardizedFileURL.path }

  /// - Parameter isNew: Whether a name that is not taken will do.
  /// - Throws: `StoreError` when the name is no alias.
  func requireAlias(_ name: String, isNew: Bool) throws(StoreError) {
    try ModelManifest.requireName(name)
    guard let manifest = try manifest(of: name) else {
      if isNew { return }
      let aliases = (try? list())?.filter(\.isAlias).map(\.name) ?? []
      throw StoreError(
        "\(name): there is no alias of this name"
          + (aliases.isEmpty
            ? ": hearth promote MODEL --as \(name) makes one" : "; there are \(aliases.joined(separator: ", "))"))
    }
    guard manifest.isAlias else {
      throw StoreError("\(name): is a model of its own, not an alias: choose another name for the alias")
    }
  }

  /// - Throws: `StoreError` when the name is an alias, which only `hearth promote` moves.
  public func requireNoAlias(_ name: String) throws(StoreError) {
    guard let manifest = try? manifest(of: name), manifest.isAlias else { return }
    throw StoreError(
      "\(name): is an alias for \(manifest.target ?? manifest.path): choose another name, and put the model behind the alias with "
        + "hearth promote MODEL --as \(name)")
  }

  /// Lets an alias stand for a model, and remembers what it stood for.
  ///
  /// - Parameter current: What the decision was made against.
  /// - Throws: `StoreError` when somebody else has moved the alias meanwhile.
  func place(
    _ model: Location, behind alias: String, _ promotion: Promotion, replacing current: ModelManifest?
  ) throws(StoreError) -> ModelManifest {
    let lock = try aliasLock(alias)
    defer { withExtendedLifetime(lock) {} }
    guard try manifest(of: alias) == current else {
      throw StoreError("\(alias): was moved by another process while this one measured: try again")
    }
    let original = try manifest(of: model.name)
    var placed = ModelManifest(name: alias, path: ModelStore.standard(model.path), source: "hearth promote")
    placed.target = original?.target ?? model.name
    if let original {
      (placed.parent, placed.dataHash, placed.bestLoss) = (original.parent, original.dataHash, original.bestLoss)
    } else {
      do { try placed.describe(run: model.path) } catch { throw StoreError("\(error)") }
    }
    placed.promotion = promotion
    if var before = current {
      before.history = nil
      placed.history = (current?.history ?? []) + [before]
    }
    try record(placed)
    return placed
  }

  /// Lets an alias stand for what it stood for before.
  ///
  /// - Returns: The alias as it is now, and as it was.
  /// - Throws: `StoreError` when there is no such alias, nothing was before, or its files have gone.
  public func rollBack(_ alias: String) throws(StoreError) -> (now: ModelManifest, before: ModelManifest) {
    try requireAlias(alias, isNew: false)
    let lock = try aliasLock(alias)
    defer { withExtendedLifetime(lock) {} }
    guard let current = try manifest(of: alias), var previous = current.history?.last else {
      throw StoreError("\(alias): has stood for nothing else before: hearth remove \(alias) forgets it")
    }
    guard FileManager.default.fileExists(atPath: previous.path) else {
      throw StoreError(
        "\(alias): stood for \(previous.target ?? previous.path) before, but its files at \(previous.path) have gone: put them "
          + "back, or promote another model with --force")
    }
    let history = current.history?.dropLast() ?? []
    previous.history = history.isEmpty ? nil : Array(history)
    try record(previous)
    return (previous, current)
  }

  private func aliasLock(_ alias: String) throws(StoreError) -> FileLock {
    try FileLock(manifests.appending(path: ".\(alias).lock")) { () throws(StoreError) in }
  }
}

extension ModelManifest {
  /// Takes over what a run folder says of itself; leaves what is not there, and other models, as they are.
  mutating func describe(run folder: String) throws {
    guard let run = try TunedModel(ifRunFolder: folder) else { return }
    parent = run.baseName
    guard let progress = try RunFolder(folder).newest()?.progress else { return }
    dataHash = progress.dataHash.isEmpty ? nil : progress.dataHash
    bestLoss = progress.bestLoss
  }
}
