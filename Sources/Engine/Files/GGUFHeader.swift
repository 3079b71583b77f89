/// What a GGUF file says before its tensor data, read and checked.
struct GGUFHeader {
  var version = 0
  var metadata = Metadata()
  var tensors: [GGUFFile.Tensor] = []
  var indices: [String: Int] = [:]
  var alignment = 32

  /// "GGUF", little-endian.
  static let magic: UInt32 = 0x4655_4747
  /// Arrays of arrays deeper than this are refused: no writer makes them, and each level costs
  /// stack.
  static let maximumNesting = 4
  /// ggml's limit on a tensor's dimensions.
  static let maximumDimensionCount: UInt32 = 4

  /// Reads the header of a mapped file.
  init(of mapping: SharedMapping) throws(CheckpointError) {
    let (bytes, file) = (mapping.bytes, mapping.file.path)
    var reader = ByteReader(bytes, file: file)
    version = try GGUFHeader.readVersion(&reader)
    // A directory entry takes at least 24 bytes (empty name, no dimensions), a key and value 13.
    let tensorCount = try reader.readCount(what: "tensors", minimumByteCount: 24)
    let keyCount = try reader.readCount(what: "metadata keys", minimumByteCount: 13)
    for index in 0..<keyCount { try readMetadata(&reader, index: index, of: mapping) }
    alignment = try checkedAlignment(file: file)
    var entries: [Entry] = []
    for index in 0..<tensorCount { entries.append(try readEntry(&reader, index: index)) }
    try place(entries, headerEnd: reader.offset, fileByteCount: bytes.count, file: file)
  }

  /// A directory entry as it stands in the file.
  private struct Entry {
    var name: String
    var type: GGMLType
    var shape: [Int]
    var relativeOffset: UInt64
    var byteCount: Int?
  }

  // MARK: Magic and version

  private static func readVersion(_ reader: inout ByteReader) throws(CheckpointError) -> Int {
    guard reader.remaining > 0 else {
      throw CheckpointError(
        .truncated, file: reader.file, "is empty (0 bytes)",
        advice: "The download or copy failed: fetch the file again")
    }
    let magic: UInt32 = try reader.read(what: "the magic number")
    guard magic == Self.magic else {
      throw CheckpointError(
        .notACheckpoint, file: reader.file, place: .byte(0), "is not the start of a GGUF file",
        expected: "the letters GGUF", found: "0x" + String(magic.byteSwapped, radix: 16),
        advice: "Check that this is the model's file and not a link to it or a web page")
    }
    let version: UInt32 = try reader.read(what: "the version")
    if (1...3).contains(version.byteSwapped) {
      throw CheckpointError(
        .unsupported, file: reader.file, "is a big-endian GGUF file", expected: "little-endian",
        advice: "Convert it with gguf-convert-endian, or get the little-endian file")
    }
    guard version == 2 || version == 3 else {
      throw CheckpointError(
        .unsupported, file: reader.file, place: .byte(4), "holds an unsupported GGUF version",
        expected: "2 or 3", found: "\(version)",
        advice: version == 1
          ? "The file is from 2023: get the model again in a newer GGUF"
          : "The file is damaged, or newer than this Hearth")
    }
    return Int(version)
  }

  // MARK: Metadata

  private mutating func readMetadata(
    _ reader: inout ByteReader, index: Int, of mapping: SharedMapping
  ) throws(CheckpointError) {
    reader.place = nil
    let key = try reader.readString(what: "the name of metadata key \(index)")
    guard !key.isEmpty else {
      throw reader.malformed("holds an empty name for metadata key \(index)")
    }
    reader.place = .key(key)
    guard metadata[key] == nil else { throw reader.malformed("appears twice") }
    let type = try GGUFHeader.readType(&reader)
    if type == .array, let strings = try GGUFHeader.checkManyStrings(&reader, of: mapping) {
      metadata.leaveInFile(strings, key: key)
    } else {
      metadata[key] = try GGUFHeader.readValue(&reader, type: type)
    }
    reader.place = nil
  }

  /// Checks the strings of an array that has many of them and goes past it; nil, and back where it began, for any other array.
  private static func checkManyStrings(
    _ reader: inout ByteReader, of mapping: SharedMapping
  ) throws(CheckpointError) -> StoredStrings? {
    let start = reader.offset
    if try readType(&reader) == .string {
      let count = try reader.readCount(
        what: "array elements", minimumByteCount: MetadataType.string.minimumByteCount)
      if count >= StoredStrings.leastCount {
        let strings = StoredStrings(owner: mapping, offset: reader.offset, count: count)
        for _ in 0..<count { try reader.skipString(what: "an array element") }
        return strings
      }
    }
    reader.goBack(to: start)
    return nil
  }

