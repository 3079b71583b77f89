/// What a safetensors file says before its data, read and checked.
struct SafetensorsHeader {
  var metadata: [String: String] = [:]
  var tensors: [SafetensorsFile.Tensor] = []
  var indices: [String: Int] = [:]

  /// The reference implementation's limit on the header, 100 MB.
  static let maximumByteCount: UInt64 = 100_000_000

  /// Reads the header of a mapped file.
  init(of mapping: SharedMapping) throws(CheckpointError) {
    try self.init(parsing: mapping.bytes, file: mapping.file.path)
  }

  /// Reads the header at the start of `bytes`, the whole file.
  init(parsing bytes: Span<UInt8>, file: String) throws(CheckpointError) {
    let length = try SafetensorsHeader.readLength(bytes, file: file)
    guard bytes[8] == UInt8(ascii: "{") else {
      throw CheckpointError(
        .malformed, file: file, place: .byte(8), "is not the start of a safetensors header",
        expected: "{", found: "0x" + String(bytes[8], radix: 16))
    }
    let document = try JSONParser.parse(bytes.extracting(8..<8 + length), file: file, base: 8)
    guard case .object(let header) = document else {
      throw CheckpointError(
        .malformed, file: file, place: .byte(8), "is not a safetensors header",
        expected: "an object", found: document.typeName)
    }
    let dataByteCount = bytes.count - 8 - length
    for name in header.names {
      guard let value = header[name] else { continue }
      if name == "__metadata__" {
        metadata = try SafetensorsHeader.readMetadata(value, file: file)
      } else {
        indices[name] = tensors.count
        tensors.append(
          try SafetensorsHeader.readTensor(
            name, value, dataStart: 8 + length, dataByteCount: dataByteCount, file: file))
      }
    }
    try checkCoverage(dataStart: 8 + length, fileByteCount: bytes.count, file: file)
  }

  private static func readLength(
    _ bytes: Span<UInt8>, file: String
  ) throws(CheckpointError) -> Int {
    guard bytes.count > 0 else {
      throw CheckpointError(
        .truncated, file: file, "is empty (0 bytes)",
        advice: "The download or copy failed: fetch the file again")
    }
    var reader = ByteReader(bytes, file: file)
    let length: UInt64 = try reader.read(what: "the length of the header")
    guard length <= maximumByteCount else {
      throw CheckpointError(
        .malformed, file: file, place: .byte(0), "announces an impossible header",
        expected: "at most \(maximumByteCount) bytes", found: "\(length)",
        advice: "Check that this is a safetensors file: fetch it again")
    }
    guard length <= UInt64(bytes.count - 8) else {
      throw CheckpointError(
        .truncated, file: file, place: .byte(8), "is cut off in the header",
        expected: "\(length) bytes", found: "\(bytes.count - 8)")
    }
    guard length >= 2 else {
      throw CheckpointError(
        .malformed, file: file, place: .byte(0), "announces an impossible header",
        expected: "at least 2 bytes", found: "\(length)")
    }
    return Int(length)
  }

  private static func readMetadata(
    _ value: JSONValue, file: String
  ) throws(CheckpointError) -> [String: String] {
    guard case .object(let object) = value else {
      throw malformed(file, "__metadata__", "is not an object", found: value.typeName)
    }
    var metadata: [String: String] = [:]
    for name in object.names {
      guard case .string(let text)? = object[name] else {
        throw malformed(
          file, "__metadata__", "holds \(printable(name)), which is not a string",
          found: object[name]?.typeName)
      }
      metadata[name] = text
    }
    return metadata
  }

  private static func malformed(
    _ file: String, _ key: String, _ problem: String, found: String?
  ) -> CheckpointError {
    CheckpointError(.malformed, file: file, place: .key(key), problem, found: found)
  }

  // MARK: One tensor

