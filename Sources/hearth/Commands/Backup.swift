internal import ArgumentParser
internal import Chat
internal import Foundation
internal import Server

/// Copies of what the server keeps.
struct Backup: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Copy what the server keeps: keys, usage, audit log, files, jobs, conversations.",
    discussion: """
      A server may run meanwhile: the copy is of one moment. Uploaded files are in it; models and run folders are not.

      Examples:
        hearth backup hearth-2026-01-31.sqlite
        hearth backup --restore hearth-2026-01-31.sqlite
      """)
  @Argument(help: "The file to write, or with --restore to read.") var file: String
  @Flag(help: "Put the copy in place of what is there; no server may run.") var restore = false

  func run() throws {
    if restore {
      let count = try Storage.restore(from: file, to: ModelStore())
      print("what \(file) holds is in place" + (count == 0 ? "" : ", with \(count) uploaded files"))
    } else {
      let copied = try Storage(ModelStore()).backUp(to: file)
      print("\(file) is written" + (copied.files == 0 ? "" : ", with \(copied.files) uploaded files"))
      if !copied.missing.isEmpty {
        StandardError.write(
          "not in it, as their bytes are not here any more: \(copied.missing.joined(separator: ", "))\n")
      }
    }
  }
}
