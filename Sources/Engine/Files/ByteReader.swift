/// Reads little-endian values one after another from a file's bytes, never past their end.
struct ByteReader: ~Escapable {
  /// The file, for errors.
  let file: String
  /// What is being read, for errors: set by the caller before each part.
  var place: CheckpointError.Place?
  /// The offset of the next byte.
  private(set) var offset = 0

  private let bytes: Span<UInt8>

  /// A reader of `bytes` from `offset` on.
  @_lifetime(copy bytes)
  init(_ bytes: Span<UInt8>, file: String, offset: Int = 0) {
    self.bytes = bytes
    self.file = file
    self.offset = min(offset, bytes.count)
  }

  /// Bytes not yet read.
  var remaining: Int { bytes.count - offset }

  /// The next value of an integer type.
  mutating func read<T: FixedWidthInteger>(
    _ type: T.Type = T.self, what: String
  ) throws(CheckpointError) -> T {
    let size = T.bitWidth / 8
    try require(size, what: what)
    var value: T = 0
    for index in 0..<size {
      value |= T(truncatingIfNeeded: bytes[offset + index]) << T(truncatingIfNeeded: 8 * index)
    }
    offset += size
    return value
  }

  /// The next string: its length in eight bytes, then that many bytes of UTF-8.
  mutating func readString(what: String) throws(CheckpointError) -> String {
    let length: UInt64 = try read(what: "the length of \(what)")
    let end = try end(ofString: length, what: what)
    defer { offset = end }
    return String(copying: try validated(offset..<end, what: what))
  }

  /// Checks the next string and goes past it.
  mutating func skipString(what: String) throws(CheckpointError) {
    let length: UInt64 = try read(what: "the length of \(what)")
    let end = try end(ofString: length, what: what)
    _ = try validated(offset..<end, what: what)
    offset = end
  }

  /// Reads again from an offset that was reached before.
  mutating func goBack(to offset: Int) { self.offset = min(offset, self.offset) }

  private func end(ofString length: UInt64, what: String) throws(CheckpointError) -> Int {
    guard length <= UInt64(remaining) else { throw truncated(what: what, needed: length) }
    return offset + Int(length)
  }

  @_lifetime(copy self)
  private func validated(_ range: Range<Int>, what: String) throws(CheckpointError) -> UTF8Span {
    do {
      return try UTF8Span(validating: bytes.extracting(range))
    } catch {
      throw malformed(
        "is damaged: \(what) is not valid UTF-8",
        found: "\(error.kind) at byte \(range.lowerBound + error.byteOffsets.lowerBound)")
    }
  }

  /// The number of items that follow, checked against the bytes that are left before anyone
  /// allocates.
  ///
  /// - Parameters:
  ///   - what: What is counted, for errors.
  ///   - minimumByteCount: The fewest bytes one item takes.
  mutating func readCount(
    what: String, minimumByteCount: Int
  ) throws(CheckpointError) -> Int {
    let count: UInt64 = try read(what: "the number of \(what)")
    guard count <= UInt64(remaining / minimumByteCount) else {
      throw CheckpointError(
        .truncated, file: file, place: place ?? .byte(offset - 8),
        "announces more \(what) than the file has room for",
        expected: "at most \(remaining / minimumByteCount)", found: "\(count)",
        advice: "The file is damaged or incomplete: fetch it again")
    }
    return Int(count)
  }

  private func require(_ size: Int, what: String) throws(CheckpointError) {
    if size > remaining { throw truncated(what: what, needed: UInt64(size)) }
  }

  private func truncated(what: String, needed: UInt64) -> CheckpointError {
    CheckpointError(
      .truncated, file: file, place: place ?? .byte(offset), "is cut off in \(what)",
      expected: "\(needed) more bytes at byte \(offset)", found: "\(remaining)")
  }

  /// An error at the place being read.
  func malformed(
    _ problem: String, expected: String? = nil, found: String? = nil
  ) -> CheckpointError {
    CheckpointError(
      .malformed, file: file, place: place ?? .byte(offset), problem, expected: expected,
      found: found)
  }
}
