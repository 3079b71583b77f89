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

  /// Gives a run folder a name.
  ///
  /// - Throws: `StoreError`.
  public func register(run folder: String, name: String) throws(StoreError) {
    let parent: String?
    do { parent = try TunedModel(ifRunFolder: folder)?.baseName } catch { throw StoreError("\(error)") }
    try record(
      ModelManifest(
        name: name, path: URL(filePath: folder).standardizedFileURL.path, source: "hearth finetune",
        parent: parent))
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
    let isNeeded = others.contains { $0 == nil || $0?.path == manifest?.path }
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

/// What a name in the store stands for.
public struct ModelManifest: Codable, Sendable, Equatable {
  /// What the model is called.
  public var name: String
  /// A GGUF file, a Hugging Face folder or a run folder.
  public var path: String
  /// Where it came from.
  public var source: String
  /// The base of a fine-tuned model.
  public var parent: String?
  /// When it was recorded, seconds since 1970.
  public var date: Double

  /// A record; the date is now unless given.
  public init(
    name: String, path: String, source: String, parent: String? = nil, date: Double = Date().timeIntervalSince1970
  ) {
    self.name = name
    self.path = path
    self.source = source
    self.parent = parent
    self.date = date
  }

  /// - Throws: `StoreError` when `text` cannot name a model.
  static func requireName(_ text: String) throws(StoreError) {
    guard !isName(text) else { return }
    throw StoreError(
      "\(text): is not a name: use letters, digits, dots, dashes and underscores, beginning with a letter or digit")
  }

  /// Whether `text` can name a model: nothing that a file system or a shell could mistake.
  public static func isName(_ text: String) -> Bool {
    guard let first = text.unicodeScalars.first, text.utf8.count <= 100 else { return false }
    func isPlain(_ scalar: Unicode.Scalar) -> Bool {
      ("a"..."z").contains(scalar) || ("A"..."Z").contains(scalar) || ("0"..."9").contains(scalar)
    }
    return isPlain(first) && text.unicodeScalars.allSatisfy { isPlain($0) || "._-".unicodeScalars.contains($0) }
  }
}

/// Why the store cannot do what was asked.
public struct StoreError: Error, Sendable, Equatable, CustomStringConvertible {
  /// What is wrong and what to do about it.
  public let description: String
  init(_ description: String) { self.description = description }
}
