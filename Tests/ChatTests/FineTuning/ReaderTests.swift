import Foundation
import Testing

@testable import Chat

/// The program itself, with somebody at its standard output who does not stay.
@Suite(.serialized) struct ReaderTests {
  private static let isBuilt = KillTests.program != nil

  private struct Running {
    let process = Process()
    let output = Pipe()
    let errors: URL

    init(_ arguments: [String], _ place: TinyRun) throws {
      process.executableURL = URL(filePath: try #require(KillTests.program))
      process.arguments = arguments + ["--json"]
      process.environment = ProcessInfo.processInfo.environment.merging(
        ["HEARTH_HOME": place.folder.appending(path: "home").path]) { $1 }
      errors = place.folder.appending(path: "errors.txt")
      try Data().write(to: errors)
      process.standardError = try FileHandle(forWritingTo: errors)
      process.standardOutput = output
      process.standardInput = FileHandle.nullDevice
      try process.run()
      try output.fileHandleForWriting.close()
    }

    /// All of its output, read by a thread of its own.
    func everything() async -> Data {
      let handle = output.fileHandleForReading
      return await withCheckedContinuation { continuation in
        Thread { continuation.resume(returning: handle.readDataToEndOfFile()) }.start()
      }
    }

    /// Waits for the end, for at most two minutes.
    func end() async throws -> Int32 {
      let end = Date(timeIntervalSinceNow: 120)
      while process.isRunning {
        guard Date() < end else {
          kill(process.processIdentifier, SIGKILL)
          Issue.record("the program does not end")
          break
        }
        try await Task.sleep(for: .milliseconds(10))
      }
      process.waitUntilExit()
      return process.terminationStatus
    }
  }

  private func arguments(_ place: TinyRun, _ output: String, steps: Int) -> [String] {
    [
      "finetune", "--model", place.modelPath, "--data", place.dataPath, "--output", output, "--batch-size", "2",
      "--max-steps", "\(steps)", "--no-probe", "--evaluate-every", "1000", "--rank", "2", "--threads", "1",
    ]
  }

  /// How many events the run has written down.
  private func eventCount(_ output: String) -> Int {
    (try? String(contentsOfFile: output + "/metrics.jsonl", encoding: .utf8))?.split(separator: "\n").count ?? 0
  }

  // The tests of servers need the threads that these would wait on.
  private func wait(until isSo: () -> Bool) async throws {
    let end = Date(timeIntervalSinceNow: 120)
    while !isSo() {
      try #require(Date() < end)
      try await Task.sleep(for: .milliseconds(10))
    }
  }

  @Test(.enabled(if: isBuilt, "hearth is not built")) func aRunOutlivesItsReader() async throws {
    let place = try TinyRun()
    let (whole, output) = (try place.output("whole"), try place.output("deserted"))
    let heard = try Running(arguments(place, whole, steps: 40), place)
    let all = await heard.everything()
    #expect(try await heard.end() == 0)
    #expect(String(decoding: all, as: UTF8.self).split(separator: "\n").last?.contains(#""event":"done""#) == true)

    let deserted = try Running(arguments(place, output, steps: 40), place)
    _ = deserted.output.fileHandleForReading.readData(ofLength: 1)
    try deserted.output.fileHandleForReading.close()
    #expect(try await deserted.end() == 0)
    let said = try String(contentsOf: deserted.errors, encoding: .utf8)
    #expect(said.split(separator: "\n").count == 1 && said.contains("nobody reads") && said.contains(output), "\(said)")
    #expect(try TinyRun.remains(output) == TinyRun.remains(whole))
  }

  @Test(.enabled(if: isBuilt, "hearth is not built")) func interruptedWithoutAReaderItHasACheckpoint() async throws {
    let place = try TinyRun()
    let output = try place.output("deserted")
    let running = try Running(arguments(place, output, steps: 1_000_000), place)
    _ = running.output.fileHandleForReading.readData(ofLength: 1)
    try running.output.fileHandleForReading.close()
    try await wait { eventCount(output) > 100 }
    kill(running.process.processIdentifier, SIGINT)
    #expect(try await running.end() == SIGINT)
    #expect(running.process.terminationReason == .uncaughtSignal)
    let newest = try #require(try RunFolder(output).newest())
    #expect(newest.progress.step >= 100)
    #expect(try ChatModel.open(path: output).adapter != nil)
  }

