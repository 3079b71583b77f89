/// Writes a safetensors file: tensors sorted by name, the header padded to eight bytes.
public struct SafetensorsWriter {
  /// Free text by name, written sorted under `__metadata__`. `transformers` and PEFT expect
  /// `["format": "pt"]`.
  public var metadata: [String: String]
  /// The tensors, in the order they were added.
  public private(set) var tensors: [OutgoingTensor] = []

  /// A file without tensors.
  public init(metadata: [String: String] = ["format": "pt"]) { self.metadata = metadata }

  /// Adds a tensor.
  public mutating func add(_ tensor: OutgoingTensor) { tensors.append(tensor) }

  /// Writes the file to `path`, replacing what is there; it appears whole or not at all.
  ///
  /// - Throws: `CheckpointError` if two tensors have one name, one has a type that safetensors
  ///   lacks (the quantised ones), or its source gave the wrong number of bytes; `FileError` if
  ///   the disk is full or refuses; what a tensor's source throws.
  public func write(to path: String) throws {
    let ordered = tensors.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
    var entries: [Entry] = []
    var end = 0
    for (index, tensor) in ordered.enumerated() {
      guard index == 0 || ordered[index - 1].name != tensor.name, tensor.name != "__metadata__"
      else {
        throw CheckpointError(
          .mismatch, file: path, place: .tensor(tensor.name), "would be written twice")
      }
      guard let type = SafetensorsType(tensor.type) else {
        throw CheckpointError(
          .unsupported, file: path, place: .tensor(tensor.name), "cannot be stored in safetensors",
          expected: "F32, F16 or BF16", found: tensor.type.name, advice: "Unquantise it first")
      }
      let byteCount = try tensor.byteCount(file: path)
      entries.append(
        Entry(tensor: tensor, type: type, offset: end, byteCount: byteCount))
      end += byteCount
    }
    let header = header(entries)
    try AtomicFile.write(to: path, byteCount: 8 + header.count + end) { sink in
      try sink.append(integer: UInt64(header.count))
      try sink.append(header)
      for entry in entries {
        try entry.tensor.write(to: &sink, byteCount: entry.byteCount, file: path)
      }
    }
  }

  private struct Entry {
    let tensor: OutgoingTensor
    let type: SafetensorsType
    let offset: Int
    let byteCount: Int
  }

  private func header(_ entries: [Entry]) -> [UInt8] {
    var members: [String] = []
    if !metadata.isEmpty {
      let pairs = metadata.sorted { $0.key < $1.key }.map {
        "\(quoted($0.key)):\(quoted($0.value))"
      }
      members.append("\"__metadata__\":{\(pairs.joined(separator: ","))}")
    }
    for entry in entries {
      let shape = entry.tensor.shape.map(String.init).joined(separator: ",")
      members.append(
        "\(quoted(entry.tensor.name)):{\"dtype\":\"\(entry.type.rawValue)\",\"shape\":[\(shape)],"
          + "\"data_offsets\":[\(entry.offset),\(entry.offset + entry.byteCount)]}")
    }
    var bytes = Array("{\(members.joined(separator: ","))}".utf8)
    while bytes.count % 8 != 0 { bytes.append(UInt8(ascii: " ")) }
    return bytes
  }

  /// `text` as a JSON string.
  private func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\0"..<" ":
        let digits = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}
