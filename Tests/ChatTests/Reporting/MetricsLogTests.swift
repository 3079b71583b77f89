import Foundation
import Testing

@testable import Chat

struct MetricsLogTests {
  private func withFolder(_ use: (String) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    try use(folder.path)
  }

  private func write(_ path: String, from first: Int, through last: Int, keeping: Int?) throws {
    let log = try MetricsLog(path: path, keepingThrough: keeping)
    for step in first...last {
      try log.append(
        event: "step", step: step,
        [("loss", .number(1 / Double(step))), ("best", .flag(step == 2)), ("note", .text("a\"\n\u{1}é"))])
    }
    try log.flush()
  }

  @Test func linesAreJSON() throws {
    let line = MetricsLog.line(
      event: "step", step: 3,
      [("loss", .number(0.1)), ("bad", .number(.nan)), ("count", .integer(5)), ("t", .text("\"\\\n"))])
    #expect(
      String(decoding: line, as: UTF8.self)
        == "{\"event\": \"step\", \"step\": 3, \"loss\": 0.1, \"bad\": null, \"count\": 5, \"t\": \"\\\"\\\\\\n\"}\n")
    #expect((try JSONSerialization.jsonObject(with: Data(line)) as? [String: Any])?.count == 6)
  }

  /// Killed anywhere behind the checkpoint, the resumed log equals the uninterrupted one.
  @Test func resumedLogEqualsUninterrupted() throws {
    try withFolder { folder in
      try write(folder + "/whole", from: 1, through: 6, keeping: nil)
      let whole = try Data(contentsOf: URL(fileURLWithPath: folder + "/whole"))
      let lineEnds = whole.indices.filter { whole[$0] == 0x0A }
      for length in stride(from: lineEnds[2] + 1, through: whole.count, by: 13) {
        let path = folder + "/log"
        try whole[..<length].write(to: URL(fileURLWithPath: path))
        try write(path, from: 4, through: 6, keeping: 3)
        #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == whole)
      }
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder).sorted() == ["log", "whole"])
    }
  }

  @Test func anotherRunsLogIsNotTouched() throws {
    try withFolder { folder in
      try write(folder + "/log", from: 1, through: 2, keeping: nil)
      let error = #expect(throws: ReportingError.self) {
        _ = try MetricsLog(path: folder + "/log")
      }
      #expect(error?.description == "\(folder)/log: could not open: File exists")
    }
  }
}
