internal import Engine
public import Foundation

/// The models on this machine, by name.
///
///     models/blobs/sha256-…        files that were fetched, by content
///     models/manifests/NAME.json   what a name stands for
public struct ModelStore: Sendable {
  /// Where a model lies and what to call it.
  public struct Location: Sendable, Equatable {
    /// A GGUF file, a Hugging Face folder or a run folder.
    public let path: String
    /// The name in the store, or the path as the user wrote it.
    public let name: String
    /// Of a run folder: the step whose checkpoint is meant; nil for the one that counts.
    public var step: Int?

    /// One checkpoint of a run; nil when it is not there.
    ///
    /// - Parameter name: What to call it.
    public static func checkpoint(_ step: Int, of run: String, as name: String) -> Location? {
      guard FileManager.default.fileExists(atPath: RunFolder(run).checkpoint(step)) else { return nil }
      return Location(path: run, name: name, step: step)
    }
  }

  /// `$HEARTH_HOME`, else `$XDG_DATA_HOME/hearth`, else `~/.local/share/hearth`.
  public let home: URL

  /// The store in `home`, or where the environment says.
  public init(home: URL? = nil) {
    let environment = ProcessInfo.processInfo.environment
    func folder(_ key: String) -> URL? {
      environment[key].flatMap { $0.isEmpty ? nil : URL(filePath: $0) }
    }
    self.home =
      home ?? folder("HEARTH_HOME") ?? folder("XDG_DATA_HOME")?.appending(path: "hearth")
      ?? FileManager.default.homeDirectoryForCurrentUser.appending(path: ".local/share/hearth")
  }

  var blobs: URL { home.appending(path: "models/blobs") }
  var manifests: URL { home.appending(path: "models/manifests") }

  // MARK: Finding

  /// Finds a model by its name in the store or its path.
  ///
  /// - Throws: `StoreError` when there is neither, with the names that there are.
  public func locate(_ model: String) throws(StoreError) -> Location {
    if let manifest = try manifest(of: model) {
      guard FileManager.default.fileExists(atPath: manifest.path) else {
        throw StoreError(
          "\(model): its files at \(manifest.path) have gone: pull or train it again, or forget it with "
            + "hearth remove \(model)")
      }
      return Location(path: manifest.path, name: model)
    }
    if FileManager.default.fileExists(atPath: model) { return Location(path: model, name: model) }
    if model.hasPrefix("hf:") {
      if let path = HuggingFaceCache().path(of: model) { return Location(path: path, name: model) }
      throw StoreError("\(model): is not in the Hugging Face cache: fetch it with hearth pull \(model)")
    }
    throw StoreError("\(model): there is no model of this name and no file or folder of this path. \(advice(model))")
  }

  private func advice(_ model: String) -> String {
    if model == ModelCatalog.defaultName { return "Fetch it with: hearth pull \(model)" }
    let names = names
    if let meant = NearestName.of(model, among: names) { return "Did you mean \(meant)?" }
    if let meant = NearestName.of(model, among: ModelCatalog.wheels.keys.sorted()) {
      return "Did you mean \(meant)? Fetch it with: hearth pull \(meant)"
    }
    return names.isEmpty
      ? "The store is empty; hearth pull fetches the default model, \(ModelCatalog.defaultName)"
      : "The store has \(names.joined(separator: ", "))"
  }

  /// Everything in the store, by name.
  ///
  /// - Throws: `StoreError` naming the first record that is damaged.
  public func list() throws(StoreError) -> [ModelManifest] {
    var found: [ModelManifest] = []
    for name in names {
      if let manifest = try manifest(of: name) { found.append(manifest) }
    }
    return found
  }

  /// The names of all records, those included that cannot be read.
  private var names: [String] {
    let files = (try? FileManager.default.contentsOfDirectory(atPath: manifests.path)) ?? []
    return files.filter { $0.hasSuffix(".json") && !$0.hasPrefix(".") }.map { String($0.dropLast(5)) }.sorted()
  }

  /// What `name` stands for; nil when it is no name of the store.
  public func manifest(of name: String) throws(StoreError) -> ModelManifest? {
    guard ModelManifest.isName(name) else { return nil }
    let file = manifests.appending(path: name + ".json")
    guard let data = FileManager.default.contents(atPath: file.path) else { return nil }
    do {
      return try JSONDecoder().decode(ModelManifest.self, from: data)
    } catch {
      throw StoreError(
        "\(file.path): is damaged: remove it with hearth remove \(name), then pull or train \(name) again")
    }
  }

  // MARK: Changing

  /// Records what a name stands for, in place of what it stood for before.
  ///
  /// - Throws: `StoreError` when the name is not one or the record cannot be written.
  public func record(_ manifest: ModelManifest) throws(StoreError) {
    try ModelManifest.requireName(manifest.name)
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    do {
      try FileManager.default.createDirectory(at: manifests, withIntermediateDirectories: true)
      try AtomicFile.write(
        Array(try encoder.encode(manifest)), to: manifests.appending(path: manifest.name + ".json").path)
    } catch {
      throw StoreError("\(manifest.name): cannot be recorded: \(error)")
    }
  }

  /// Gives a run folder a name, and records what it learned from and how well.
  ///
  /// - Throws: `StoreError`.
  public func register(run folder: String, name: String) throws(StoreError) {
    try requireNoAlias(name)
    var manifest = ModelManifest(name: name, path: ModelStore.standard(folder), source: "hearth finetune")
    do { try manifest.describe(run: folder) } catch { throw StoreError("\(error)") }
    try record(manifest)
  }

  /// Forgets a name; a file that was fetched for it goes too when no other name stands for it. Run folders and files given by path stay.
  ///
  /// - Throws: `StoreError` when there is no such name.
  public func remove(_ name: String) throws(StoreError) {
    guard ModelManifest.isName(name), names.contains(name) else {
      throw StoreError("\(name): there is no model of this name. \(advice(name))")
    }
    // A record that cannot be read is forgotten like any other; what it stood for stays.
    let manifest = try? manifest(of: name)
    let others = names.filter { $0 != name }.map { try? self.manifest(of: $0) }
    // An alias may go back to what it stood for.
    let isNeeded = others.contains { other in
      guard let other else { return true }
      return ([other] + (other.history ?? [])).contains { $0.path == manifest?.path }
    }
    do {
      try FileManager.default.removeItem(at: manifests.appending(path: name + ".json"))
      if let path = manifest?.path, path.hasPrefix(blobs.path + "/"), !isNeeded,
        FileManager.default.fileExists(atPath: path)
      {
        try FileManager.default.removeItem(atPath: path)
      }
    } catch {
      throw StoreError("\(name): cannot be removed: \(error.localizedDescription)")
    }
  }
}
