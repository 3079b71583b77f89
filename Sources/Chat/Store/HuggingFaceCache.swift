internal import Foundation

/// The cache that Hugging Face's tools share, used in place.
///
/// `HF_HUB_CACHE`, else `HF_HOME/hub`, else `~/.cache/huggingface/hub`; in it `models--ORG--REPO/snapshots/REVISION`, the revision of a
/// branch in `refs/`.
struct HuggingFaceCache {
  let folder: URL

  init() {
    let environment = ProcessInfo.processInfo.environment
    func set(_ key: String) -> URL? { environment[key].flatMap { $0.isEmpty ? nil : URL(filePath: $0) } }
    let home =
      set("HF_HOME") ?? FileManager.default.homeDirectoryForCurrentUser.appending(path: ".cache/huggingface")
    folder = set("HF_HUB_CACHE") ?? home.appending(path: "hub")
  }

  /// Where `hf:org/repo[/file]` lies; nil when it is not in the cache.
  func path(of name: String) -> String? {
    let parts = name.dropFirst(3).split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    guard parts.count >= 2, parts.allSatisfy({ !$0.isEmpty && $0 != ".." && $0 != "." }) else { return nil }
    let repository = folder.appending(path: "models--\(parts[0])--\(parts[1])")
    guard let data = FileManager.default.contents(atPath: repository.appending(path: "refs/main").path) else {
      return nil
    }
    let revision = String(decoding: data, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    guard !revision.isEmpty, !revision.contains("/"), revision != ".." else { return nil }
    var snapshot = repository.appending(path: "snapshots/\(revision)")
    for part in parts.dropFirst(2) { snapshot.append(path: part) }
    return FileManager.default.fileExists(atPath: snapshot.path) ? snapshot.path : nil
  }
}
