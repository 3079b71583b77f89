internal import ArgumentParser
internal import Chat
internal import Foundation
internal import Server

/// Keys of the server.
struct Keys: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "key", abstract: "Make, list and end keys of the server.",
    discussion: """
      Examples:
        hearth key create --name phone --scope chat
        hearth key create --name desk --scope chat,embed --rate 60 --models smollm2
        hearth key list
        hearth key revoke phone
      """,
    subcommands: [Create.self, List.self, Revoke.self])

  /// Makes a key.
  struct Create: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Make a key. It is shown once; only its hash is kept.",
      discussion: """
        Scopes: chat (ask models), embed (embeddings), train (files and fine-tuning), admin (load and unload models), metrics.

        A key with --models asks these models and what its own fine-tuning jobs make; it is shown no others.

        Example:
          hearth key create --name phone --scope chat
        """)
    @Option(help: "What to call it.") var name: String
    @Option(help: "What it may be used for, several with commas: chat, embed, train, admin, metrics.") var scope: String
    @Option(help: "Requests a minute (default: any number).") var rate: Int?
    @Option(help: "Tokens read and written a day (default: any number).") var tokensPerDay: Int?
    @Option(help: "Models that it may ask, several with commas, beside what its own jobs make (default: any).")
    var models: String?
    @Flag(help: "Print JSON.") var json = false

    func validate() throws {
      if let rate, rate < 1 { throw ValidationError("--rate \(rate): expected at least 1") }
      if let tokensPerDay, tokensPerDay < 1 {
        throw ValidationError("--tokens-per-day \(tokensPerDay): expected at least 1")
      }
    }

    func run() throws {
      let storage = try Storage(ModelStore())
      let scopes = scope.split(separator: ",").map(String.init)
      let models = models?.split(separator: ",").map(String.init)
      let made = try storage.createKey(
        name: name, scopes: scopes, requestsPerMinute: rate, tokensPerDay: tokensPerDay, models: models)
      if json { return try JSONOutput.write(["id": made.record.id, "name": name, "key": made.secret]) }
      StandardError.write("\(name) may: \(scopes.joined(separator: ", ")). This is the only time the key is shown:\n")
      print(made.secret)
    }
  }

  /// Lists keys.
  struct List: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "List keys, without their secrets.", discussion: "Example:\n  hearth key list")
    @Flag(help: "Print JSON.") var json = false

    func run() throws {
      let keys = try Storage(ModelStore()).keys()
      if json { return try JSONOutput.write(keys) }
      if keys.isEmpty { print("There are no keys: on this machine none is needed, elsewhere hearth serve wants one.") }
      for key in keys {
        let limits = [
          key.models.map { "models " + $0.joined(separator: ",") },
          key.requests_per_minute.map { "\($0) requests a minute" }, key.tokens_per_day.map { "\($0) tokens a day" },
        ].compactMap { $0 }
        print(
          "\(key.id)  \(key.name)  \(key.scopes.joined(separator: ","))"
            + (limits.isEmpty ? "" : "  " + limits.joined(separator: ", ")) + (key.revoked == nil ? "" : "  revoked"))
      }
    }
  }

  /// Ends a key.
  struct Revoke: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "End a key; running servers refuse it from the next request on.",
      discussion: "Example:\n  hearth key revoke phone")
    @Argument(help: "The key's name or id.") var key: String

    func run() throws {
      let record = try Storage(ModelStore()).revokeKey(key)
      print("\(record.name) (\(record.id)) is revoked")
    }
  }
}
