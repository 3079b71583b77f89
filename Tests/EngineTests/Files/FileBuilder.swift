import Foundation

@testable import Engine

/// A folder for one test, removed with the value.
final class TemporaryFolder {
  let path: String

  init() throws {
    path = NSTemporaryDirectory() + "/hearth-files-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  /// Writes a file and returns its path.
  @discardableResult
  func write(_ bytes: [UInt8], as name: String) throws -> String {
    let file = "\(path)/\(name)"
    try Data(bytes).write(to: URL(fileURLWithPath: file))
    return file
  }

  /// Writes a text file and returns its path.
  @discardableResult
  func write(_ text: String, as name: String) throws -> String {
    try write(Array(text.utf8), as: name)
  }

  /// The names of what is in the folder, sorted.
  var names: [String] {
    get throws { try FileManager.default.contentsOfDirectory(atPath: path).sorted() }
  }
}

extension [UInt8] {
  /// Appends an integer, little-endian.
  mutating func append<T: FixedWidthInteger>(integer value: T) {
    for index in 0..<T.bitWidth / 8 { append(UInt8(truncatingIfNeeded: value >> (8 * index))) }
  }

  /// Appends a string as GGUF stores it.
  mutating func append(string: String) {
    append(integer: UInt64(string.utf8.count))
    append(contentsOf: string.utf8)
  }

  /// The bytes with an integer overwritten.
  func setting<T: FixedWidthInteger>(_ value: T, at offset: Int) -> [UInt8] {
    var copy = self
    var bytes: [UInt8] = []
    bytes.append(integer: value)
    copy.replaceSubrange(offset..<offset + bytes.count, with: bytes)
    return copy
  }
}

/// Writes GGUF bytes by hand, right or deliberately wrong, and independent of the code under test.
struct GGUFBytes {
  struct Tensor {
    var name = "t"
    /// Innermost first, as in the file.
    var dimensions: [UInt64] = [32]
    var type: UInt32 = 0
    var offset: UInt64?
    var data: [UInt8] = []
    var dimensionCount: UInt32?
  }

  var magic: UInt32 = 0x4655_4747
  var version: UInt32 = 3
  var tensorCount: UInt64?
  var keyCount: UInt64?
  /// Each key with its type tag and value, already encoded.
  var metadata: [(key: String, value: [UInt8])] = []
  var tensors: [Tensor] = []
  var alignment = 32

  mutating func set(_ key: String, type: UInt32, _ value: (inout [UInt8]) -> Void) {
    var bytes: [UInt8] = []
    bytes.append(integer: type)
    value(&bytes)
    metadata.append((key, bytes))
  }

  mutating func set(_ key: String, _ text: String) {
    set(key, type: 8) { $0.append(string: text) }
  }

  mutating func set(_ key: String, uint32 value: UInt32) {
    set(key, type: 4) { $0.append(integer: value) }
  }

  /// The bytes before the tensor data, without padding.
  var header: [UInt8] {
    var bytes: [UInt8] = []
    bytes.append(integer: magic)
    bytes.append(integer: version)
    bytes.append(integer: tensorCount ?? UInt64(tensors.count))
    bytes.append(integer: keyCount ?? UInt64(metadata.count))
    for (key, value) in metadata {
      bytes.append(string: key)
      bytes += value
    }
    var next: UInt64 = 0
    for tensor in tensors {
      bytes.append(string: tensor.name)
      bytes.append(integer: tensor.dimensionCount ?? UInt32(tensor.dimensions.count))
      for dimension in tensor.dimensions { bytes.append(integer: dimension) }
      bytes.append(integer: tensor.type)
      bytes.append(integer: tensor.offset ?? next)
      let size = UInt64(tensor.data.count)
      next += (size + UInt64(alignment) - 1) / UInt64(alignment) * UInt64(alignment)
    }
    return bytes
  }

  /// The whole file.
  var bytes: [UInt8] {
    var bytes = header
    pad(&bytes)
    for tensor in tensors {
      bytes += tensor.data
      pad(&bytes)
    }
    return bytes
  }

  private func pad(_ bytes: inout [UInt8]) {
    while bytes.count % alignment != 0 { bytes.append(UInt8(0)) }
  }

  /// A small, right file: three keys, an F32 vector and a Q4_0 matrix `[2, 32]`.
  static var valid: GGUFBytes {
    var file = GGUFBytes()
    file.set("general.architecture", "llama")
    file.set("llama.block_count", uint32: 2)
    file.set("tokenizer.ggml.tokens", type: 9) { bytes in
      bytes.append(integer: UInt32(8))
      bytes.append(integer: UInt64(2))
      bytes.append(string: "a")
      bytes.append(string: "ß")
    }
    file.tensors = [
      Tensor(name: "norm", dimensions: [8], type: 0, data: (0..<32).map { UInt8($0) }),
      Tensor(
        name: "weight", dimensions: [32, 2], type: 2, data: (0..<36).map { UInt8(100 + $0) }),
    ]
    return file
  }
}
