internal import ArgumentParser
internal import Chat
internal import Foundation
internal import Server

/// Who did what.
struct Audit: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show and verify the server's audit log.",
    discussion: """
      The log says who did what, and what was said only if the server runs with --audit-contents. Each entry is chained to the one \
      before by a hash.

      Examples:
        hearth audit verify
        hearth audit show --last 20
        hearth audit forget --days 90
      """,
    subcommands: [Verify.self, ShowLog.self, Forget.self])

  /// Recomputes the chain.
  struct Verify: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Find out whether the log is what was written.",
      discussion: """
        Prints the hash of the last entry. Kept elsewhere, it shows later whether the log's end was cut off. Contents that are \
        encrypted are looked at if their key is given.

        Example:
          hearth audit verify
        """)
    @OptionGroup var access: AuditAccess
    @Flag(help: "Print JSON.") var json = false

    func run() throws {
      let verdict = try Storage(ModelStore()).verifyAudit(try access.key())
      if json { try JSONOutput.write(verdict) }
      if let place = verdict.broken_at {
        throw CommandError(
          "the audit log is not what was written from entry \(place) on; \(verdict.entries) entries before it are")
      }
      if let place = verdict.contents_broken_at {
        throw CommandError(
          "what was said in entry \(place) of the audit log is not what was written, or was taken away; the entries are whole"
        )
      }
      if json { return }
      print("\(verdict.entries) entries are what was written; the last one's hash is \(verdict.head)")
      let checked = verdict.contents - verdict.contents_unchecked
      if checked > 0 { print("\(checked) contents are what was said") }
      if verdict.contents_removed > 0 {
        print("\(verdict.contents_removed) contents were removed (hearth audit forget)")
      }
      if verdict.contents_unchecked > 0 {
        print(
          "\(verdict.contents_unchecked) contents were not looked at: they are encrypted with another key than was given "
            + "(--encryption-key FILE)")
      }
    }
  }

  /// Shows entries.
  struct ShowLog: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "show", abstract: "Show the latest entries.",
      discussion: """
        Examples:
          hearth audit show --last 20
          hearth audit show --last 5 --contents --encryption-key key.txt
        """)
    @Option(help: "How many.") var last = 50
    @Flag(help: "Show what was asked and answered under entries that have it.") var contents = false
    @OptionGroup var access: AuditAccess

    func validate() throws {
      if last < 1 { throw ValidationError("--last \(last): expected at least 1") }
    }

    func run() throws {
      for line in try Storage(ModelStore()).auditLines(last: last, contents: contents, try access.key()) { print(line) }
    }
  }

  /// Removes contents.
  struct Forget: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Remove what was said from the log; who did what stays.",
      discussion: """
        Entries keep the hash of what was said, so the log can still be verified; the log says what was removed.

        Examples:
          hearth audit forget --days 90
          hearth audit forget --key phone
        """)
    @Option(help: "Only what this key said, by its name or id.") var key: String?
    @Option(help: "Only what is older than so many days.") var days: Int?
    @Flag(help: "All of it, of all keys.") var all = false

    func validate() throws {
      if key == nil, days == nil, !all { throw ValidationError("give --key, --days or --all") }
      if all, key != nil || days != nil { throw ValidationError("--all: drop it, or --key and --days") }
      if let days, days < 0 { throw ValidationError("--days \(days): expected at least 0") }
    }

    func run() throws {
      let storage = try Storage(ModelStore())
      let actor = try key.map { try storage.auditActor($0) }
      print("\(try storage.forgetAudit(of: actor, days: days)) contents are removed")
    }
  }
}

/// How to read contents.
struct AuditAccess: ParsableArguments {
  @Option(help: "The file with the key that contents are encrypted with (default: $\(StorageKey.variable)).")
  var encryptionKey: String?

  /// nil when none is given.
  func key() throws -> StorageKey? {
    try encryptionKey.map { try StorageKey(file: $0) } ?? StorageKey.fromEnvironment()
  }
}
