public import Foundation

extension Tokenizer {
  /// A tokenizer from the content of Hugging Face's `tokenizer.json`.
  ///
  /// That file does not say which tokens begin and end a text; `init(folder:)` finds out.
  ///
  /// - Parameter source: the file's name, for messages.
  /// - Throws: if the file is damaged, or asks for anything but byte-level BPE with a known pattern.
  public convenience init(
    tokenizerJSON data: Data, source: String = "tokenizer.json"
  ) throws(TokenizerError) {
    try self.init(try TokenizerJSON(Array(data), source: source).definition())
  }

  /// A tokenizer from the file `tokenizer.json` at `url`.
  ///
  /// - Throws: also if the file cannot be read.
  public convenience init(tokenizerJSON url: URL) throws(TokenizerError) {
    try self.init(tokenizerJSON: try Self.read(url), source: url.path)
  }

  /// The content of a file.
  static func read(_ url: URL) throws(TokenizerError) -> Data {
    do {
      return try Data(contentsOf: url)
    } catch {
      throw TokenizerError(
        source: url.path, place: "", problem: "cannot be read: \(error.localizedDescription)")
    }
  }
}
