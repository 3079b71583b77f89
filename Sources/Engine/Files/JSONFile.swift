internal import Glibc

/// Looks into folders, and reads JSON files of bounded size.
enum JSONFile {
  /// Whether something is at `path`, of whatever kind.
  static func exists(_ path: String) -> Bool {
    // `access` would also be false for a file that may not be read, and hide the reason.
    var status = stat()
    return unsafe lstat(path, &status) == 0
  }

  /// Whether `path` is a folder, or a link to one.
  static func isFolder(_ path: String) -> Bool {
    var status = stat()
    return unsafe stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }

  /// The names in the folder at `path`.
  static func names(in path: String) throws(CheckpointError) -> [String] {
    guard let folder = unsafe opendir(path) else {
      throw CheckpointError(FileError(path: path, action: "list", errno: errno))
    }
    defer { unsafe closedir(folder) }
    var names: [String] = []
    while let entry = unsafe readdir(folder) {
      let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { pointer in
        unsafe pointer.withMemoryRebound(to: CChar.self, capacity: 256) {
          unsafe String(cString: $0)
        }
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names
  }

  /// The object in the file at `path`.
  ///
  /// - Throws: `CheckpointError` if it cannot be read, is larger than allowed, or is not a JSON
  ///   object.
  static func readObject(
    _ path: String, maximumByteCount: Int
  ) throws(CheckpointError) -> JSONObject {
    let mapping = try SharedMapping(path: path)
    guard mapping.file.byteCount > 0 else {
      throw CheckpointError(.truncated, file: path, "is empty (0 bytes)")
    }
    guard mapping.file.byteCount <= maximumByteCount else {
      throw CheckpointError(
        .malformed, file: path, "is too large", expected: "at most \(maximumByteCount) bytes",
        found: "\(mapping.file.byteCount)")
    }
    let value = try JSONParser.parse(mapping.bytes, file: path)
    guard case .object(let object) = value else {
      throw CheckpointError(
        .malformed, file: path, "does not hold an object", expected: "an object",
        found: value.typeName)
    }
    return object
  }
}
