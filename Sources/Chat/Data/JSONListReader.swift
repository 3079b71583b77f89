internal import Foundation

/// Reads a file that is one JSON list, element by element, with the line each element starts on.
struct JSONListReader {
  /// True once the text is not JSON any more; what follows cannot be made sense of.
  private(set) var isBroken = false

  private let file: String
  private let bytes: [UInt8]
  private var reader: JSONReader
  private var isFirst = true
  private var isAtEnd = false
  private var line = 1
  private var countedTo = 0

  /// Loads `file`, which starts with `[`.
  ///
  /// - Parameter limit: bytes; a longer file is refused, because a list is held in memory whole.
  /// - Throws: `fileTooLong`, `cannotRead`, `invalidUTF8`.
  init(file: String, limit: Int) throws(DatasetError) {
    self.file = file
    let contents: Data
    do {
      let attributes = try FileManager.default.attributesOfItem(atPath: file)
      let length = (attributes[.size] as? NSNumber)?.intValue ?? 0
      guard length <= limit else {
        throw DatasetError(
          .fileTooLong, file: file, expected: "a JSON list of at most \(limit) bytes",
          found: "\(length) bytes", remedy: "write it as JSONL, one object a line")
      }
      contents = try Data(contentsOf: URL(fileURLWithPath: file))
    } catch let error as DatasetError {
      throw error
    } catch {
      throw DatasetError(
        .cannotRead, file: file, expected: "readable bytes", found: "\(error)",
        remedy: "check the disk")
    }
    bytes = [UInt8](contents)
    guard String(validating: bytes, as: UTF8.self) != nil else {
      throw DatasetError(
        .invalidUTF8, file: file, expected: "UTF-8", found: "bytes that are not",
        remedy: "save the file as UTF-8")
    }
    let start = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
    reader = JSONReader(bytes, range: start..<bytes.count)
  }

  /// The next element and its line, nil after the closing bracket.
  mutating func next() throws(DatasetError) -> (JSONElement, Int)? {
    guard !isAtEnd, !isBroken else { return nil }
    do throws(JSONReader.Failure) {
      reader.skipWhitespace()
      if isFirst {
        isFirst = false
        _ = reader.take(UInt8(ascii: "["))
        reader.skipWhitespace()
        if reader.take(UInt8(ascii: "]")) { return try finish() }
      } else if reader.take(UInt8(ascii: "]")) {
        return try finish()
      } else if !reader.take(UInt8(ascii: ",")) {
        let kind: DatasetError.Kind = reader.next == nil ? .truncated : .malformedJSON
        throw reader.failure(kind, "',' or ']' after an element", reader.found())
      }
      reader.skipWhitespace()
      let start = reader.position
      let element = try reader.value()
      return (element, lineNumber(at: start))
    } catch {
      isBroken = true
      let line = lineNumber(at: error.offset)
      let lineStart = bytes[..<min(error.offset, bytes.count)].lastIndex(of: 0x0A).map { $0 + 1 } ?? 0
      let remedy =
        error.kind == .truncated ? "the list is not closed; the file seems cut off" : nil
      throw error.described(file: file, line: line, lineStart: lineStart, remedy: remedy)
    }
  }

  private mutating func finish() throws(JSONReader.Failure) -> (JSONElement, Int)? {
    isAtEnd = true
    reader.skipWhitespace()
    guard reader.next == nil else {
      throw reader.failure(.malformedJSON, "the end of the file after the list", reader.found())
    }
    return nil
  }

  /// Counts on from where it last stopped, so that the whole file is counted once.
  private mutating func lineNumber(at offset: Int) -> Int {
    while countedTo < min(offset, bytes.count) {
      if bytes[countedTo] == 0x0A { line += 1 }
      countedTo += 1
    }
    return line
  }
}
