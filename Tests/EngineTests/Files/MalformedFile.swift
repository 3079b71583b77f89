import Testing

@testable import Engine

/// A file that must be refused: what is wrong with it, its bytes, and words of the error.
struct MalformedFile: CustomTestStringConvertible {
  let name: String
  let bytes: [UInt8]
  let words: [String]

  init(_ name: String, _ bytes: [UInt8], _ words: String...) {
    self.name = name
    self.bytes = bytes
    self.words = words
  }

  var testDescription: String { name }
}

/// Expects `open` to throw a `CheckpointError` that names the file and says `words`.
func expectRefusal(_ words: [String], file: String, _ open: () throws -> Void) {
  do {
    try open()
    Issue.record("was accepted")
  } catch let error as CheckpointError {
    let message = error.description
    #expect(message.hasPrefix(file), "the file is not named: \(message)")
    for word in words { #expect(message.contains(word), "\(message)") }
  } catch {
    Issue.record("another kind of error: \(error)")
  }
}
