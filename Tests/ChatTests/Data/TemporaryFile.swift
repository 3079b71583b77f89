import Foundation

/// A file that lasts as long as the closure that uses it.
func withFile<Result>(
  _ bytes: [UInt8], named name: String = "data.jsonl", _ use: (String) throws -> Result
) throws -> Result {
  let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
    "hearth-data-\(UUID().uuidString)")
  try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(at: folder) }
  let file = folder.appendingPathComponent(name)
  try Data(bytes).write(to: file)
  return try use(file.path)
}

/// The same for text.
func withFile<Result>(
  _ text: String, named name: String = "data.jsonl", _ use: (String) throws -> Result
) throws -> Result {
  try withFile(Array(text.utf8), named: name, use)
}
