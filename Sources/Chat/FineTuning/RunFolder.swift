internal import Engine
internal import Foundation

/// The folder of a fine-tuning run.
///
///     recipe.yaml  model.json  metrics.jsonl  events.out.tfevents.…  report.html  logdir
///     checkpoints/step-N/   best → checkpoints/step-N   latest → checkpoints/step-N
///
/// A checkpoint is built under a hidden name, its manifest with the hashes of all files is written last, and the whole is then renamed: a
/// checkpoint that can be seen is complete, whenever the process is killed.
struct RunFolder: Sendable {
  let path: String

  /// What a checkpoint knows beside parameters and moments.
  struct Progress: Codable, Sendable, Equatable {
    var step = 0
    var bestStep: Int?
    var bestLoss: Double?
    /// Validation loss before the first step.
    var baseLoss: Double?
    /// Evaluations since the best one.
    var evaluationsWithoutImprovement = 0
    /// SHA-256 of the tokens trained and evaluated on.
    var dataHash = ""
    /// What was decided, as `FineTuningRecipe.decisions`; nil in runs of versions that did not write it down here.
    var decisions: FineTuningRecipe?
    /// What the base scored on general texts and questions; nil when it was not measured.
    var baseProbe: GeneralProbe.Score?

    private enum CodingKeys: String, CodingKey {
      case step, bestStep = "best_step", bestLoss = "best_loss", baseLoss = "base_loss"
      case evaluationsWithoutImprovement = "evaluations_without_improvement", dataHash = "data_hash"
      case decisions, baseProbe = "base_probe"
    }
  }

  private struct Manifest: Codable {
    struct File: Codable {
      let name: String
      let bytes: Int
      let sha256: String
    }
    let files: [File]
  }

  static let recipeName = "recipe.yaml"
  static let metricsName = "metrics.jsonl"
  static let reportName = "report.html"
  static let probeName = "probe.json"
  private static let logFolderName = "logdir"
  private static let manifestName = "manifest.json"
  private static let progressName = "trainer.json"
  static let momentsName = "optimizer.safetensors"

  init(_ path: String) { self.path = path }

  func file(_ name: String) -> String { path + "/" + name }
  private var checkpoints: String { path + "/checkpoints" }
  func checkpoint(_ step: Int) -> String { checkpoints + "/step-\(step)" }

  /// Makes the folder for a new run.
  ///
  /// - Throws: `RunError` when another run is there already.
  func create() throws {
    try requireFree()
    try RunFolder.make(checkpoints)
  }

  /// - Throws: `RunError` when another run, or something else, is there already.
  func requireFree() throws {
    let manager = FileManager.default
    // A run that was killed before it wrote its recipe has left nothing that counts.
    let leftovers: Set = [".lock", "checkpoints", RunFolder.logFolderName]
    if let contents = try? manager.contentsOfDirectory(atPath: path),
      !leftovers.isSuperset(of: contents.filter { !RunFolder.isDraft($0) }) || !steps.isEmpty
    {
      throw RunError(
        contents.contains(RunFolder.recipeName)
          ? "\(path): holds a run already: continue it with --resume, or choose another --output"
          : "\(path): is not empty: choose another --output, so that nothing of yours is overwritten")
    }
  }

  /// Makes a folder and those above it, and says why when it cannot; Foundation's own error does not.
  private static func make(_ path: String) throws {
    if mkdir(path, 0o777) == 0 { return }
    var code = errno
    let above = URL(filePath: path).deletingLastPathComponent().path
    if code == ENOENT, above != path, !FileManager.default.fileExists(atPath: above) {
      try make(above)
      if mkdir(path, 0o777) == 0 { return }
      code = errno
    }
    var isFolder: ObjCBool = false
    if code == EEXIST, FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder.boolValue {
      return
    }
    throw RunError("\(path): cannot be made: \(String(cString: strerror(code))): choose another --output")
  }

  /// Holds the run for this process until the lock is dropped or the process ends, however it does.
  ///
  /// - Throws: `RunError` when another process is training here.
  func lock() throws -> FileLock {
    do {
      return try FileLock(URL(filePath: file(".lock"))) { () throws(StoreError) in
        throw StoreError("\(path): another process is training in this folder: wait for it or stop it")
      }
    } catch { throw RunError(error.description) }
  }

  /// Whether a process holds the run.
  var isHeld: Bool {
    let path = file(".lock")
    guard FileManager.default.fileExists(atPath: path) else { return false }
    return (try? FileLock(URL(filePath: path)) { () throws(StoreError) in throw StoreError("held") }) == nil
  }

  // MARK: Where TensorBoard's files lie

  /// The folder for TensorBoard that the run was given, when that is not the run folder: absolute, as later processes may work elsewhere.
  var logFolder: String? {
    guard let data = FileManager.default.contents(atPath: file(RunFolder.logFolderName)) else { return nil }
    let path = String(decoding: data, as: UTF8.self).trimmingCharacters(in: .newlines)
    return path.isEmpty ? nil : path
  }

  /// Remembers the folder for TensorBoard, for processes that go on with the run.
  ///
  /// - Parameter logFolder: nil for a run whose files lie in its own folder.
  func remember(logFolder: String?) throws {
    guard let logFolder else {
      unlink(file(RunFolder.logFolderName))
      return
    }
    try AtomicFile.write(
      URL(filePath: logFolder).standardizedFileURL.path + "\n", to: file(RunFolder.logFolderName))
  }

  // MARK: Writing

