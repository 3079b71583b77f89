public import Chat
internal import Engine
internal import Foundation
internal import GRDB

extension Storage {
  /// What a copy holds.
  public struct Copied: Sendable, Equatable {
    /// Uploaded files with their bytes.
    public let files: Int
    /// Uploaded files whose bytes were not there to be copied.
    public let missing: [String]
  }

  /// Copies everything to another file, while the server runs: this file as it is at one moment, and the bytes of the uploaded files
  /// that it knows then. The copy appears whole or not at all, readable by its owner only.
  ///
  /// - Throws: `ServerError`.
  public func backUp(to path: String) throws(ServerError) -> Copied {
    guard !FileManager.default.fileExists(atPath: path) else { throw ServerError("\(path): is there already") }
    let arriving = path + ".partial"
    Storage.removeFile(at: arriving)
    defer { Storage.removeFile(at: arriving) }
    do {
      guard FileManager.default.createFile(atPath: arriving, contents: nil, attributes: [.posixPermissions: 0o600])
      else { throw ServerError(String(cString: strerror(errno))) }
      let copy = try DatabaseQueue(path: arriving)
      try queue.backup(to: copy)
      let missing = try packFiles(into: copy)
      let count = try copy.read { try Int.fetchOne($0, sql: "SELECT COUNT(*) FROM backup_file") ?? 0 }
      try copy.close()
      guard rename(arriving, path) == 0 else { throw ServerError(String(cString: strerror(errno))) }
      try AtomicFile.flushFolder(Storage.folder(of: path))
      return Copied(files: count, missing: missing)
    } catch let error as DatabaseError where error.resultCode == .SQLITE_FULL {
      // SQLite tells that of the copy, whose message is not at hand where the error is made.
      throw ServerError("\(path): cannot be written: the disk is full")
    } catch {
      throw ServerError("\(path): cannot be written: \(error)")
    }
  }

  /// Puts a copy in place of what is there. The uploaded files come first, under names of their own; then the file takes its place in
  /// one step. What was there is kept beside it, named by the time, and so are its uploaded files.
  ///
  /// - Returns: How many uploaded files the copy brought.
  /// - Throws: `ServerError` when a server runs, or the copy is damaged or written by a later version; what is there is as it was then.
  public static func restore(from path: String, to store: ModelStore) throws(ServerError) -> Int {
    guard FileManager.default.fileExists(atPath: path) else { throw ServerError("\(path): is not there") }
    let home = store.home
    let place = home.appending(path: name).path
    let arriving = place + ".restoring"
    let lock: HomeLock
    do throws(ServerError) { lock = try HomeLock(home, .alone) } catch {
      throw ServerError("\(error): end it first, or what it writes would be lost")
    }
    defer { withExtendedLifetime(lock) {} }
    removeFile(at: arriving)
    defer { removeFile(at: arriving) }
    do {
      try FileManager.default.copyItem(atPath: path, toPath: arriving)
      try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: arriving)
    } catch { throw ServerError("\(arriving): cannot be written: \(error)") }
    do {
      let copy = try Storage(path: arriving)
      let verdict = try copy.look { try String.fetchOne($0, sql: "PRAGMA integrity_check") }
      guard verdict == "ok" else { throw ServerError("is damaged: \(verdict ?? "unreadable")") }
      let count = try copy.unpackFiles()
      try copy.queue.close()
      try replace(place, with: arriving)
      return count
    } catch {
      let reason = "\(error)".replacing(arriving + ": ", with: "")
      throw ServerError("\(path): \(reason)")
    }
  }

  /// Gives a file the name of another, which is kept under a name with the time.
  private static func replace(_ place: String, with arriving: String) throws {
    if FileManager.default.fileExists(atPath: place) {
      // A write that was interrupted is undone by whoever opens the file next. What remains of it would undo it in the new file.
      try? DatabaseQueue(path: place).read { try $0.execute(sql: "SELECT COUNT(*) FROM sqlite_master") }
      var previous = place + ".before-\(Clock.seconds)"
      while FileManager.default.fileExists(atPath: previous) { previous += "-" }
      // A second name, not another one: at no moment there is nothing in place.
      if link(place, previous) != 0 { try FileManager.default.copyItem(atPath: place, toPath: previous) }
      if FileManager.default.fileExists(atPath: place + "-journal") {
        try FileManager.default.moveItem(atPath: place + "-journal", toPath: previous + "-journal")
      }
    }
    guard rename(arriving, place) == 0 else { throw ServerError("\(place): \(String(cString: strerror(errno)))") }
    try AtomicFile.flushFolder(folder(of: place))
  }

  private static func folder(of path: String) -> String {
    path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
  }

  /// Removes a file of SQLite's with what may lie beside it.
  private static func removeFile(at path: String) {
    for name in [path, path + "-journal"] { try? FileManager.default.removeItem(atPath: name) }
  }
}
