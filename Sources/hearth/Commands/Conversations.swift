internal import ArgumentParser
internal import Chat
internal import Foundation
internal import Server

/// What a server has stored.
struct Conversations: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Export, delete and encrypt conversations that a server stored.",
    discussion: """
      A server keeps a conversation only if it runs with --store-conversations and the request says "store": true.

      Examples:
        hearth conversations export chats.jsonl
        hearth conversations feedback pairs.jsonl --shape preference
        hearth conversations rotate --new-key key.txt
      """,
    subcommands: [ExportAll.self, Feedback.self, Delete.self, Rotate.self])

  /// Writes conversations.
  struct ExportAll: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "export", abstract: "Write stored conversations, one JSON object a line.",
      discussion: "Example:\n  hearth conversations export chats.jsonl --key phone")
    @Argument(help: "The file to write.") var file: String
    @OptionGroup var access: StoredAccess

    func run() async throws {
      let storage = try access.storage()
      let (rows, _) = try await storage.export(nil, owner: try access.owner(storage), to: file)
      print("\(file): \(rows) conversations")
    }
  }

  /// Writes what can be learned from feedback.
  struct Feedback: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Write what can be learned from feedback, for hearth finetune.",
      discussion: """
        messages: conversations with the answers that were liked or corrected. preference: pairs of a correction and the answer \
        that it replaces, for --objective dpo.

        Examples:
          hearth conversations feedback liked.jsonl
          hearth conversations feedback pairs.jsonl --shape preference
        """)
    @Argument(help: "The file to write.") var file: String
    @Option(help: "messages or preference.") var shape = Shape.messages
    @OptionGroup var access: StoredAccess

    /// What `--shape` takes.
    enum Shape: String, ExpressibleByArgument { case messages, preference }

    func run() async throws {
      let storage = try access.storage()
      let shape: FeedbackShape = shape == .messages ? .messages : .preference
      let (rows, others) = try await storage.export(shape, owner: try access.owner(storage), to: file)
      print("\(file): \(rows) rows" + (others == 0 ? "" : "; \(others) others give nothing to learn in this shape"))
    }
  }

  /// Deletes conversations.
  struct Delete: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Delete stored conversations with their feedback.",
      discussion: "Examples:\n  hearth conversations delete --key phone\n  hearth conversations delete --days 90")
    @Option(help: "Only this key's, by its name or id.") var key: String?
    @Option(help: "Only those that are older than so many days.") var days: Int?
    @Flag(help: "All of them, of all keys.") var all = false

    func validate() throws {
      if key == nil, days == nil, !all { throw ValidationError("give --key, --days or --all") }
      if let days, days < 0 { throw ValidationError("--days \(days): expected at least 0") }
    }

    func run() throws {
      let storage = try Storage(ModelStore())
      let owner = try key.map { try storage.owner($0) }
      print("\(try storage.removeConversations(of: owner, days: days)) conversations are deleted")
    }
  }

  /// Encrypts with another key.
  struct Rotate: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Encrypt stored conversations, with a first or another key, or no more.",
      discussion: """
        What the audit log holds of what was said is encrypted with the same key. All is written anew in one step; end the server before, and start it with the new key. A key is made with \
        (umask 077; openssl rand -hex 32 > key.txt). Copies made before hold what was written with the old key.

        Examples:
          hearth conversations rotate --new-key key.txt
          hearth conversations rotate --encryption-key key.txt --new-key next.txt
          hearth conversations rotate --encryption-key key.txt --plain
        """)
    @Option(help: "The file with the key of today, if there is one (default: $\(StorageKey.variable)).")
    var encryptionKey: String?
    @Option(help: "The file with the key from now on.") var newKey: String?
    @Flag(help: "Store them unencrypted from now on.") var plain = false

    func validate() throws {
      if (newKey != nil) == plain { throw ValidationError("give either --new-key FILE or --plain") }
    }

    func run() throws {
      let old = try encryptionKey.map { try StorageKey(file: $0) } ?? StorageKey.fromEnvironment()
      let new = try newKey.map { try StorageKey(file: $0) }
      let count = try Storage(ModelStore()).rotate(from: old, to: new)
      print("\(count) rows are written anew, \(new.map { "encrypted with the key \($0.id)" } ?? "unencrypted")")
    }
  }
}

/// How to read what is stored.
struct StoredAccess: ParsableArguments {
  @Option(help: "Only this key's, by its name or id.") var key: String?
  @Option(help: "The file with the key that they are encrypted with (default: $\(StorageKey.variable)).")
  var encryptionKey: String?

  /// The file in the home folder, ready to be read.
  func storage() throws -> Storage {
    let storage = try Storage(ModelStore())
    try storage.unlock(try encryptionKey.map { try StorageKey(file: $0) } ?? StorageKey.fromEnvironment())
    return storage
  }

  /// Whose conversations are meant; nil for everybody's.
  func owner(_ storage: Storage) throws -> String? { try key.map { try storage.owner($0) } }
}
