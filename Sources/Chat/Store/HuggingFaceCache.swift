internal import Foundation

/// The cache that Hugging Face's tools share, used in place.
///
/// `HF_HUB_CACHE`, else `HF_HOME/hub`, else `~/.cache/huggingface/hub`; in it, for each repository:
///
///     models--ORG--REPO/blobs/ETAG                   contents, or ETAG.incomplete on the way
///     models--ORG--REPO/snapshots/REVISION/FILE      links to blobs
///     models--ORG--REPO/refs/main                    the revision of the branch
///     .locks/models--ORG--REPO/ETAG.lock             held while a blob is fetched
struct HuggingFaceCache: Sendable {
  let folder: URL
  /// `HF_HOME`.
  let home: URL

  init(environment: [String: String] = ProcessInfo.processInfo.environment) {
    func set(_ key: String) -> URL? { environment[key].flatMap { $0.isEmpty ? nil : URL(filePath: $0) } }
    home =
      set("HF_HOME") ?? FileManager.default.homeDirectoryForCurrentUser.appending(path: ".cache/huggingface")
    folder = set("HF_HUB_CACHE") ?? home.appending(path: "hub")
  }

  init(folder: URL) {
    self.folder = folder
    home = folder.deletingLastPathComponent()
  }

  /// Where `hf:org/repo[/file]` lies; nil when it is not in the cache.
  func path(of name: String) -> String? {
    guard let reference = HuggingFaceReference(name) else { return nil }
    let file = repository(reference).appending(path: "refs/main")
    guard let data = FileManager.default.contents(atPath: file.path) else { return nil }
    let revision = String(decoding: data, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    guard HuggingFaceReference.isPlainName(revision) else { return nil }
    var snapshot = repository(reference).appending(path: "snapshots/\(revision)")
    if let file = reference.file { snapshot.append(path: file) }
    return FileManager.default.fileExists(atPath: snapshot.path) ? snapshot.path : nil
  }

  /// The folder of a repository.
  func repository(_ reference: HuggingFaceReference) -> URL {
    folder.appending(path: "models--\(reference.organisation)--\(reference.repository)")
  }

  /// Where a blob lies.
  func blob(_ tag: String, of reference: HuggingFaceReference) -> URL {
    repository(reference).appending(path: "blobs/\(tag)")
  }

  /// Where a file of a revision lies.
  func snapshot(_ revision: String, _ file: String, of reference: HuggingFaceReference) -> URL {
    repository(reference).appending(path: "snapshots/\(revision)/\(file)")
  }

  /// Holds a blob for this process, as Hugging Face's tools do, until the value is dropped.
  func lock(
    _ tag: String, of reference: HuggingFaceReference, waiting: () throws(StoreError) -> Void
  ) throws(StoreError) -> FileLock {
    let folder = folder.appending(path: ".locks/models--\(reference.organisation)--\(reference.repository)")
    return try FileLock(folder.appending(path: "\(tag).lock"), waiting: waiting)
  }

  /// Lets a file of a revision refer to a blob.
  func link(_ file: String, revision: String, tag: String, of reference: HuggingFaceReference) throws(StoreError) {
    let place = snapshot(revision, file, of: reference)
    let up = String(repeating: "../", count: file.split(separator: "/").count + 1)
    let draft = place.path + ".\(getpid()).link"
    do {
      try FileManager.default.createDirectory(
        at: place.deletingLastPathComponent(), withIntermediateDirectories: true)
    } catch {
      throw StoreError("\(place.path): cannot be made: \(error.localizedDescription)")
    }
    unlink(draft)
    guard symlink("\(up)blobs/\(tag)", draft) == 0, rename(draft, place.path) == 0 else {
      let reason = String(cString: strerror(errno))
      unlink(draft)
      throw StoreError("\(place.path): cannot be made: \(reason)")
    }
  }
}

/// `hf:org/repo` or `hf:org/repo/path/of/file`.
struct HuggingFaceReference: Sendable, Equatable, CustomStringConvertible {
  let organisation: String
  let repository: String
  let file: String?

  init?(_ text: String) {
    guard text.hasPrefix("hf:") else { return nil }
    let parts = text.dropFirst(3).split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    guard parts.count >= 2, parts.allSatisfy(HuggingFaceReference.isPlainName) else { return nil }
    (organisation, repository) = (parts[0], parts[1])
    file = parts.count > 2 ? parts.dropFirst(2).joined(separator: "/") : nil
  }

  var description: String { "hf:\(organisation)/\(repository)" + (file.map { "/" + $0 } ?? "") }

  /// Whether `text` is one plain component of a path: nothing that leads elsewhere.
  static func isPlainName(_ text: String) -> Bool {
    !text.isEmpty && text != "." && text != ".." && text.utf8.count <= 255
      && text.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7F && $0 != "/" && $0 != "\\" }
  }
}

/// A lock that other processes see, freed with the value or the process.
final class FileLock {
  private let descriptor: Int32

  /// Waits until nobody else holds it.
  ///
  /// - Parameter waiting: Called while somebody else does; throws to give up.
  init(_ file: URL, waiting: () throws(StoreError) -> Void) throws(StoreError) {
    try? FileManager.default.createDirectory(
      at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
    descriptor = open(file.path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else {
      throw StoreError("\(file.path): cannot be written: \(String(cString: strerror(errno)))")
    }
    do throws(StoreError) {
      while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
        try waiting()
        usleep(200_000)
      }
    } catch {
      close(descriptor)
      throw error
    }
  }

  deinit { close(descriptor) }
}
