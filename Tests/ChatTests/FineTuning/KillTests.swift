import Foundation
import Testing

@testable import Chat

/// The program itself, killed at any moment: `make soak` does it for longer (HEARTH_KILLS).
@Suite(.serialized) struct KillTests {
  /// The executable that was built beside the tests.
  static let program: String? = {
    let tests = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()
    let path = tests.deletingLastPathComponent().appending(path: "hearth").path
    return FileManager.default.isExecutableFile(atPath: path) ? path : nil
  }()

  private static var killCount: Int {
    ProcessInfo.processInfo.environment["HEARTH_KILLS"].flatMap { Int($0) } ?? 10
  }

  private struct Outcome {
    let status: Int32
    let wasKilled: Bool
    let errors: String
  }

  /// Runs the program, and kills it after `limit` seconds.
  private func run(_ arguments: [String], home: String, limit: Double? = nil, shell: String = "") throws -> Outcome {
    let process = Process()
    process.executableURL = URL(filePath: "/bin/sh")
    process.arguments = ["-c", "\(shell) exec \"$0\" \"$@\"", try #require(Self.program)] + arguments
    process.environment = ProcessInfo.processInfo.environment.merging(["HEARTH_HOME": home]) { $1 }
    let said = URL(filePath: home + "-errors.txt")
    try Data().write(to: said)
    process.standardError = try FileHandle(forWritingTo: said)
    process.standardOutput = FileHandle.nullDevice
    process.standardInput = FileHandle.nullDevice
    try process.run()
    if let limit {
      let end = Date(timeIntervalSinceNow: limit)
      while process.isRunning, Date() < end { usleep(1000) }
      if process.isRunning { kill(process.processIdentifier, SIGKILL) }
    }
    process.waitUntilExit()
    return Outcome(
      status: process.terminationStatus, wasKilled: process.terminationReason == .uncaughtSignal,
      errors: try String(contentsOf: said, encoding: .utf8))
  }

  private func arguments(_ place: TinyRun, _ output: String) -> [String] {
    [
      "finetune", "--model", place.modelPath, "--data", place.dataPath, "--output", output, "--batch-size", "2",
      "--epochs",
      "3", "--no-probe", "--evaluate-every", "3", "--save-every", "2", "--rank", "2", "--dropout", "0.1", "--threads",
      "1",
    ]
  }

  @Test(.enabled(if: KillTests.program != nil, "hearth is not built")) func killedAtRandomMoments() throws {
    let place = try TinyRun()
    let home = place.folder.appending(path: "home").path
    let whole = try place.output("whole")
    let started = Date()
    let first = try run(arguments(place, whole), home: home)
    try #require(first.status == 0, "\(first.errors)")
    let duration = Date().timeIntervalSince(started)
    let expected = try TinyRun.remains(whole)

    var (kills, runs) = (0, 0)
    while kills < Self.killCount {
      runs += 1
      let output = try place.output("killed-\(runs)")
      var isNew = true
      // Each run is killed up to four times, then left to end.
      for attempt in 0..<5 {
        // Killed before the recipe was there, a run is begun again as if nothing had been.
        isNew = !FileManager.default.fileExists(atPath: output + "/recipe.yaml")
        let limit = attempt < 4 && kills < Self.killCount ? Double.random(in: 0.005...duration) : nil
        let outcome = try run(
          isNew ? arguments(place, output) : ["finetune", "--output", output, "--resume", "--threads", "1"], home: home,
          limit: limit)
        if outcome.wasKilled {
          kills += 1
        } else {
          try #require(outcome.status == 0, "after \(kills) kills: \(outcome.errors)")
          break
        }
      }
      let remains = try TinyRun.remains(output)
      #expect(remains == expected, "run \(runs), \(kills) kills: \(TinyRun.differences(remains, expected))")
      try FileManager.default.removeItem(atPath: output)
    }
  }

  /// No file may grow past what a checkpoint needs, as on a full disk.
  @Test(.enabled(if: KillTests.program != nil, "hearth is not built")) func aFullDiskLeavesTheLastCheckpoint() throws {
    let place = try TinyRun()
    let home = place.folder.appending(path: "home").path
    let output = try place.output("full")
    #expect(try run(arguments(place, output) + ["--max-steps", "4"], home: home).status == 0)
    let steps = try FileManager.default.contentsOfDirectory(atPath: output + "/checkpoints").sorted()
    let new = try place.output("new")
    // ulimit counts blocks of 512 bytes; the weights of this adapter take more than eight.
    let outcome = try run(arguments(place, new), home: home, shell: "ulimit -f 8;")
    #expect(outcome.status == 1)
    #expect(outcome.errors.contains(new + "/") && outcome.errors.contains("File too large"), "\(outcome.errors)")
    #expect(try FileManager.default.contentsOfDirectory(atPath: new + "/checkpoints").isEmpty)
    // With room again it goes on.
    let resumed = try run(["finetune", "--output", new, "--resume", "--threads", "1"], home: home)
    #expect(resumed.status == 0, "\(resumed.errors)")
    #expect(try FileManager.default.contentsOfDirectory(atPath: output + "/checkpoints").sorted() == steps)
  }

  /// A run with the recipe of another, stopped with a checkpoint.
  private func stop(_ output: String, after limit: Int, like whole: String, _ place: TinyRun) throws {
    let run = try FineTuning(
      FineTuningRecipe(yaml: whole + "/recipe.yaml"), base: place.model(), basePath: place.modelPath, output: output)
    var steps = 0
    run.isInterrupted = { steps >= limit }
    _ = try run.run { if case .step = $0 { steps += 1 } }
  }

  /// The disk fills up in the middle of a later checkpoint: the one before it stays, whole, and the run goes on from it.
  @Test(.enabled(if: KillTests.program != nil, "hearth is not built")) func aDiskThatFillsUpKeepsTheCheckpointBefore()
    throws
  {
    let place = try TinyRun()
    let home = place.folder.appending(path: "home").path
    let (whole, output) = (try place.output("whole"), try place.output("filling"))
    #expect(try run(arguments(place, whole), home: home).status == 0)
    try stop(output, after: 5, like: whole, place)
    let before = try TinyRun.remains(output).filter { $0.key.hasPrefix("checkpoints/") || $0.value.hasPrefix("→") }
    #expect(before["latest"] == "→ checkpoints/step-5")

    let failed = try run(
      ["finetune", "--output", output, "--resume", "--threads", "1"], home: home, shell: "ulimit -f 8;")
    #expect(failed.status == 1 && failed.errors.contains("File too large"), "\(failed.errors)")
    let after = try TinyRun.remains(output).filter { $0.key.hasPrefix("checkpoints/") || $0.value.hasPrefix("→") }
    #expect(after == before)
    #expect(try ChatModel.open(path: output).adapter != nil, "what was there still loads")

    let resumed = try run(["finetune", "--output", output, "--resume", "--threads", "1"], home: home)
    #expect(resumed.status == 0, "\(resumed.errors)")
    var (found, expected) = (try TinyRun.remains(output), try TinyRun.remains(whole))
    // One was begun by the program, one by the test, which calls the base otherwise.
    for key in ["model.json"] { (found[key], expected[key]) = (nil, nil) }
    #expect(found == expected, "\(TinyRun.differences(found, expected))")
  }

  /// The same on a file system that is full, which `HEARTH_TEST_FULL_DISK` names a folder on (`make test-full-disk` makes one).
  @Test(
    .enabled(
      if: KillTests.program != nil && ProcessInfo.processInfo.environment["HEARTH_TEST_FULL_DISK"] != nil,
      "HEARTH_TEST_FULL_DISK names no folder, or hearth is not built"))
  func aFullFileSystemKeepsTheCheckpointBefore() throws {
    let disk = try #require(ProcessInfo.processInfo.environment["HEARTH_TEST_FULL_DISK"])
    let place = try TinyRun()
    let home = place.folder.appending(path: "home").path
    let (whole, output, rest) = (try place.output("whole"), disk + "/filled", disk + "/rest")
    defer { for path in [output, rest] { try? FileManager.default.removeItem(atPath: path) } }
    #expect(try run(arguments(place, whole), home: home).status == 0)
    let resume = ["finetune", "--output", output, "--resume", "--threads", "1"]
    try stop(output, after: 5, like: whole, place)
    let before = try TinyRun.remains(output).filter { $0.key.hasPrefix("checkpoints/") }
    for room in [0, 4, 8, 16, 24, 32] {
      try fill(rest, leaving: room << 10)
      let failed = try run(resume, home: home)
      let reason = failed.errors.contains("No space left") || failed.errors.contains("the disk has only")
      #expect(failed.status == 1 && reason, "\(room) KB: \(failed.errors)")
      #expect(failed.errors.contains(output), "\(room) KB: \(failed.errors)")
      #expect(try TinyRun.remains(output).filter { $0.key.hasPrefix("checkpoints/") } == before, "\(room) KB")
      #expect(try ChatModel.open(path: output).adapter != nil, "what was there still loads")
      try FileManager.default.removeItem(atPath: rest)
    }
    let resumed = try run(resume, home: home)
    #expect(resumed.status == 0, "\(resumed.errors)")
    var (found, expected) = (try TinyRun.remains(output), try TinyRun.remains(whole))
    // One was begun by the program, one by the test, which calls the base otherwise; reports are headed by the folder's name.
    for key in ["model.json", "report.html"] { (found[key], expected[key]) = (nil, nil) }
    #expect(found == expected, "\(TinyRun.differences(found, expected))")
  }

  /// Writes a file until so many bytes, in whole pages, are left of its file system.
  private func fill(_ path: String, leaving room: Int) throws {
    try Data().write(to: URL(filePath: path))
    let file = try FileHandle(forWritingTo: URL(filePath: path))
    defer { try? file.close() }
    while let _ = try? file.write(contentsOf: Data(count: 4096)) {}
    let size = try file.seekToEnd()
    try file.truncate(atOffset: size > UInt64(room) ? size - UInt64(room) : 0)
  }

  @Test(.enabled(if: KillTests.program != nil, "hearth is not built")) func refusesOtherSettingsWhenResuming() throws {
    let place = try TinyRun()
    let home = place.folder.appending(path: "home").path
    let output = try place.output("a")
    #expect(try run(arguments(place, output) + ["--max-steps", "1"], home: home).status == 0)
    for flags in [
      ["--alpha", "8"], ["--dropout", "0"], ["--targets", "attention"], ["--packing", "on"], ["--precision", "f32"],
      ["--keep", "3"], ["--loss-on", "all"], ["--warmup-ratio", "0"], ["--optimizer", "adamw"], ["--patience", "2"],
    ] {
      let outcome = try run(["finetune", "--output", output, "--resume"] + flags, home: home)
      #expect(outcome.status == 64)
      #expect(outcome.errors.contains(flags[0]) && outcome.errors.contains("own recipe"), "\(outcome.errors)")
    }
    let attention = try place.output("b")
    let outcome = try run(arguments(place, attention) + ["--max-steps", "1", "--targets", "attention"], home: home)
    #expect(outcome.status == 0, "\(outcome.errors)")
    let config = try String(contentsOfFile: attention + "/latest/adapter_config.json", encoding: .utf8)
    #expect(config.contains("q_proj") && !config.contains("gate_proj"))
  }
}

extension TinyRun {
  /// The names of what differs.
  static func differences(_ a: [String: String], _ b: [String: String]) -> [String] {
    Set(a.keys).union(b.keys).filter { a[$0] != b[$0] }.sorted()
  }
}