  /// As Ctrl-C does, so does what service managers and batch systems send.
  @Test(.enabled(if: isBuilt, "hearth is not built"), arguments: [SIGINT, SIGTERM])
  func toldToEndItSaysHowToGoOn(_ signal: Int32) async throws {
    let place = try TinyRun()
    let (whole, output) = (try place.output("whole"), try place.output("stopped"))
    let running = try Running(arguments(place, output, steps: 3000), place)
    async let events = running.everything()
    try await wait { eventCount(output) > 20 }
    kill(running.process.processIdentifier, signal)
    #expect(try await running.end() == signal)
    #expect(running.process.terminationReason == .uncaughtSignal)
    let last = String(decoding: await events, as: UTF8.self).split(separator: "\n").last
    #expect(last?.contains(#""event":"done""#) == true)
    let step = try #require(try RunFolder(output).newest()).progress.step
    let said = try String(contentsOf: running.errors, encoding: .utf8)
    #expect(said.contains("stopping with a checkpoint") && said.contains("step \(step)"), "\(said)")
    #expect(said.contains("hearth finetune --output \(output) --resume"), "\(said)")

    // No step is lost or taken twice.
    let resumed = try Running(["finetune", "--output", output, "--resume", "--threads", "1"], place)
    async let others = resumed.everything()
    #expect(try await resumed.end() == 0)
    _ = await others
    let unbroken = try Running(arguments(place, whole, steps: 3000), place)
    async let all = unbroken.everything()
    #expect(try await unbroken.end() == 0)
    _ = await all
    #expect(try TinyRun.remains(output) == TinyRun.remains(whole))
  }

  /// In the middle of a step of four thousand conversations.
  @Test(.enabled(if: isBuilt, "hearth is not built"), arguments: [SIGINT, SIGTERM])
  func toldTwiceItEndsAtOnce(_ signal: Int32) async throws {
    let place = try TinyRun(examples: 4000)
    // On a busy machine the step may end before the second signal comes; not every time.
    for attempt in 1...10 {
      let output = try place.output("stopped-\(attempt)")
      let running = try Running(
        arguments(place, output, steps: 5) + ["--batch-size", "4000", "--validation-fraction", "0"], place)
      try await wait { FileManager.default.fileExists(atPath: output + "/metrics.jsonl") }
      kill(running.process.processIdentifier, SIGINT)
      try await wait { (try? String(contentsOf: running.errors, encoding: .utf8))?.contains("stopping") == true }
      kill(running.process.processIdentifier, signal)
      let status = try await running.end()
      #expect(running.process.terminationReason == .uncaughtSignal)
      if try RunFolder(output).newest() == nil {
        #expect(status == signal)
        return
      }
    }
    Issue.record("ten steps ended before a second signal came")
  }

  @Test(.enabled(if: isBuilt, "hearth is not built")) func itEndsWithItsReaderWhenAsked() async throws {
    let place = try TinyRun()
    let output = try place.output("deserted")
    let running = try Running(arguments(place, output, steps: 1_000_000) + ["--end-with-reader"], place)
    _ = running.output.fileHandleForReading.readData(ofLength: 1)
    try running.output.fileHandleForReading.close()
    #expect(try await running.end() == 0)
    #expect(try #require(try RunFolder(output).newest()).progress.step >= 1)
    #expect(try String(contentsOf: running.errors, encoding: .utf8).contains("stops with a checkpoint"))
  }

  /// A pipe holds 64 KiB, some three hundred events.
  @Test(.enabled(if: isBuilt, "hearth is not built")) func aReaderThatStopsReadingDoesNotStopARun() async throws {
    let place = try TinyRun()
    let output = try place.output("ignored")
    let running = try Running(arguments(place, output, steps: 1_000_000), place)
    try await wait { eventCount(output) > 1000 }
    kill(running.process.processIdentifier, SIGINT)
    #expect(try await running.end() == SIGINT)
    #expect(try #require(try RunFolder(output).newest()).progress.step >= 1000)

    // One that only takes its time misses nothing.
    let slow = try place.output("slow")
    let patient = try Running(arguments(place, slow, steps: 1000), place)
    try await wait { FileManager.default.fileExists(atPath: slow + "/report.html") }
    let all = String(decoding: await patient.everything(), as: UTF8.self)
    #expect(try await patient.end() == 0)
    let lines = all.split(separator: "\n")
    #expect(lines.count { $0.contains(#""event":"step""#) } == 1000)
    #expect(lines.last?.contains(#""event":"done""#) == true)
  }
}
