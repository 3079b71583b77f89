internal import Chat
internal import Crypto
internal import Engine
internal import Foundation
internal import GRDB

// Uploaded files lie beside the file, in `files/`, and within a copy in tables that only copies have: `backup_file` says what there
// is, `backup_part` has the bytes in pieces, so that neither side holds more than one in memory.
extension Storage {
  private static let partByteCount = 1 << 20

  /// Where the bytes of an uploaded file lie. Ids are made by the server, so that no path comes from outside.
  func path(ofFile id: String) -> String { folderOfFiles + "/\(id).jsonl" }

  private var folderOfFiles: String {
    URL(filePath: path).deletingLastPathComponent().appending(path: "files").path
  }

  /// Makes the folder of uploaded files, for its owner's eyes only.
  func makeFolderOfFiles() throws {
    try FileManager.default.createDirectory(
      atPath: folderOfFiles, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
  }

  /// Puts the bytes of all files that a copy knows into it.
  ///
  /// - Returns: The names of those whose bytes are not there.
  func packFiles(into copy: DatabaseQueue) throws -> [String] {
    try copy.write { database in
      try database.execute(
        sql: """
          CREATE TABLE backup_file (id TEXT PRIMARY KEY, bytes INTEGER NOT NULL, hash BLOB NOT NULL) STRICT;
          CREATE TABLE backup_part (
            id TEXT NOT NULL, number INTEGER NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (id, number)
          ) STRICT;
          """)
      var missing: [String] = []
      for id in try String.fetchAll(database, sql: "SELECT id FROM file ORDER BY id") {
        guard let file = FileHandle(forReadingAtPath: path(ofFile: id)) else {
          // Deleted since the copy was made: then it is deleted there, too.
          if try look({ try Row.fetchOne($0, sql: "SELECT 1 FROM file WHERE id = ?", arguments: [id]) }) == nil {
            try database.execute(sql: "DELETE FROM file WHERE id = ?", arguments: [id])
          } else {
            missing.append(id)
          }
          continue
        }
        var (hash, byteCount, number) = (SHA256(), 0, 0)
        while let part = try file.read(upToCount: Storage.partByteCount), !part.isEmpty {
          hash.update(data: part)
          byteCount += part.count
          try database.execute(
            sql: "INSERT INTO backup_part (id, number, bytes) VALUES (?, ?, ?)", arguments: [id, number, part])
          number += 1
        }
        try database.execute(
          sql: "INSERT INTO backup_file (id, bytes, hash) VALUES (?, ?, ?)",
          arguments: [id, byteCount, Data(hash.finalize())])
      }
      return missing
    }
  }

  /// Takes the files out of this copy and puts them where uploaded files lie.
  ///
  /// - Returns: How many there are; none in copies of versions that left them out.
  /// - Throws: `ServerError` when one is not what was put in, `FileError`.
  func unpackFiles() throws -> Int {
    guard try look({ try $0.tableExists("backup_file") }) else { return 0 }
    let count = try queue.read { database in
      let rows = try Row.fetchAll(database, sql: "SELECT id, bytes, hash FROM backup_file ORDER BY id")
      if !rows.isEmpty { try makeFolderOfFiles() }
      for row in rows { try unpack(row["id"], byteCount: row["bytes"], hash: row["hash"], database) }
      return rows.count
    }
    try change { try $0.execute(sql: "DROP TABLE backup_part; DROP TABLE backup_file") }
    try queue.vacuum()
    return count
  }

  private func unpack(_ id: String, byteCount: Int, hash: Data, _ database: Database) throws {
    // A copy may come from anywhere.
    guard Identifier.isOne(id, "file") else { throw ServerError("is damaged: a file is called \(id.withoutControls)") }
    let path = path(ofFile: id)
    if try Storage.hash(ofFileAt: path) == hash { return }
    try AtomicFile.write(to: path, byteCount: byteCount, permissions: 0o600) { sink in
      var sum = SHA256()
      let parts = try Data.fetchCursor(
        database, sql: "SELECT bytes FROM backup_part WHERE id = ? ORDER BY number", arguments: [id])
      while let part = try parts.next() {
        sum.update(data: part)
        try sink.append(Array(part))
      }
      guard sink.byteCount == byteCount, Data(sum.finalize()) == hash else {
        throw ServerError("is damaged: the bytes of \(id) are not those that were copied")
      }
    }
  }

  /// nil when there is no file.
  private static func hash(ofFileAt path: String) throws -> Data? {
    guard let file = FileHandle(forReadingAtPath: path) else { return nil }
    var hash = SHA256()
    while let part = try file.read(upToCount: partByteCount), !part.isEmpty { hash.update(data: part) }
    return Data(hash.finalize())
  }
}
