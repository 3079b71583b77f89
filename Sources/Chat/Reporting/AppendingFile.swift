internal import Glibc

/// A file that grows at its end, each piece in one write.
struct AppendingFile: ~Copyable {
  private let descriptor: Int32
  private let path: String

  /// Opens the file, making it where it does not exist.
  ///
  /// - Parameter isNew: fail when the file exists.
  /// - Throws: when the system refuses.
  init(path: String, isNew: Bool = false) throws(ReportingError) {
    self.path = path
    let flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | (isNew ? O_EXCL : 0)
    descriptor = open(path, flags, 0o644)
    guard descriptor >= 0 else { throw Self.failure(path, "open") }
  }

  deinit { close(descriptor) }

  /// Appends `bytes`, all of them.
  ///
  /// - Throws: when the disk is full or failing; a part may then have been written, which readers of both formats skip.
  func append(_ bytes: [UInt8]) throws(ReportingError) {
    var rest = bytes[...]
    while !rest.isEmpty {
      let written = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
      if written < 0 {
        if errno == EINTR { continue }
        throw Self.failure(path, "write")
      }
      rest = rest.dropFirst(written)
    }
  }

  /// Waits until the disk has it.
  func synchronize() throws(ReportingError) {
    guard fsync(descriptor) == 0 else { throw Self.failure(path, "flush to disk") }
  }

  /// Makes a new, moved or removed entry of `folder` survive a power cut.
  static func synchronize(folder: String) throws(ReportingError) {
    let descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { throw failure(folder, "open") }
    defer { close(descriptor) }
    guard fsync(descriptor) == 0 else { throw failure(folder, "flush to disk") }
  }

  /// Gives `from` the name `to` in one step.
  static func move(_ from: String, to: String) throws(ReportingError) {
    guard rename(from, to) == 0 else { throw failure(to, "replace") }
  }

  private static func failure(_ path: String, _ action: String) -> ReportingError {
    ReportingError(file: path, action: action, reason: String(cString: strerror(errno)))
  }
}
