internal import Glibc

/// Where the bytes of a file being written go, in order, buffered.
public struct ByteSink: ~Copyable {
  /// Bytes appended so far.
  public private(set) var byteCount = 0

  private let descriptor: Int32
  private let path: String
  private let expectedByteCount: Int?
  private var buffer: [UInt8] = []

  private static let bufferByteCount = 1 << 18

  /// - Parameters:
  ///   - descriptor: An open file; it stays open.
  ///   - path: The file's name for errors.
  ///   - expectedByteCount: The file's whole size if known, for errors.
  init(descriptor: Int32, path: String, expectedByteCount: Int?) {
    self.descriptor = descriptor
    self.path = path
    self.expectedByteCount = expectedByteCount
    buffer.reserveCapacity(ByteSink.bufferByteCount)
  }

  /// Appends `bytes`.
  ///
  /// - Throws: `FileError` if they cannot be written.
  public mutating func append(_ bytes: RawSpan) throws(FileError) {
    byteCount += bytes.byteCount
    if bytes.byteCount >= ByteSink.bufferByteCount {
      try flush()
      try ByteSink.write(bytes, descriptor, path: path, needed: expectedByteCount)
      return
    }
    unsafe bytes.withUnsafeBytes { unsafe buffer.append(contentsOf: $0) }
    if buffer.count >= ByteSink.bufferByteCount { try flush() }
  }

  // Integers and floats may always be viewed as raw bytes; only the view back could be wrong.

  /// Appends `bytes`.
  ///
  /// - Throws: `FileError` if they cannot be written.
  public mutating func append(_ bytes: [UInt8]) throws(FileError) {
    unsafe try append(bytes.span.bytes)
  }

  /// Appends numbers as 32-bit floats, little-endian.
  ///
  /// - Throws: `FileError` if they cannot be written.
  public mutating func append(floats values: [Float]) throws(FileError) {
    unsafe try append(values.span.bytes)
  }

  /// Appends an integer, little-endian.
  ///
  /// - Throws: `FileError` if it cannot be written.
  public mutating func append<T: FixedWidthInteger>(integer value: T) throws(FileError) {
    var bytes: [UInt8] = []
    for index in 0..<T.bitWidth / 8 {
      bytes.append(UInt8(truncatingIfNeeded: value >> T(truncatingIfNeeded: 8 * index)))
    }
    try append(bytes)
  }

  /// Appends zeros until the number of bytes is a multiple of `alignment`.
  ///
  /// - Throws: `FileError` if they cannot be written.
  mutating func pad(to alignment: Int) throws(FileError) {
    let excess = byteCount % alignment
    if excess > 0 { try append([UInt8](repeating: 0, count: alignment - excess)) }
  }

  /// Writes out what is buffered.
  mutating func finish() throws(FileError) { try flush() }

  private mutating func flush() throws(FileError) {
    guard !buffer.isEmpty else { return }
    unsafe try ByteSink.write(buffer.span.bytes, descriptor, path: path, needed: expectedByteCount)
    buffer.removeAll(keepingCapacity: true)
  }

  private static func write(
    _ bytes: RawSpan, _ descriptor: Int32, path: String, needed: Int?
  ) throws(FileError) {
    var offset = 0
    while offset < bytes.byteCount {
      let rest = bytes.extracting(offset..<bytes.byteCount)
      let written = unsafe rest.withUnsafeBytes { rest in
        unsafe Glibc.write(descriptor, rest.baseAddress, rest.count)
      }
      if written < 0 {
        if errno == EINTR { continue }
        let action = needed.map { "write its \($0) bytes" } ?? "write"
        throw FileError(path: path, action: action, errno: errno)
      }
      offset += written
    }
  }
}
