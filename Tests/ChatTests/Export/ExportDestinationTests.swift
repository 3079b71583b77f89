import Foundation
import Testing

@testable import Chat

/// Where exports may go, and what is left when they fail.
@Suite("Export destination") struct ExportDestinationTests {
  /// An empty folder for one test.
  private func inFolder(_ use: (String) throws -> Void) throws {
    try withFile("kept", named: "model.gguf") { path in
      try use(URL(filePath: path).deletingLastPathComponent().standardizedFileURL.path)
    }
  }

  private func names(_ folder: String) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
  }

  @Test func aMissingFolderIsNamed() throws {
    let error = #expect(throws: ExportError.self) {
      try ExportDestination("/nowhere/at/all/x.gguf", isFolder: false, replaces: true, inputs: [])
    }
    #expect(error?.description.contains("/nowhere/at/all does not exist") == true)
  }

  @Test func nothingIsReplacedUnasked() throws {
    try inFolder { folder in
      let error = #expect(throws: ExportError.self) {
        try ExportDestination(folder + "/model.gguf", isFolder: false, replaces: false, inputs: [])
      }
      #expect(error?.description.contains("--force") == true)
      _ = try ExportDestination(folder + "/model.gguf", isFolder: false, replaces: true, inputs: [])
    }
  }

  @Test func theModelItselfIsNeverReplaced() throws {
    try inFolder { folder in
      let link = folder + "/link.gguf"
      try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: folder + "/model.gguf")
      for input in [folder + "/model.gguf", link] {
        #expect(throws: ExportError.self) {
          try ExportDestination(link, isFolder: false, replaces: true, inputs: [input])
        }
      }
      // Nor is the folder in which it lies.
      #expect(throws: ExportError.self) {
        try ExportDestination(folder, isFolder: true, replaces: true, inputs: [folder + "/model.gguf"])
      }
    }
  }

  @Test func foldersAndFilesAreNotMixedUp() throws {
    try inFolder { folder in
      #expect(throws: ExportError.self) { try ExportDestination(folder, isFolder: false, replaces: true, inputs: []) }
      #expect(throws: ExportError.self) {
        try ExportDestination(folder + "/model.gguf", isFolder: true, replaces: true, inputs: [])
      }
    }
  }

  @Test func aStrangersFolderIsNotDeleted() throws {
    try inFolder { folder in
      let error = #expect(throws: ExportError.self) {
        try ExportDestination(folder, isFolder: true, replaces: true, inputs: [])
      }
      #expect(error?.description.contains("model.gguf, which no export wrote") == true)
    }
  }

  @Test func foldersAppearWholeOrNotAtAll() throws {
    struct Failure: Error {}
    try inFolder { folder in
      let path = folder + "/out"
      let first = try ExportDestination(path, isFolder: true, replaces: false, inputs: [])
      #expect(throws: Failure.self) {
        try first.writeFolder { draft in
          try Data("half".utf8).write(to: URL(filePath: draft + "/config.json"))
          throw Failure()
        }
      }
      #expect(try names(folder) == ["model.gguf"])
      try first.writeFolder { try Data("one".utf8).write(to: URL(filePath: $0 + "/config.json")) }
      #expect(try names(folder) == ["model.gguf", "out"])

      let second = try ExportDestination(path, isFolder: true, replaces: true, inputs: [])
      #expect(throws: Failure.self) { try second.writeFolder { _ in throw Failure() } }
      #expect(try String(contentsOfFile: path + "/config.json", encoding: .utf8) == "one")
      try second.writeFolder { try Data("two".utf8).write(to: URL(filePath: $0 + "/config.json")) }
      #expect(try names(folder) == ["model.gguf", "out"])
      #expect(try String(contentsOfFile: path + "/config.json", encoding: .utf8) == "two")
    }
  }

  @Test func aDiskThatIsTooSmallIsSaidAhead() throws {
    try inFolder { folder in
      let place = try ExportDestination(folder + "/out", isFolder: true, replaces: false, inputs: [])
      let error = #expect(throws: ExportError.self) { try place.requireRoom(for: Int.max) }
      #expect(error?.description.contains("needs 9.2 EB, but the disk has only") == true)
      let free = try place.requireRoom(for: 1)
      #expect((free ?? 1) > 0)
      #expect(try names(folder) == ["model.gguf"])
    }
  }
}
