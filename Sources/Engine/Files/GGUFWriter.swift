/// Writes a GGUF file, version 3, little-endian: first what is in it, then the tensors one by one.
///
/// A model of any size is written with no more memory than its largest tensor's source needs,
/// because a tensor's bytes are asked for only when it is their turn.
public struct GGUFWriter {
  /// Keys and values, written in order.
  public var metadata = Metadata()
  /// The tensors, written in order.
  public private(set) var tensors: [OutgoingTensor] = []

  /// A file for a model of the family `architecture` ("llama").
  public init(architecture: String) {
    metadata["general.architecture"] = .string(architecture)
  }

  /// A file with the metadata of another.
  public init(metadata: Metadata) { self.metadata = metadata }

  /// Adds a tensor.
  public mutating func add(_ tensor: OutgoingTensor) { tensors.append(tensor) }

  /// Writes the file to `path`, replacing what is there; it appears whole or not at all.
  ///
  /// - Throws: `CheckpointError` if two tensors have one name, or a shape does not fit its type or
  ///   the bytes its source gave; `FileError` if the disk is full or refuses; what a tensor's
  ///   source throws.
  public func write(to path: String) throws {
    let alignment = try alignment(file: path)
    let sizes = try sizes(file: path)
    var header: [UInt8] = []
    encodeHeader(&header, offsets: offsets(sizes, alignment: alignment))
    let total = fileByteCount(header.count, sizes, alignment: alignment)
    try AtomicFile.write(to: path, byteCount: total) { sink in
      try sink.append(header)
      try sink.pad(to: alignment)
      for (tensor, byteCount) in zip(tensors, sizes) {
        try tensor.write(to: &sink, byteCount: byteCount, file: path)
        try sink.pad(to: alignment)
      }
    }
  }

  private func alignment(file: String) throws(CheckpointError) -> Int {
    guard let value = metadata["general.alignment"] else { return 32 }
    guard case .uint32(let alignment) = value, alignment > 0, alignment & (alignment - 1) == 0,
      alignment <= 1 << 20
    else {
      throw CheckpointError(
        .mismatch, file: file, place: .key("general.alignment"), "is not a usable alignment",
        expected: "a uint32, a power of two up to 1048576", found: "\(value)")
    }
    return Int(alignment)
  }

  private func sizes(file: String) throws(CheckpointError) -> [Int] {
    var names: Set<String> = []
    var sizes: [Int] = []
    for tensor in tensors {
      guard names.insert(tensor.name).inserted else {
        throw CheckpointError(
          .mismatch, file: file, place: .tensor(tensor.name), "would be written twice")
      }
      guard tensor.shape.count <= Int(GGUFHeader.maximumDimensionCount) else {
        throw CheckpointError(
          .mismatch, file: file, place: .tensor(tensor.name), "has too many dimensions for GGUF",
          expected: "at most \(GGUFHeader.maximumDimensionCount)", found: "\(tensor.shape)")
      }
      sizes.append(try tensor.byteCount(file: file))
    }
    return sizes
  }

  // Sizes are those of data that exists or is about to: their sums cannot reach 2^63 bytes.

  private func offsets(_ sizes: [Int], alignment: Int) -> [Int] {
    var next = 0
    return sizes.map { size in
      defer { next += padded(size, to: alignment) }
      return next
    }
  }

  private func fileByteCount(_ header: Int, _ sizes: [Int], alignment: Int) -> Int {
    sizes.reduce(padded(header, to: alignment)) { $0 + padded($1, to: alignment) }
  }

  private func padded(_ count: Int, to alignment: Int) -> Int {
    (count + alignment - 1) / alignment * alignment
  }

  // MARK: Encoding

  private func encodeHeader(_ bytes: inout [UInt8], offsets: [Int]) {
    bytes.append(littleEndian: GGUFHeader.magic)
    bytes.append(littleEndian: UInt32(3))
    bytes.append(littleEndian: UInt64(tensors.count))
    bytes.append(littleEndian: UInt64(metadata.keys.count))
    for (key, value) in metadata.entries {
      bytes.append(prefixed: key)
      bytes.append(littleEndian: value.type.rawValue)
      encode(value, into: &bytes)
    }
    for (tensor, offset) in zip(tensors, offsets) {
      bytes.append(prefixed: tensor.name)
      bytes.append(littleEndian: UInt32(tensor.shape.count))
      for size in tensor.shape.reversed() { bytes.append(littleEndian: UInt64(size)) }
      bytes.append(littleEndian: tensor.type.number)
      bytes.append(littleEndian: UInt64(offset))
    }
  }

  private func encode(_ value: MetadataValue, into bytes: inout [UInt8]) {
    switch value {
    case .uint8(let value): bytes.append(value)
    case .int8(let value): bytes.append(littleEndian: value)
    case .uint16(let value): bytes.append(littleEndian: value)
    case .int16(let value): bytes.append(littleEndian: value)
    case .uint32(let value): bytes.append(littleEndian: value)
    case .int32(let value): bytes.append(littleEndian: value)
    case .uint64(let value): bytes.append(littleEndian: value)
    case .int64(let value): bytes.append(littleEndian: value)
    case .float32(let value): bytes.append(littleEndian: value.bitPattern)
    case .float64(let value): bytes.append(littleEndian: value.bitPattern)
    case .bool(let value): bytes.append(value ? 1 : 0)
    case .string(let value): bytes.append(prefixed: value)
    case .array(let array): encode(array, into: &bytes)
    }
  }

  private func encode(_ array: MetadataArray, into bytes: inout [UInt8]) {
    bytes.append(littleEndian: array.elementType.rawValue)
    bytes.append(littleEndian: UInt64(array.count))
    switch array {
    case .uint8(let values): bytes += values
    case .int8(let values): for value in values { bytes.append(littleEndian: value) }
    case .uint16(let values): for value in values { bytes.append(littleEndian: value) }
    case .int16(let values): for value in values { bytes.append(littleEndian: value) }
    case .uint32(let values): for value in values { bytes.append(littleEndian: value) }
    case .int32(let values): for value in values { bytes.append(littleEndian: value) }
    case .uint64(let values): for value in values { bytes.append(littleEndian: value) }
    case .int64(let values): for value in values { bytes.append(littleEndian: value) }
    case .float32(let values): for value in values { bytes.append(littleEndian: value.bitPattern) }
    case .float64(let values): for value in values { bytes.append(littleEndian: value.bitPattern) }
    case .bool(let values): for value in values { bytes.append(value ? 1 : 0) }
    case .string(let values): for value in values { bytes.append(prefixed: value) }
    case .array(let values): for value in values { encode(value, into: &bytes) }
    }
  }
}

extension [UInt8] {
  /// Appends an integer, its lowest byte first.
  mutating func append<T: FixedWidthInteger>(littleEndian value: T) {
    for index in 0..<T.bitWidth / 8 {
      append(UInt8(truncatingIfNeeded: value >> T(truncatingIfNeeded: 8 * index)))
    }
  }

  /// Appends a string after its length in eight bytes.
  fileprivate mutating func append(prefixed text: String) {
    append(littleEndian: UInt64(text.utf8.count))
    append(contentsOf: text.utf8)
  }
}
