internal import ArgumentParser
internal import Chat
internal import Foundation
internal import Server

/// Copies of what the server keeps.
struct Backup: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Copy what the server keeps: keys, usage, audit log, jobs.",
    discussion: """
      A server may run meanwhile: the copy is of one moment. Models and run folders are not in it.

      Examples:
        hearth backup hearth-2026-01-31.sqlite
        hearth backup --restore hearth-2026-01-31.sqlite
      """)
  @Argument(help: "The file to write, or with --restore to read.") var file: String
  @Flag(help: "Put the copy in place of what is there; no server may run.") var restore = false

  func run() throws {
    let home = ModelStore().home
    if restore {
      try Storage.restore(from: file, home: home)
      print("what \(file) holds is in place")
    } else {
      try Storage(home: home).backUp(to: file)
      print("\(file) is written")
    }
  }
}
