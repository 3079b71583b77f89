/// A tensor to be written to a file: its description, and where its bytes come from when they are
/// needed.
public struct OutgoingTensor {
  /// The tensor's name.
  public let name: String
  /// The type of its elements.
  public let type: GGMLType
  /// Row-major, outermost first.
  public let shape: [Int]
  /// Appends the tensor's bytes, exactly as many as type and shape make.
  let body: (inout ByteSink) throws -> Void

  /// A tensor whose bytes are made while the file is written, so that none but the current one
  /// need be in memory.
  ///
  /// - Parameters:
  ///   - name: The tensor's name.
  ///   - type: The type of its elements.
  ///   - shape: Row-major, outermost first.
  ///   - body: Appends its bytes.
  public init(
    name: String, type: GGMLType, shape: [Int], body: @escaping (inout ByteSink) throws -> Void
  ) {
    self.name = name
    self.type = type
    self.shape = shape
    self.body = body
  }

  /// A tensor of 32-bit floats.
  ///
  /// - Parameters:
  ///   - name: The tensor's name.
  ///   - values: `[product of shape]`, row-major.
  ///   - shape: Row-major, outermost first.
  public init(name: String, values: [Float], shape: [Int]) {
    self.init(name: name, type: .f32, shape: shape) { sink throws(FileError) in
      try sink.append(floats: values)
    }
  }

  /// A tensor of another file, byte for byte.
  ///
  /// - Parameters:
  ///   - stored: The tensor.
  ///   - name: Its name in the new file, the same if nil.
  public init(_ stored: StoredTensor, name: String? = nil) {
    self.init(name: name ?? stored.name, type: stored.type, shape: stored.shape) {
      sink throws(FileError) in
      try sink.append(stored.span)
    }
  }

  /// Appends the bytes and checks that there were as many as announced.
  func write(to sink: inout ByteSink, byteCount: Int, file: String) throws {
    let start = sink.byteCount
    try body(&sink)
    guard sink.byteCount - start == byteCount else {
      throw CheckpointError(
        .mismatch, file: file, place: .tensor(name), "was written with the wrong number of bytes",
        expected: "\(byteCount) for \(shape) of \(type.name)", found: "\(sink.byteCount - start)")
    }
  }

  /// The size in the file.
  ///
  /// - Throws: `CheckpointError` if type and shape do not fit each other.
  func byteCount(file: String) throws(CheckpointError) -> Int {
    guard let count = type.byteCount(shape: shape) else {
      throw CheckpointError(
        .mismatch, file: file, place: .tensor(name), "cannot be stored",
        expected: "rows of a multiple of \(type.blockElements) elements for \(type.name)",
        found: "\(shape)")
    }
    return count
  }
}
