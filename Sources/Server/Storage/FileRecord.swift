internal import Foundation
internal import GRDB

/// An uploaded file, as it is recorded. Its bytes lie in `files/` of the home folder: `path(ofFile:)`.
struct FileRecord: Sendable {
  let id: String
  /// The key that uploaded it; nobody else sees it.
  let owner: String
  let name: String
  let purpose: String
  let bytes: Int
  let created: Int
}

extension Storage {
  func add(_ file: FileRecord) throws(ServerError) {
    try change {
      try $0.execute(
        sql: "INSERT INTO file (id, owner, name, purpose, bytes, created) VALUES (?, ?, ?, ?, ?, ?)",
        arguments: [file.id, file.owner, file.name, file.purpose, file.bytes, file.created])
    }
  }

  /// The files of a key, the latest first.
  func files(of owner: String) throws(ServerError) -> [FileRecord] {
    try look {
      try Row.fetchAll($0, sql: "SELECT * FROM file WHERE owner = ? ORDER BY created DESC, id", arguments: [owner])
        .map(Storage.file)
    }
  }

  /// A file of a key; nil when there is none of this id, or it is another's.
  func file(_ id: String, of owner: String) throws(ServerError) -> FileRecord? {
    try look {
      try Row.fetchOne($0, sql: "SELECT * FROM file WHERE id = ? AND owner = ?", arguments: [id, owner]).map(
        Storage.file)
    }
  }

  /// Forgets a file, unless a job still needs it.
  ///
  /// - Returns: The job that does; nil when the file is forgotten.
  func removeFile(_ id: String) throws(ServerError) -> String? {
    try change { database in
      let job = try String.fetchOne(
        database,
        sql: """
          SELECT id FROM job WHERE (training_file = ?1 OR validation_file = ?1) AND status IN ('queued', 'running')
          """, arguments: [id])
      if job == nil { try database.execute(sql: "DELETE FROM file WHERE id = ?", arguments: [id]) }
      return job
    }
  }

  private static func file(_ row: Row) -> FileRecord {
    FileRecord(
      id: row["id"], owner: row["owner"], name: row["name"], purpose: row["purpose"], bytes: row["bytes"],
      created: row["created"])
  }
}
