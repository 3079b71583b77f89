internal import Engine
internal import Foundation
internal import GRDB

/// A file system has no room for what was to be kept. Nothing of it was: files appear whole or not at all, and so do transactions.
struct FullDisk: Error, Sendable, Equatable, CustomStringConvertible {
  /// Where the file system begins.
  let mount: String
  /// What is left for others than root, bytes; nil when that cannot be told.
  let left: Int?

  /// Which one, and what to do.
  var description: String {
    let rest = left.map { ": \($0 >> 10) KB are left, too little for this" } ?? ""
    return "the file system at \(mount) is full\(rest). Nothing was kept; free space there, then try again"
  }

  /// nil when an error means something else.
  ///
  /// - Parameter path: What was written.
  init?(_ error: any Error, at path: String) {
    let system = FileSystem(path)
    guard FullDisk.isOne(error, system) else { return nil }
    (mount, left) = (system.mount, system.left)
  }

  private static func isOne(_ error: any Error, _ system: FileSystem) -> Bool {
    switch error {
    case let error as FullDisk: error.mount == system.mount
    case let error as FileError: error.errno == ENOSPC || error.errno == EDQUOT
    case let error as DatabaseError:
      switch error.resultCode {
      case .SQLITE_FULL: true
      // A journal that cannot be made, or flushed. SQLite has many words for that, and the file system one.
      case .SQLITE_IOERR, .SQLITE_CANTOPEN: system.isFull
      default: false
      }
    case let error as CocoaError: error.code == .fileWriteOutOfSpace
    default: false
    }
  }

  /// The file system that a path is on.
  private struct FileSystem {
    let mount: String
    let left: Int?
    let isFull: Bool

    init(_ path: String) {
      // What was to be made may not be there; the folder that it was to be in is.
      var place = URL(filePath: path).standardizedFileURL
      while place.path != "/", !FileManager.default.fileExists(atPath: place.path) { place.deleteLastPathComponent() }
      place = place.resolvingSymlinksInPath()
      var status = statvfs()
      let isKnown = statvfs(place.path, &status) == 0 && status.f_blocks > 0
      left = isKnown ? Int(clamping: UInt64(status.f_bavail)) * Int(status.f_frsize) : nil
      isFull = isKnown && (status.f_bavail == 0 || (status.f_files > 0 && status.f_favail == 0))
      func device(_ place: URL) -> dev_t? {
        var status = stat()
        return stat(place.path, &status) == 0 ? status.st_dev : nil
      }
      let own = device(place)
      while place.path != "/", device(place.deletingLastPathComponent()) == own { place.deleteLastPathComponent() }
      mount = place.path
    }
  }
}

extension Storage {
  /// Changes the file in one transaction.
  ///
  /// - Throws: What `body` throws, `FullDisk`.
  func write<Value: Sendable>(_ body: @escaping @Sendable (Database) throws -> Value) async throws -> Value {
    do { return try await queue.write(body) } catch { throw FullDisk(error, at: path) ?? error }
  }
}
