internal import Engine
internal import Foundation

/// Where an export goes: checked before anything is written, and appearing there whole or not at all.
struct ExportDestination {
  let path: String
  private let isFolder: Bool

  /// - Parameters:
  ///   - replaces: Whether what is there may be replaced (`--force`).
  ///   - inputs: What the export is made of, and so never replaced.
  /// - Throws: `ExportError` when the place is taken or missing.
  init(_ path: String, isFolder: Bool, replaces: Bool, inputs: [String]) throws(ExportError) {
    let url = URL(filePath: path).standardizedFileURL
    self.path = url.path
    self.isFolder = isFolder
    let parent = url.deletingLastPathComponent().path
    var isDirectory: ObjCBool = false
    guard FileManager.default.fileExists(atPath: parent, isDirectory: &isDirectory), isDirectory.boolValue else {
      throw ExportError(
        "\(path): the folder \(parent) does not exist: make it first (mkdir -p), or choose another --output")
    }
    guard access(parent, W_OK) == 0 else {
      throw ExportError(
        "\(path): the folder \(parent) cannot be written to: \(String(cString: strerror(errno))): choose another --output"
      )
    }
    guard FileManager.default.fileExists(atPath: url.path, isDirectory: &isDirectory) else { return }
    let real = url.resolvingSymlinksInPath().path
    for input in inputs {
      let other = URL(filePath: input).standardizedFileURL.resolvingSymlinksInPath().path
      guard real != other, !other.hasPrefix(real + "/") else {
        throw ExportError("\(path): is what the model itself is made of: choose another --output")
      }
    }
    guard isDirectory.boolValue == isFolder else {
      throw ExportError(
        isFolder
          ? "\(path): is a file, but this format is a folder: choose another --output"
          : "\(path): is a folder, but this format is one file: give the file's name, as in \(path)/model.gguf")
    }
    guard replaces else {
      throw ExportError("\(path): exists already: choose another --output, or replace it with --force")
    }
    if isFolder { try ExportDestination.requireReplaceable(url.path) }
  }

  /// `--force` must not become a way to delete someone's folder: only what an export could have written is replaced.
  private static func requireReplaceable(_ folder: String) throws(ExportError) {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    for name in names.sorted() {
      var isDirectory: ObjCBool = false
      let isThere = FileManager.default.fileExists(atPath: folder + "/" + name, isDirectory: &isDirectory)
      let isOurs =
        [".json", ".safetensors", ".jinja", ".txt", ".md"].contains { name.hasSuffix($0) } || name == "LICENSE"
      guard !isThere || (!isDirectory.boolValue && isOurs) else {
        throw ExportError(
          "\(folder): holds \(name), which no export wrote, so it is not replaced: choose another --output, or remove it "
            + "yourself")
      }
    }
  }

  /// Checks that the disk has room for `byteCount`.
  ///
  /// - Returns: The bytes that are free; nil where the system does not say.
  /// - Throws: `ExportError` with both numbers.
  @discardableResult
  func requireRoom(for byteCount: Int) throws(ExportError) -> Int? {
    let parent = URL(filePath: path).deletingLastPathComponent().path
    guard let attributes = try? FileManager.default.attributesOfFileSystem(forPath: parent),
      let free = (attributes[.systemFreeSize] as? NSNumber)?.intValue, free >= 0
    else { return nil }
    guard byteCount <= free else {
      throw ExportError(
        "\(path): needs \(ByteText.of(byteCount)), but the disk has only \(ByteText.of(free)) left: free some space, or "
          + "choose another --output or a smaller --type")
    }
    return free
  }

  /// A hidden name beside the place.
  private func hidden(_ ending: String) -> String {
    let url = URL(filePath: path)
    let mark = "\(ProcessInfo.processInfo.processIdentifier).\(UInt32.random(in: 0 ... .max))"
    return url.deletingLastPathComponent().appending(path: ".\(url.lastPathComponent.prefix(40)).\(mark)\(ending)").path
  }

  /// Writes a file under a hidden name beside its place, then puts it there.
  ///
  /// - Parameters:
  ///   - ending: Of the hidden name.
  ///   - body: Writes the file it is given the path of, and may look at it before it counts.
  func writeFile(named ending: String, _ body: (_ file: String) throws -> Void) throws {
    let draft = hidden(ending)
    do {
      try body(draft)
      try move(draft, to: path)
    } catch {
      try? FileManager.default.removeItem(atPath: draft)
      throw error
    }
    try AtomicFile.flushFolder(URL(filePath: path).deletingLastPathComponent().path)
  }

  /// Writes a folder under a hidden name beside its place, then puts it there.
  ///
  /// - Parameter body: Writes everything into the folder it is given.
  func writeFolder(_ body: (_ folder: String) throws -> Void) throws {
    let manager = FileManager.default
    let parent = URL(filePath: path).deletingLastPathComponent()
    let (draft, old) = (hidden(".partial"), hidden(".old"))
    do {
      try manager.createDirectory(atPath: draft, withIntermediateDirectories: false)
    } catch {
      throw ExportError("\(path): cannot be made: \(error.localizedDescription)")
    }
    do {
      try body(draft)
      try AtomicFile.flushFolder(draft)
      let isTaken = manager.fileExists(atPath: path)
      if isTaken { try move(path, to: old) }
      do {
        try move(draft, to: path)
      } catch {
        if isTaken { try move(old, to: path) }
        throw error
      }
    } catch {
      try? manager.removeItem(atPath: draft)
      throw error
    }
    try? manager.removeItem(atPath: old)
    try AtomicFile.flushFolder(parent.path)
  }

  private func move(_ source: String, to target: String) throws(ExportError) {
    guard rename(source, target) == 0 else {
      throw ExportError("\(target): cannot be put in place: \(String(cString: strerror(errno)))")
    }
  }

  /// The files that were written, with their sizes.
  var files: [ExportResult.File] {
    let names = isFolder ? ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted() : [""]
    return names.map { name in
      let file = name.isEmpty ? path : path + "/" + name
      let size = (try? FileManager.default.attributesOfItem(atPath: file))?[.size] as? Int
      return ExportResult.File(name: name.isEmpty ? URL(filePath: path).lastPathComponent : name, bytes: size ?? 0)
    }
  }
}

/// Sizes for people.
public enum ByteText {
  /// "98.4 MB".
  public static func of(_ count: Int) -> String {
    var (value, unit) = (Double(count), 0)
    let units = ["bytes", "kB", "MB", "GB", "TB", "PB", "EB"]
    while value >= 1000, unit < units.count - 1 { (value, unit) = (value / 1000, unit + 1) }
    return unit == 0 ? "\(count) bytes" : String(format: "%.1f %@", value, units[unit])
  }
}