  private static func readTensor(
    _ name: String, _ value: JSONValue, dataStart: Int, dataByteCount: Int, file: String
  ) throws(CheckpointError) -> SafetensorsFile.Tensor {
    func malformed(
      _ problem: String, expected: String? = nil, found: String? = nil
    ) -> CheckpointError {
      CheckpointError(
        .malformed, file: file, place: .tensor(name), problem, expected: expected, found: found)
    }
    guard case .object(let entry) = value else {
      throw malformed("is not described by an object", found: value.typeName)
    }
    if let stranger = entry.names.first(where: { !["dtype", "shape", "data_offsets"].contains($0) }) {
      throw malformed(
        "has a property that the format does not have", expected: "dtype, shape, data_offsets",
        found: printable(stranger))
    }
    guard case .string(let typeName)? = entry["dtype"] else {
      throw malformed("has no dtype", expected: "a string", found: entry["dtype"]?.typeName)
    }
    guard let type = SafetensorsType(rawValue: typeName) else {
      throw CheckpointError(
        .unsupported, file: file, place: .tensor(name), "has an unknown dtype",
        expected: "F32, F16, BF16 or another plain type", found: printable(typeName),
        advice: "Convert the model to BF16")
    }
    let shape = try lengths(
      entry["shape"], of: "shape", file: file, tensor: name)
    let range = try lengths(
      entry["data_offsets"], of: "data_offsets", file: file, tensor: name)
    guard range.count == 2, range[0] <= range[1] else {
      throw malformed(
        "has impossible data_offsets", expected: "[begin, end], begin first", found: "\(range)")
    }
    guard range[1] <= dataByteCount else {
      throw CheckpointError(
        .truncated, file: file, place: .tensor(name), "reaches past the end of the file",
        expected: "\(range[1]) bytes of data", found: "\(dataByteCount)")
    }
    guard let byteCount = byteCount(shape, type) else {
      throw malformed(
        "has an impossible shape", expected: "fewer than 2^63 bytes", found: "\(shape)")
    }
    guard byteCount == range[1] - range[0] else {
      throw malformed(
        "has a shape that does not fit its bytes",
        expected: "\(byteCount) bytes for \(shape) of \(typeName)",
        found: "\(range[1] - range[0])")
    }
    return SafetensorsFile.Tensor(
      name: name, type: type, shape: shape, offset: dataStart + range[0], byteCount: byteCount)
  }

  /// A list of non-negative integers.
  private static func lengths(
    _ value: JSONValue?, of property: String, file: String, tensor: String
  ) throws(CheckpointError) -> [Int] {
    var lengths: [Int] = []
    if case .array(let values)? = value {
      for case .integer(let length) in values where length >= 0 { lengths.append(length) }
      if lengths.count == values.count { return lengths }
    }
    throw CheckpointError(
      .malformed, file: file, place: .tensor(tensor), "has no usable \(property)",
      expected: "a list of integers of 0 or more", found: value?.typeName ?? "nothing")
  }

  /// Bytes of a tensor, nil on overflow; an empty dimension must not hide that the others overflow.
  private static func byteCount(_ shape: [Int], _ type: SafetensorsType) -> Int? {
    var product = type.byteCount
    for size in shape {
      let (bytes, overflow) = product.multipliedReportingOverflow(by: max(1, size))
      if overflow { return nil }
      product = bytes
    }
    return shape.contains(0) ? 0 : product
  }

  // MARK: All of them

  private func checkCoverage(
    dataStart: Int, fileByteCount: Int, file: String
  ) throws(CheckpointError) {
    var end = dataStart
    for tensor in tensors.sorted(by: { ($0.offset, $0.byteCount) < ($1.offset, $1.byteCount) }) {
      guard tensor.offset == end else {
        throw CheckpointError(
          .malformed, file: file, place: .tensor(tensor.name),
          tensor.offset < end ? "overlaps the tensor before it" : "leaves a gap before it",
          expected: "to begin at byte \(end - dataStart) of the data",
          found: "byte \(tensor.offset - dataStart)")
      }
      end += tensor.byteCount
    }
    guard end == fileByteCount else {
      throw CheckpointError(
        .malformed, file: file, place: .byte(end), "holds data that belongs to no tensor",
        expected: "the end of the file", found: "\(fileByteCount - end) more bytes")
    }
  }
}