  private static func readType(_ reader: inout ByteReader) throws(CheckpointError) -> MetadataType {
    let tag: UInt32 = try reader.read(what: "its type")
    guard let type = MetadataType(rawValue: tag) else {
      throw reader.malformed("has an unknown type", expected: "0 to 12", found: "\(tag)")
    }
    return type
  }

  private static func readValue(
    _ reader: inout ByteReader, type: MetadataType
  ) throws(CheckpointError) -> MetadataValue {
    let what = "its value"
    switch type {
    case .uint8: return .uint8(try reader.read(what: what))
    case .int8: return .int8(try reader.read(what: what))
    case .uint16: return .uint16(try reader.read(what: what))
    case .int16: return .int16(try reader.read(what: what))
    case .uint32: return .uint32(try reader.read(what: what))
    case .int32: return .int32(try reader.read(what: what))
    case .uint64: return .uint64(try reader.read(what: what))
    case .int64: return .int64(try reader.read(what: what))
    case .float32: return .float32(Float(bitPattern: try reader.read(what: what)))
    case .float64: return .float64(Double(bitPattern: try reader.read(what: what)))
    case .bool: return .bool(try readBool(&reader))
    case .string: return .string(try reader.readString(what: what))
    case .array: return .array(try readArray(&reader, depth: 1))
    }
  }

  private static func readBool(_ reader: inout ByteReader) throws(CheckpointError) -> Bool {
    let byte: UInt8 = try reader.read(what: "a truth value")
    guard byte <= 1 else {
      throw reader.malformed("holds a bad truth value", expected: "0 or 1", found: "\(byte)")
    }
    return byte == 1
  }

  private static func readArray(
    _ reader: inout ByteReader, depth: Int
  ) throws(CheckpointError) -> MetadataArray {
    guard depth <= maximumNesting else {
      throw reader.malformed(
        "nests arrays too deeply", expected: "at most \(maximumNesting) levels")
    }
    let type = try readType(&reader)
    let count = try reader.readCount(
      what: "array elements", minimumByteCount: type.minimumByteCount)
    switch type {
    case .uint8: return .uint8(try readIntegers(&reader, count))
    case .int8: return .int8(try readIntegers(&reader, count))
    case .uint16: return .uint16(try readIntegers(&reader, count))
    case .int16: return .int16(try readIntegers(&reader, count))
    case .uint32: return .uint32(try readIntegers(&reader, count))
    case .int32: return .int32(try readIntegers(&reader, count))
    case .uint64: return .uint64(try readIntegers(&reader, count))
    case .int64: return .int64(try readIntegers(&reader, count))
    case .float32:
      let bits: [UInt32] = try readIntegers(&reader, count)
      return .float32(bits.map(Float.init(bitPattern:)))
    case .float64:
      let bits: [UInt64] = try readIntegers(&reader, count)
      return .float64(bits.map(Double.init(bitPattern:)))
    case .bool:
      var values: [Bool] = []
      values.reserveCapacity(count)
      for _ in 0..<count { values.append(try readBool(&reader)) }
      return .bool(values)
    case .string:
      var values: [String] = []
      values.reserveCapacity(count)
      for _ in 0..<count { values.append(try reader.readString(what: "an array element")) }
      return .string(values)
    case .array:
      var values: [MetadataArray] = []
      for _ in 0..<count { values.append(try readArray(&reader, depth: depth + 1)) }
      return .array(values)
    }
  }

  private static func readIntegers<T: FixedWidthInteger>(
    _ reader: inout ByteReader, _ count: Int
  ) throws(CheckpointError) -> [T] {
    var values: [T] = []
    values.reserveCapacity(count)
    for _ in 0..<count { values.append(try reader.read(what: "an array element")) }
    return values
  }

  private func checkedAlignment(file: String) throws(CheckpointError) -> Int {
    let key = "general.alignment"
    guard let value = metadata[key] else { return 32 }
    guard case .uint32(let alignment) = value else {
      throw CheckpointError(
        .mismatch, file: file, place: .key(key), "has the wrong type", expected: "uint32",
        found: value.typeName)
    }
    // 1 MiB is far above any page size; beyond it the padding itself would be the attack.
    guard alignment > 0, alignment & (alignment - 1) == 0, alignment <= 1 << 20 else {
      throw CheckpointError(
        .malformed, file: file, place: .key(key), "is not a usable alignment",
        expected: "a power of two up to 1048576", found: "\(alignment)")
    }
    return Int(alignment)
  }

