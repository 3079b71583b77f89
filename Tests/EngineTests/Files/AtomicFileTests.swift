import Foundation
import Testing

@testable import Engine

@Suite("Atomic files")
struct AtomicFileTests {
  private struct Interruption: Error {}

  @Test func writesAndReplaces() throws {
    let folder = try TemporaryFolder()
    let path = "\(folder.path)/note"
    try AtomicFile.write("first, rather longer", to: path)
    try AtomicFile.write("second", to: path, permissions: 0o600)
    #expect(try String(contentsOfFile: path, encoding: .utf8) == "second")
    let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions]
    #expect(mode as? Int == 0o600)
    try AtomicFile.write(Data([1, 2, 3]), to: path)
    try AtomicFile.write([1, 2].lazy.map { UInt8($0) }, to: path)
    #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == Data([1, 2]))
    #expect(try folder.names == ["note"])
  }

  @Test func keepsTheOldFileWhenWritingFails() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write("old", as: "note")
    #expect(throws: Interruption.self) {
      try AtomicFile.write(to: path) { sink in
        try sink.append([UInt8](repeating: 1, count: 1 << 20))
        throw Interruption()
      }
    }
    #expect(try String(contentsOfFile: path, encoding: .utf8) == "old")
    #expect(try folder.names == ["note"])
  }

  @Test func namesTheBytesThatDoNotFit() throws {
    let folder = try TemporaryFolder()
    let needed = 1 << 60
    let error = #expect(throws: FileError.self) {
      try AtomicFile.write(to: "\(folder.path)/huge", byteCount: needed) { _ in }
    }
    #expect(error?.description.contains("\(needed) bytes") == true)
    #expect(try folder.names == [])
  }

  /// `HEARTH_TEST_FULL_DISK` names a folder on a disk of at most 1 MB.
  @Test(.enabled(if: ProcessInfo.processInfo.environment["HEARTH_TEST_FULL_DISK"] != nil))
  func leavesNothingOnAFullDisk() throws {
    let folder = try #require(ProcessInfo.processInfo.environment["HEARTH_TEST_FULL_DISK"])
    let error = #expect(throws: FileError.self) {
      try AtomicFile.write(to: "\(folder)/big") { sink in
        for _ in 0..<64 { try sink.append([UInt8](repeating: 7, count: 1 << 16)) }
      }
    }
    #expect(error?.description.contains("No space left") == true)
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == [])
  }

  @Test func explainsWhatStandsInTheWay() throws {
    let folder = try TemporaryFolder()
    let missing = #expect(throws: FileError.self) {
      try AtomicFile.write("x", to: "\(folder.path)/no/such/folder")
    }
    #expect(missing?.description.contains("No such file or directory") == true)
    try FileManager.default.createDirectory(
      atPath: "\(folder.path)/taken", withIntermediateDirectories: false)
    #expect(throws: FileError.self) { try AtomicFile.write("x", to: "\(folder.path)/taken") }
    #expect(try folder.names == ["taken"])
  }

  @Test func largeAndSmallPiecesKeepTheirOrder() throws {
    let folder = try TemporaryFolder()
    let path = "\(folder.path)/pieces"
    var expected: [UInt8] = []
    try AtomicFile.write(to: path) { sink in
      for (index, size) in [1, 1 << 18, 3, (1 << 18) - 1, 1 << 19, 5].enumerated() {
        let piece = [UInt8](repeating: UInt8(index), count: size)
        expected += piece
        try sink.append(piece)
      }
      #expect(sink.byteCount == expected.count)
    }
    #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == Data(expected))
  }
}
