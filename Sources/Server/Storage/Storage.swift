public import Chat
internal import Foundation
internal import GRDB
internal import Synchronization

/// What a server keeps, in one SQLite file: keys, what they have used, who did what, uploaded files, jobs, and conversations
/// whose owners asked for it.
///
/// The rollback journal, not the write-ahead log: SQLite before 3.51.3 can corrupt the latter when two processes write, and
/// Linux distributions have such versions. Several processes may use the file at once (a server, `hearth key`).
public final class Storage: Sendable {
  let queue: DatabaseQueue
  /// What contents are encrypted with; nil when they are not.
  let cipher = Mutex<ContentCipher?>(nil)
  /// Where the file is.
  public let path: String

  /// Opens the file, which is made if it is not there, readable by its owner only.
  ///
  /// - Throws: `ServerError` when it cannot be opened, is damaged, or was written by a later version.
  public init(path: String) throws(ServerError) {
    self.path = path
    do {
      let folder = URL(filePath: path).deletingLastPathComponent().path
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
      if !FileManager.default.fileExists(atPath: path) {
        guard FileManager.default.createFile(atPath: path, contents: nil, attributes: [.posixPermissions: 0o600]) else {
          throw ServerError("cannot be created")
        }
      }
      var configuration = Configuration()
      configuration.busyMode = .timeout(5)
      configuration.prepareDatabase { database in
        try database.execute(
          sql: """
            PRAGMA journal_mode = DELETE;
            PRAGMA synchronous = FULL;
            PRAGMA trusted_schema = OFF;
            PRAGMA cell_size_check = ON;
            PRAGMA secure_delete = ON;
            """)
      }
      queue = try DatabaseQueue(path: path, configuration: configuration)
      let migrator = Storage.migrator
      if try queue.read({ try migrator.hasBeenSuperseded($0) }) { throw Later() }
      try migrator.migrate(queue)
    } catch is Later {
      throw ServerError(
        "\(path): was written by a later version of Hearth, and is left as it is: use that version, or restore a copy that this one "
          + "made (hearth backup --restore)")
    } catch {
      if let full = FullDisk(error, at: path) { throw ServerError(path, full) }
      throw ServerError("\(path): \(error): check the file, or restore it from a backup")
    }
  }

  /// The file of a store's home folder.
  public convenience init(_ store: ModelStore) throws(ServerError) { try self.init(home: store.home) }

  convenience init(home: URL) throws(ServerError) {
    try self.init(path: home.appending(path: Storage.name).path)
  }

  /// The file knows migrations that this version does not.
  private struct Later: Error {}

  /// What the file is called.
  static let name = "hearth.sqlite"

  static var migrator: DatabaseMigrator {
    var migrator = DatabaseMigrator()
    migrator.registerMigration("1 keys, usage, audit") { database in
      try database.execute(
        sql: """
          CREATE TABLE key (
            id TEXT PRIMARY KEY, name TEXT NOT NULL, hash BLOB NOT NULL UNIQUE, scopes TEXT NOT NULL,
            requests_per_minute INTEGER, tokens_per_day INTEGER, created REAL NOT NULL, revoked REAL
          ) STRICT;
          CREATE UNIQUE INDEX key_name ON key (name) WHERE revoked IS NULL;
          CREATE TABLE usage (
            key TEXT NOT NULL, day TEXT NOT NULL, model TEXT NOT NULL, requests INTEGER NOT NULL,
            prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, PRIMARY KEY (key, day, model)
          ) STRICT;
          CREATE TABLE audit (
            number INTEGER PRIMARY KEY, time REAL NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL,
            object TEXT NOT NULL, outcome TEXT NOT NULL, hash BLOB NOT NULL
          ) STRICT;
          CREATE TRIGGER audit_keeps BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log only grows'); END;
          CREATE TRIGGER audit_stays BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log only grows'); END;
          """)
    }
    migrator.registerMigration("2 files, jobs") { database in
      try database.execute(
        sql: """
          CREATE TABLE file (
            id TEXT PRIMARY KEY, owner TEXT NOT NULL, name TEXT NOT NULL, purpose TEXT NOT NULL, bytes INTEGER NOT NULL,
            created INTEGER NOT NULL
          ) STRICT;
          CREATE TABLE job (
            id TEXT PRIMARY KEY, owner TEXT NOT NULL, model TEXT NOT NULL, model_path TEXT NOT NULL,
            tuned_name TEXT NOT NULL, training_file TEXT NOT NULL, validation_file TEXT, epochs INTEGER, batch_size INTEGER,
            learning_rate_multiplier REAL, seed INTEGER NOT NULL, created INTEGER NOT NULL, status TEXT NOT NULL,
            finished INTEGER, error TEXT, trained_tokens INTEGER NOT NULL
          ) STRICT;
          CREATE TABLE job_event (
            job TEXT NOT NULL, number INTEGER NOT NULL, time INTEGER NOT NULL, level TEXT NOT NULL, message TEXT NOT NULL,
            data TEXT, PRIMARY KEY (job, number)
          ) STRICT;
          """)
    }
    migrator.registerMigration("3 conversations, feedback") { database in
      try database.execute(
        sql: """
          CREATE TABLE conversation (
            number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL, model TEXT NOT NULL,
            created INTEGER NOT NULL, key_id TEXT, content BLOB NOT NULL
          ) STRICT;
          CREATE INDEX conversation_owner ON conversation (owner);
          CREATE TABLE feedback (
            number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL,
            conversation TEXT NOT NULL REFERENCES conversation (id) ON DELETE CASCADE, choice INTEGER NOT NULL,
            created INTEGER NOT NULL, key_id TEXT, content BLOB NOT NULL, UNIQUE (conversation, choice)
          ) STRICT;
          CREATE INDEX feedback_owner ON feedback (owner);
          CREATE TABLE encryption (id INTEGER PRIMARY KEY CHECK (id = 1), key_id TEXT NOT NULL, proof BLOB NOT NULL) STRICT;
          """)
    }
    migrator.registerMigration("4 contents of the audit log") { database in
      // They change hands and go while the entries stay, so they lie apart.
      try database.execute(
        sql: """
          ALTER TABLE audit ADD COLUMN content_hash BLOB;
          CREATE TABLE audit_content (
            number INTEGER PRIMARY KEY REFERENCES audit (number), key_id TEXT, content BLOB NOT NULL
          ) STRICT;
          """)
    }
    migrator.registerMigration("5 models of keys") { database in
      try database.execute(sql: "ALTER TABLE key ADD COLUMN models TEXT")
    }
    return migrator
  }
}
