internal import Crypto
internal import Engine
internal import Foundation

/// The folder of a fine-tuning run.
///
///     recipe.yaml  model.json  metrics.jsonl  events.out.tfevents.…  report.html
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

    private enum CodingKeys: String, CodingKey {
      case step, bestStep = "best_step", bestLoss = "best_loss", baseLoss = "base_loss"
      case evaluationsWithoutImprovement = "evaluations_without_improvement", dataHash = "data_hash"
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
  private static let manifestName = "manifest.json"
  private static let progressName = "trainer.json"
  static let momentsName = "optimizer.safetensors"

  init(_ path: String) { self.path = path }

  func file(_ name: String) -> String { path + "/" + name }
  private var checkpoints: String { path + "/checkpoints" }
  private func checkpoint(_ step: Int) -> String { checkpoints + "/step-\(step)" }

  /// Makes the folder for a new run.
  ///
  /// - Throws: `RunError` when another run is there already.
  func create() throws {
    let manager = FileManager.default
    if let contents = try? manager.contentsOfDirectory(atPath: path), !contents.isEmpty {
      throw RunError(
        contents.contains(RunFolder.recipeName)
          ? "\(path): holds a run already: continue it with --resume, or choose another --output"
          : "\(path): is not empty: choose another --output, so that nothing of yours is overwritten")
    }
    do {
      try manager.createDirectory(atPath: checkpoints, withIntermediateDirectories: true)
    } catch {
      throw RunError("\(path): cannot be made: \(error.localizedDescription)")
    }
  }

  /// Holds the run for this process until it ends.
  ///
  /// - Throws: `RunError` when another process is training here.
  func lock() throws {
    let descriptor = open(file(".lock"), O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else {
      throw RunError("\(path): cannot be written to: \(String(cString: strerror(errno)))")
    }
    // Never closed: the system frees it with the process, however that ends.
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      close(descriptor)
      throw RunError("\(path): another process is training in this folder: wait for it or stop it")
    }
  }

  // MARK: Writing

  /// Writes a checkpoint and makes it the latest, and the best if it is.
  ///
  /// - Parameter body: Writes parameters and moments into the folder it is given.
  func save(_ progress: Progress, keep: Int, _ body: (_ folder: String) throws -> Void) throws {
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
    try point("latest", to: progress.step)
    if let best = progress.bestStep { try point("best", to: best) }
    prune(keep: keep, best: progress.bestStep)
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

  /// Removes all checkpoints but the last `keep` and the best.
  private func prune(keep: Int, best: Int?) {
    for step in steps.dropLast(keep) where step != best {
      try? FileManager.default.removeItem(atPath: checkpoint(step))
    }
  }

  private static func describe(_ name: String, in folder: String) throws -> Manifest.File {
    let data = try Data(contentsOf: URL(filePath: folder + "/" + name), options: .mappedIfSafe)
    let digest = SHA256.hash(data: data).map { String(format: "%02x", $0) }.joined()
    return Manifest.File(name: name, bytes: data.count, sha256: digest)
  }

  // MARK: Reading

  /// The steps of which there is a checkpoint, ascending.
  private var steps: [Int] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: checkpoints)) ?? []
    return names.compactMap { $0.hasPrefix("step-") ? Int($0.dropFirst(5)) : nil }.sorted()
  }

  /// The newest checkpoint whose files are all as they were written; nil when there is none yet.
  func newest() -> (folder: String, progress: Progress)? {
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
    return nil
  }

  /// Removes what a killed process left half-made.
  func removeDrafts() {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: checkpoints)) ?? []
    for name in names where name.hasPrefix(".") {
      try? FileManager.default.removeItem(atPath: checkpoints + "/" + name)
    }
  }
}
