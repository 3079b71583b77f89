import Foundation
import Testing

@testable import Chat

/// Bytes against TensorBoard's own, and a run for its reader.
struct TensorBoardWriterTests {
  private static let events: [String: TensorBoardEvent] = {
    func event(_ step: Int, _ content: TensorBoardEvent.Content) -> TensorBoardEvent {
      TensorBoardEvent(wallTime: 1.7e9, step: step, content)
    }
    return [
      "version": event(0, .fileVersion),
      "scalar": event(7, .scalar(tag: "train/loss", value: 1.5)),
      "far": event(3_000_000_000, .scalar(tag: "train/learning_rate", value: .nan)),
      "start": event(120, .sessionStart),
      "text": event(3, .text(tag: "samples/0", value: "hé\n**hi**")),
      "experiment": event(
        0,
        .experiment(
          settings: [
            ("learning_rate", .number(1e-3)), ("schedule", .text("cosine")), ("packing", .flag(true)),
          ], metrics: ["eval/loss"])),
      "runStart": event(0, .runStart([("learning_rate", .number(1e-3))])),
      "runEnd": event(0, .runEnd(isSuccess: true)),
    ]
  }()

  @Test func recordsEqualTensorBoards() throws {
    let goldens = try Fixture.content("reporting/records.json", as: [String: String].self)
    #expect(Set(goldens.keys) == Set(Self.events.keys))
    for (name, event) in Self.events {
      let found = event.record.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
      #expect(found == goldens[name], "\(name)")
    }
  }

  /// RFC 3720, appendix B.4.
  @Test func checksums() {
    #expect(CRC32C.checksum([UInt8](repeating: 0, count: 32)) == 0x8A91_36AA)
    #expect(CRC32C.checksum([UInt8](repeating: 0xFF, count: 32)) == 0x62A8_AB43)
    #expect(CRC32C.checksum((0..<32).map { UInt8($0) }) == 0x46DD_794E)
    #expect(CRC32C.checksum("123456789".utf8) == 0xE306_9283)
  }

  /// Writes a run, killed after step 5 and resumed at 4. `Scripts/fixtures/reporting_tensorboard.py` reads it.
  @Test func runWithResume() throws {
    let chosen = ProcessInfo.processInfo.environment["HEARTH_TENSORBOARD_FOLDER"]
    let folder =
      chosen ?? FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString).path
    defer { if chosen == nil { try? FileManager.default.removeItem(atPath: folder) } }
    let first = try TensorBoardWriter(folder: folder, now: { 1.7e9 })
    try first.settings(
      [("learning_rate", .number(1e-3)), ("schedule", .text("cosine")), ("packing", .flag(true))],
      metrics: ["eval/loss"])
    for (step, loss) in [3.0, 2, 1.5, 9, 9].enumerated() {
      try first.scalar("train/loss", loss, step: step + 1)
    }
    try first.text("samples/0", "**Q** größe?\n\nA 😀", step: 2)
    try first.flush()
    let earlier = try Data(contentsOf: URL(fileURLWithPath: first.path))
    let second = try TensorBoardWriter(folder: folder, resumingAt: 4, now: { 1.7e9 })
    #expect(second.path != first.path && second.path > first.path)
    for (step, loss) in [1.25, 1.125, 1].enumerated() {
      try second.scalar("train/loss", loss, step: step + 4)
    }
    try second.scalar("eval/loss", 1.5, step: 6)
    try second.end(isSuccess: true)
    #expect(try Data(contentsOf: URL(fileURLWithPath: first.path)) == earlier)
    let name = URL(fileURLWithPath: second.path).lastPathComponent
    #expect(name.hasPrefix("events.out.tfevents.1700000001."))
  }

  /// TensorBoard reads files in the order of their names, whatever the clock and the number of the process say.
  @Test func aResumeStandsBehindWhatItGoesOnFrom() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString).path
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    let earlier = folder + "/events.out.tfevents.1700000005.zzz.999999.3"
    try Data().write(to: URL(fileURLWithPath: earlier))
    let first = try TensorBoardWriter(folder: folder, resumingAt: 4, now: { 1.7e9 })
    let second = try TensorBoardWriter(folder: folder, resumingAt: 4, now: { 1.7e9 })
    #expect(earlier < first.path && first.path < second.path)
  }

  @Test func failuresNameTheFile() {
    let error = #expect(throws: ReportingError.self) {
      _ = try TensorBoardWriter(folder: "/proc/nowhere")
    }
    #expect(error?.file == "/proc/nowhere")
  }
}
