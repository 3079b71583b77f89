internal import Glibc

/// Writes files that appear whole or not at all.
///
/// The bytes go to a hidden file in the same folder, which is flushed to the disk and then renamed
/// over the destination; the folder is flushed last, so that the rename itself survives a power
/// cut. If anything fails on the way, the hidden file is removed and the destination is as it was.
package enum AtomicFile {
  /// Writes `bytes` to the file at `path`, replacing what is there.
  ///
  /// - Parameters:
  ///   - bytes: The new contents.
  ///   - path: The destination; its folder must exist.
  ///   - permissions: The new file's permissions, before the process's mask. 0o600 for secrets.
  /// - Throws: `FileError` if the folder is missing or not writable, or the disk is full.
  package static func write(
    _ bytes: some Collection<UInt8>, to path: String, permissions: UInt32 = 0o666
  ) throws {
    let count = bytes.count
    try write(to: path, byteCount: count, permissions: permissions) { sink in
      let isContiguous: Void? = try bytes.withContiguousStorageIfAvailable { buffer in
        unsafe try sink.append(buffer.span.bytes)
      }
      if isContiguous == nil { try sink.append(Array(bytes)) }
    }
  }

  /// Writes `text` as UTF-8 to the file at `path`, replacing what is there.
  ///
  /// - Throws: `FileError` if the folder is missing or not writable, or the disk is full.
  package static func write(
    _ text: String, to path: String, permissions: UInt32 = 0o666
  ) throws {
    try write(Array(text.utf8), to: path, permissions: permissions)
  }

  /// Writes what `body` appends to the file at `path`, replacing what is there; memory does not
  /// grow with the file.
  ///
  /// - Parameters:
  ///   - path: The destination; its folder must exist.
  ///   - byteCount: The size, if known beforehand, so that a full disk shows at the start and not
  ///     after an hour.
  ///   - permissions: The new file's permissions, before the process's mask.
  ///   - body: Appends the contents in order.
  /// - Throws: `FileError` as above, or what `body` throws. Nothing is left behind then.
  package static func write(
    to path: String, byteCount: Int? = nil, permissions: UInt32 = 0o666,
    _ body: (inout ByteSink) throws -> Void
  ) throws {
    let folder = folder(of: path)
    let temporary = temporaryPath(for: path, in: folder)
    let flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC
    let descriptor = unsafe Glibc.open(temporary, flags, permissions)
    guard descriptor >= 0 else { throw FileError(path: path, action: "create", errno: errno) }
    do {
      defer { close(descriptor) }
      if let byteCount { try checkRoom(for: byteCount, descriptor, path: path) }
      var sink = ByteSink(descriptor: descriptor, path: path, expectedByteCount: byteCount)
      try body(&sink)
      try sink.finish()
      guard fsync(descriptor) == 0 else {
        throw FileError(path: path, action: "flush to the disk", errno: errno)
      }
    } catch {
      unsafe unlink(temporary)
      throw error
    }
    guard unsafe rename(temporary, path) == 0 else {
      let code = errno
      unsafe unlink(temporary)
      throw FileError(path: path, action: "replace", errno: code)
    }
    try flushFolder(folder)
  }

  /// Flushes a folder's list of names to the disk, after files in it were created, renamed or
  /// removed.
  ///
  /// - Throws: `FileError` if the folder cannot be opened or flushed.
  package static func flushFolder(_ path: String) throws(FileError) {
    let descriptor = unsafe Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { throw FileError(path: path, action: "open", errno: errno) }
    defer { close(descriptor) }
    // Some network file systems cannot flush folders and say so with EINVAL; nothing better exists
    // there.
    guard fsync(descriptor) == 0 || errno == EINVAL else {
      throw FileError(path: path, action: "flush to the disk", errno: errno)
    }
  }

  private static func folder(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  /// A hidden name nobody else uses: the process's number and 64 random bits.
  private static func temporaryPath(for path: String, in folder: String) -> String {
    let name = path.split(separator: "/").last.map(String.init) ?? "file"
    let random = String(UInt64.random(in: .min ... .max), radix: 36)
    // Names may have 255 bytes; the destination's own is only there for whoever finds a leftover.
    return joined(folder, ".\(name.prefix(40)).\(getpid()).\(random).partial")
  }

  /// Checks that the disk has room. Not a reservation: another program may still fill the disk,
  /// which then shows when it is written to.
  private static func checkRoom(
    for byteCount: Int, _ descriptor: Int32, path: String
  ) throws(FileError) {
    var status = statvfs()
    // No blocks at all: a virtual file system that does not count them.
    guard unsafe fstatvfs(descriptor, &status) == 0, status.f_blocks > 0, status.f_frsize > 0 else {
      return
    }
    let blockByteCount = UInt64(status.f_frsize)
    guard UInt64(byteCount) / blockByteCount > UInt64(status.f_bavail) else { return }
    let available = UInt64(status.f_bavail).multipliedReportingOverflow(by: blockByteCount)
    var error = FileError(
      path: path,
      problem: "needs \(byteCount) bytes, but the disk has only \(available.partialValue) left",
      advice: "Free space on the disk, or choose another folder")
    error.errno = ENOSPC
    throw error
  }
}
