import Foundation
import Testing

@testable import hearth

@Suite struct InputHistoryTests {
  @Test func keepsTheNewestWithoutRepeats() {
    var history = InputHistory(["a"], limit: 3)
    for entry in ["a", "b", "b", "", "c", "d"] { history.append(entry) }
    #expect(history.entries == ["b", "c", "d"])
    #expect(history.previous(from: "") == "d")
    history.append("d")
    #expect(history.previous(from: "") == "d")
    #expect(history.previous(from: "d") == "c")
  }

  @Test func staysWithinTheLimitWhileLookingAround() {
    var history = InputHistory(["a", "b"], limit: 2)
    #expect(history.previous(from: "x") == "b")
    history.append("c")
    #expect(history.next() == nil)
    #expect(history.previous(from: "y") == "c")
    #expect(history.next() == "y")
  }

  @Test func survivesSessions() throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "history-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: folder) }
    let file = HistoryFile(path: folder.appending(path: "deep/chat_history").path, limit: 3)
    #expect(file.read() == [])
    for entry in ["a", "two\nlines \"東\"", "two\nlines \"東\"", "c"] { try file.append(entry) }
    // Another session's entry is kept.
    try HistoryFile(path: file.path, limit: 3).append("d")
    #expect(file.read() == ["two\nlines \"東\"", "c", "d"])
    let attributes = try FileManager.default.attributesOfItem(atPath: file.path)
    #expect(attributes[.posixPermissions] as? Int == 0o600)
    try Data("no json\n\"good\"\n".utf8).write(to: URL(filePath: file.path))
    #expect(file.read() == ["good"])
  }
}