  /// Writes a checkpoint and makes it the latest, and the best if it is.
  ///
  /// - Parameter body: Writes parameters and moments into the folder it is given.
  /// - Parameter isScheduled: Whether an uninterrupted run would have a checkpoint of this step.
  func save(
    _ progress: Progress, keep: Int, isScheduled: (Int) -> Bool, _ body: (_ folder: String) throws -> Void
  ) throws {
    let manager = FileManager.default
    let draft = checkpoints + "/.step-\(progress.step).draft"
    try? manager.removeItem(atPath: draft)
    try manager.createDirectory(atPath: draft, withIntermediateDirectories: true)
    do {
      try body(draft)
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
      try AtomicFile.write(Array(try encoder.encode(progress)), to: draft + "/" + RunFolder.progressName)
      let names = try manager.contentsOfDirectory(atPath: draft).sorted()
      let files = try names.map { try RunFolder.describe($0, in: draft) }
      encoder.outputFormatting.insert(.withoutEscapingSlashes)
      try AtomicFile.write(
        Array(try encoder.encode(Manifest(files: files))), to: draft + "/" + RunFolder.manifestName)
      try AtomicFile.flushFolder(draft)
    } catch {
      try? manager.removeItem(atPath: draft)
      throw error
    }
    let final = checkpoint(progress.step)
    // A run that was killed right after this step comes here again, with the same bytes.
    try? manager.removeItem(atPath: final)
    try rename(draft, to: final)
    try AtomicFile.flushFolder(checkpoints)
    try settle(progress, keep: keep, isScheduled: isScheduled)
  }

  /// Lets `latest` and `best` refer to what they should and removes what is no longer kept; also after a kill between the two.
  func settle(_ progress: Progress, keep: Int, isScheduled: (Int) -> Bool) throws {
    try point("latest", to: progress.step)
    // The best one may be damaged and gone; then the latest has to do.
    if let best = progress.bestStep, FileManager.default.fileExists(atPath: checkpoint(best)) {
      try point("best", to: best)
    }
    prune(keep: keep, progress, isScheduled)
  }

  private func rename(_ old: String, to new: String) throws {
    guard Foundation.rename(old, new) == 0 else {
      throw RunError("\(new): cannot be put in place: \(String(cString: strerror(errno)))")
    }
  }

  /// Lets `name` refer to a checkpoint, in one step.
  private func point(_ name: String, to step: Int) throws {
    let draft = file(".\(name).draft")
    unlink(draft)
    guard symlink("checkpoints/step-\(step)", draft) == 0 else {
      throw RunError("\(draft): cannot be made: \(String(cString: strerror(errno)))")
    }
    try rename(draft, to: file(name))
    try AtomicFile.flushFolder(path)
  }

  /// Removes all checkpoints but the last `keep` of the schedule, the best and the newest.
  ///
  /// Those written because the run was interrupted do not count, so that a finished run holds the same ones however often it was.
  private func prune(keep: Int, _ progress: Progress, _ isScheduled: (Int) -> Bool) {
    let kept = Set(steps.filter { $0 <= progress.step && isScheduled($0) }.suffix(keep))
    for step in steps where !kept.contains(step) && step != progress.bestStep && step != progress.step {
      try? FileManager.default.removeItem(atPath: checkpoint(step))
    }
  }

  private static func describe(_ name: String, in folder: String) throws -> Manifest.File {
    // Read piece by piece: of full fine-tuning, the files are as large as all that training holds.
    let path = folder + "/" + name
    let bytes = try FileManager.default.attributesOfItem(atPath: path)[.size] as? Int ?? 0
    return Manifest.File(name: name, bytes: bytes, sha256: try ContentHash.sha256(ofFile: path))
  }

  // MARK: Reading

  /// The steps of which there is a checkpoint, ascending.
  private var steps: [Int] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: checkpoints)) ?? []
    return names.compactMap { $0.hasPrefix("step-") ? Int($0.dropFirst(5)) : nil }.sorted()
  }

  /// The newest checkpoint whose files are all as they were written; nil when there is none yet.
  ///
  /// - Throws: `RunError` when there are checkpoints and all are damaged: beginning anew without a word would cost the run.
  func newest() throws -> (folder: String, progress: Progress)? {
    for step in steps.reversed() {
      let folder = checkpoint(step)
      guard let data = FileManager.default.contents(atPath: folder + "/" + RunFolder.manifestName),
        let manifest = try? JSONDecoder().decode(Manifest.self, from: data),
        manifest.files.allSatisfy({ file in
          let found = try? RunFolder.describe(file.name, in: folder)
          return found?.sha256 == file.sha256
        }),
        let text = FileManager.default.contents(atPath: folder + "/" + RunFolder.progressName),
        let progress = try? JSONDecoder().decode(Progress.self, from: text), progress.step == step
      else { continue }
      return (folder, progress)
    }
    guard let last = steps.last else { return nil }
    throw RunError(
      "\(checkpoint(last)): is damaged, as are all other checkpoints of this run: restore them from a copy, or start a new run "
        + "in another --output")
  }

  /// Removes what a killed process left half-made.
  func removeDrafts() {
    let manager = FileManager.default
    for name in (try? manager.contentsOfDirectory(atPath: checkpoints)) ?? [] where name.hasPrefix(".") {
      try? manager.removeItem(atPath: checkpoints + "/" + name)
    }
    for name in (try? manager.contentsOfDirectory(atPath: path)) ?? [] where RunFolder.isDraft(name) {
      try? manager.removeItem(atPath: path + "/" + name)
    }
  }

  /// Whether a file of this name is on its way to another, or would be if its process had not been killed.
  private static func isDraft(_ name: String) -> Bool {
    name.hasPrefix(".") && (name.hasSuffix(".partial") || name.hasSuffix(".draft"))
  }
}