  // MARK: Tensor directory

  private mutating func readEntry(
    _ reader: inout ByteReader, index: Int
  ) throws(CheckpointError) -> Entry {
    reader.place = nil
    let name = try reader.readString(what: "the name of tensor \(index)")
    guard !name.isEmpty else { throw reader.malformed("holds an empty name for tensor \(index)") }
    reader.place = .tensor(name)
    guard indices.updateValue(index, forKey: name) == nil else {
      throw reader.malformed("appears twice")
    }
    let shape = try GGUFHeader.readShape(&reader)
    let type = GGMLType(number: try reader.read(what: "its type"))
    let relativeOffset: UInt64 = try reader.read(what: "its offset")
    guard relativeOffset % UInt64(alignment) == 0 else {
      throw reader.malformed(
        "is misaligned", expected: "an offset that is a multiple of \(alignment)",
        found: "\(relativeOffset)")
    }
    return Entry(
      name: name, type: type, shape: shape, relativeOffset: relativeOffset,
      byteCount: try GGUFHeader.byteCount(of: shape, type, reader))
  }

  /// The dimensions, reversed to row-major with the outermost first, their product checked.
  private static func readShape(_ reader: inout ByteReader) throws(CheckpointError) -> [Int] {
    let count: UInt32 = try reader.read(what: "the number of its dimensions")
    guard count <= maximumDimensionCount else {
      throw reader.malformed(
        "has too many dimensions", expected: "at most \(maximumDimensionCount)", found: "\(count)")
    }
    var shape: [Int] = []
    var product = 1
    for _ in 0..<count {
      let dimension: UInt64 = try reader.read(what: "its dimensions")
      // An empty dimension must not hide that the others overflow, in whichever order they are
      // multiplied.
      let (elements, overflow) = product.multipliedReportingOverflow(
        by: max(1, Int(truncatingIfNeeded: dimension)))
      guard let size = Int(exactly: dimension), !overflow else {
        throw reader.malformed(
          "has impossible dimensions", expected: "fewer than 2^63 elements",
          found: "a dimension of \(dimension)")
      }
      product = elements
      shape.append(size)
    }
    return shape.reversed()
  }

  private static func byteCount(
    of shape: [Int], _ type: GGMLType, _ reader: borrowing ByteReader
  ) throws(CheckpointError) -> Int? {
    guard type.isSized else { return nil }
    let width = shape.last ?? 1
    guard width % type.blockElements == 0 else {
      throw reader.malformed(
        "has rows that are not whole \(type.name) blocks",
        expected: "a multiple of \(type.blockElements)", found: "rows of \(width)")
    }
    guard let bytes = type.byteCount(shape: shape) else {
      throw reader.malformed("has impossible dimensions", found: "\(shape)")
    }
    return bytes
  }

  // MARK: Placement

  /// Turns relative offsets into ranges of the file, each inside it and apart from all others.
  private mutating func place(
    _ entries: [Entry], headerEnd: Int, fileByteCount: Int, file: String
  ) throws(CheckpointError) {
    // The header lies inside the file, so this cannot overflow.
    let dataStart = (headerEnd + alignment - 1) / alignment * alignment
    for entry in entries {
      let available = max(0, fileByteCount - dataStart)
      guard entry.relativeOffset <= UInt64(available),
        entry.byteCount ?? 0 <= available - Int(entry.relativeOffset)
      else {
        throw CheckpointError(
          .truncated, file: file, place: .tensor(entry.name), "reaches past the end of the file",
          expected: "\(entry.byteCount ?? 0) bytes at offset \(entry.relativeOffset) of the data",
          found: "\(available) bytes of data in all")
      }
      tensors.append(
        GGUFFile.Tensor(
          name: entry.name, type: entry.type, shape: entry.shape,
          offset: dataStart + Int(entry.relativeOffset), byteCount: entry.byteCount))
    }
    let ordered = tensors.filter { $0.byteCount ?? 0 > 0 }.sorted { $0.offset < $1.offset }
    for (earlier, later) in zip(ordered, ordered.dropFirst()) {
      guard earlier.offset + (earlier.byteCount ?? 0) <= later.offset else {
        throw CheckpointError(
          .malformed, file: file, place: .tensor(later.name),
          "overlaps tensor \(printable(earlier.name))",
          expected: "to begin at byte \(earlier.offset + (earlier.byteCount ?? 0)) or later",
          found: "byte \(later.offset)")
      }
    }
  }
}
