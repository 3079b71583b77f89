internal import Foundation

/// The lines of a file, one at a time, never more than one line and one chunk in memory.
///
/// Lines end with LF or CRLF. A UTF-8 byte-order mark at the start of the file is dropped.
struct LineReader: ~Copyable {
  /// A line and whether a line end followed it.
  struct Line: Equatable {
    /// The bytes without the line end.
    let bytes: [UInt8]
    /// Counted from 1.
    let number: Int
    /// False only for a last line that the file ends without closing.
    let isComplete: Bool
  }

  private let handle: FileHandle
  private let file: String
  private let maximumLineLength: Int
  private var chunk: [UInt8] = []
  private var position = 0
  private var lineCount = 0
  private var isAtStart = true
  private var isAtEnd = false

  private static let chunkLength = 1 << 18

  /// Opens `file`.
  ///
  /// - Parameter maximumLineLength: bytes; a longer line is an error, so that a file without line ends cannot fill memory.
  /// - Throws: `cannotOpen`, `isFolder`.
  init(file: String, maximumLineLength: Int) throws(DatasetError) {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: file, isDirectory: &isFolder) else {
      throw DatasetError(
        .cannotOpen, file: file, expected: "a data file", found: "nothing of that name",
        remedy: "check the path")
    }
    guard !isFolder.boolValue else {
      throw DatasetError(
        .isFolder, file: file, expected: "a data file", found: "a folder",
        remedy: "name the .jsonl file inside it")
    }
    guard let handle = FileHandle(forReadingAtPath: file) else {
      throw DatasetError(
        .cannotOpen, file: file, expected: "a file this user may read", found: "permission denied",
        remedy: "check the file's permissions")
    }
    self.handle = handle
    self.file = file
    self.maximumLineLength = maximumLineLength
  }

  deinit { try? handle.close() }

  /// The next line, nil at the end of the file.
  ///
  /// - Throws: `lineTooLong` (the line is skipped, so that reading can go on), `cannotRead`, `wrongEncoding`, `compressed`.
  mutating func next() throws(DatasetError) -> Line? {
    var line: [UInt8] = []
    var isTooLong = false
    while true {
      if position == chunk.count {
        try refill()
        if isAtEnd {
          if isTooLong { throw tooLong() }
          guard !line.isEmpty else { return nil }
          lineCount += 1
          return Line(bytes: line, number: lineCount, isComplete: false)
        }
      }
      let lineEnd = chunk[position...].firstIndex(of: 0x0A)
      let stop = lineEnd ?? chunk.count
      if line.count + (stop - position) > maximumLineLength {
        // Its number is the one after the last complete line.
        if !isTooLong { lineCount += 1 }
        isTooLong = true
        line = []
      }
      if !isTooLong { line.append(contentsOf: chunk[position..<stop]) }
      position = stop
      guard lineEnd != nil else { continue }
      position += 1
      if isTooLong { throw tooLong() }
      if line.last == 0x0D { line.removeLast() }
      lineCount += 1
      return Line(bytes: line, number: lineCount, isComplete: true)
    }
  }

  private func tooLong() -> DatasetError {
    DatasetError(
      .lineTooLong, file: file, line: lineCount,
      expected: "lines of at most \(maximumLineLength) bytes", found: "a longer one",
      remedy: "put one example on each line, or raise the limit")
  }

  private mutating func refill() throws(DatasetError) {
    guard !isAtEnd else { return }
    let data: Data
    do {
      data = try handle.read(upToCount: Self.chunkLength) ?? Data()
    } catch {
      throw DatasetError(
        .cannotRead, file: file, line: lineCount + 1, expected: "readable bytes",
        found: "\(error)", remedy: "check the disk")
    }
    chunk = [UInt8](data)
    position = 0
    isAtEnd = chunk.isEmpty
    if isAtStart {
      isAtStart = false
      try checkBeginning()
    }
  }

  /// Tells the common wrong kinds of file by their first bytes, and skips a UTF-8 byte-order mark.
  private mutating func checkBeginning() throws(DatasetError) {
    if chunk.starts(with: [0xEF, 0xBB, 0xBF]) { position = 3 }
    if chunk.starts(with: [0xFF, 0xFE]) || chunk.starts(with: [0xFE, 0xFF]) {
      throw DatasetError(
        .wrongEncoding, file: file, expected: "UTF-8", found: "UTF-16",
        remedy: "save the file as UTF-8, for example with: iconv -f UTF-16 -t UTF-8")
    }
    let compressed: [(name: String, magic: [UInt8])] = [
      ("a gzip file", [0x1F, 0x8B]), ("a zip file", [0x50, 0x4B, 0x03, 0x04]),
      ("a zstd file", [0x28, 0xB5, 0x2F, 0xFD]), ("a Parquet file", [0x50, 0x41, 0x52, 0x31]),
    ]
    for format in compressed where chunk.starts(with: format.magic) {
      throw DatasetError(
        .compressed, file: file, expected: "JSON text", found: format.name,
        remedy: "unpack or convert it to JSONL first")
    }
  }
}
