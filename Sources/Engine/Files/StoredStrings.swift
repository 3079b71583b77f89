/// An array of many strings in a GGUF file's metadata, left there until someone asks: a vocabulary's tokens and merges are some
/// hundred thousand of them, which only the tokenizer's loading wants, once.
struct StoredStrings: Sendable {
  /// Arrays of fewer are read at once.
  static let leastCount = 1024

  /// Keeps the file mapped.
  let owner: SharedMapping
  /// Where the first string's length lies.
  let offset: Int
  let count: Int

  /// The strings. They were checked when the file was opened; what has since become unreadable, as in a file that another program
  /// writes to, is empty.
  func read() -> [String] {
    var reader = ByteReader(owner.bytes, file: owner.file.path, offset: offset)
    var strings: [String] = []
    strings.reserveCapacity(count)
    for _ in 0..<count { strings.append((try? reader.readString(what: "an array element")) ?? "") }
    return strings
  }
}
