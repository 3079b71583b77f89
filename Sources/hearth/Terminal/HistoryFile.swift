internal import Engine
internal import Foundation

/// The history of earlier sessions: one JSON string a line, so that a message of several lines stays one entry.
///
/// Only its owner may read it. A session adds to what other sessions have added meanwhile.
struct HistoryFile {
  let path: String
  let limit: Int
  /// Bytes of the longest entry that is kept; a pasted book is not typed twice.
  private static let longestEntry = 1 << 15

  init(path: String, limit: Int = 1000) {
    self.path = path
    self.limit = limit
  }

  /// The entries, oldest first; none when there is no file. Lines that are no JSON strings are passed over.
  func read() -> [String] {
    guard let data = FileManager.default.contents(atPath: path) else { return [] }
    return data.split(separator: UInt8(ascii: "\n")).suffix(limit).compactMap {
      try? JSONDecoder().decode(String.self, from: Data($0))
    }
  }

  /// Adds an entry, unless it repeats the last one or is very long, and drops the oldest beyond the limit.
  ///
  /// - Throws: `FileError` when the folder cannot be made or written to.
  func append(_ entry: String) throws {
    guard entry.utf8.count <= Self.longestEntry else { return }
    var entries = read()
    guard entries.last != entry else { return }
    entries.append(entry)
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.withoutEscapingSlashes]
    let lines = try entries.suffix(limit).map { String(decoding: try encoder.encode($0), as: UTF8.self) + "\n" }
    try FileManager.default.createDirectory(
      at: URL(filePath: path).deletingLastPathComponent(), withIntermediateDirectories: true)
    try AtomicFile.write(lines.joined(), to: path, permissions: 0o600)
  }
}
