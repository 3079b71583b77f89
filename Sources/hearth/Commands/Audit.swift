internal import ArgumentParser
internal import Chat
internal import Foundation
internal import Server

/// Who did what.
struct Audit: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show and verify the server's audit log.",
    discussion: """
      The log says who did what, never what was said. Each entry is chained to the one before by a hash.

      Examples:
        hearth audit verify
        hearth audit show --last 20
      """,
    subcommands: [Verify.self, ShowLog.self])

  /// Recomputes the chain.
  struct Verify: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Find out whether the log is what was written.",
      discussion: """
        Prints the hash of the last entry. Kept elsewhere, it shows later whether the log's end was cut off.

        Example:
          hearth audit verify
        """)
    @Flag(help: "Print JSON.") var json = false

    func run() throws {
      let verdict = try Storage(home: ModelStore().home).verifyAudit()
      if json { try JSONOutput.write(verdict) }
      if let place = verdict.broken_at {
        throw CommandError(
          "the audit log is not what was written from entry \(place) on; \(verdict.entries) entries before it are")
      }
      if !json { print("\(verdict.entries) entries are what was written; the last one's hash is \(verdict.head)") }
    }
  }

  /// Shows entries.
  struct ShowLog: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "show", abstract: "Show the latest entries.", discussion: "Example:\n  hearth audit show --last 20")
    @Option(help: "How many.") var last = 50

    func validate() throws {
      if last < 1 { throw ValidationError("--last \(last): expected at least 1") }
    }

    func run() throws {
      for line in try Storage(home: ModelStore().home).auditLines(last: last) { print(line) }
    }
  }
}
