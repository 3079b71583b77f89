internal import CKernels

/// A type that weights can be stored in, and which tensors of a model take it.
///
/// When a type is asked for, tensors take it as `llama-quantize --pure` would give it, with llama.cpp's own exceptions: vectors and
/// position tables stay f32; the output head (the token table, if tied) is kept better, in Q6_K; rows that are not whole blocks fall
/// back to the nearest type of small blocks. When none is asked for, what training left alone stays byte for byte, and what it changed
/// becomes F16 if it was quantised: quantising again would add an error about as large as the first one's to what was just learned.
///
/// llama.cpp, `src/llama-quant.cpp`: `tensor_allows_quantization`, `tensor_type_fallback`.
public struct StorageType: Sendable, Equatable {
  /// As GGUF names it.
  public let type: GGMLType

  /// "Q4_1".
  public var name: String { type.name }

  /// The names of all types that Hearth writes.
  public static var names: [String] { formats.map(\.name) }

  private static var formats: [GGMLType] {
    (0..<hearth_format_count()).compactMap { index in
      guard let format = unsafe hearth_format_at(index), unsafe format.pointee.quantize != nil else { return nil }
      return GGMLType(number: unsafe format.pointee.ggml_type)
    }
  }

  /// The type of this name, in capitals or not; nil if Hearth writes none.
  public init?(name: String) {
    guard let type = StorageType.formats.first(where: { $0.name == name.uppercased() }) else { return nil }
    self.type = type
  }

  /// Whether values are kept one by one rather than in blocks.
  public var isPlain: Bool { type.blockElements == 1 }

  /// What a tensor is stored as in a GGUF file.
  static func gguf(_ tensor: MergedTensor, asked: StorageType?) -> GGMLType {
    let stored = tensor.storedType
    let isPosition = tensor.parameter.name.gguf == "position_embd.weight"
    if tensor.isVector || isPosition {
      // llama.cpp adds these to f32 activations, and wants them so.
      return !tensor.isTouched && tensor.isBaseGGUF ? stored : .f32
    }
    guard let asked else { return tensor.isTouched && stored.blockElements > 1 ? .f16 : stored }
    let isSmall = asked.type.blockElements > 1 && asked.name != "Q8_0"
    let wanted = tensor.isHead && isSmall ? GGMLType(named: "Q6_K") : asked.type
    return fitting(wanted, columns: tensor.parameter.columns)
  }

  /// `type`, or the nearest whose blocks fill a row.
  private static func fitting(_ type: GGMLType, columns: Int) -> GGMLType {
    guard columns % type.blockElements != 0 else { return type }
    let small =
      switch type.name {
      case "Q4_K": "Q5_0"
      case "Q5_K": "Q5_1"
      case "Q6_K": "Q8_0"
      case "Q2_K", "Q3_K", "IQ4_XS": "IQ4_NL"
      default: "F16"
      }
    let other = GGMLType(named: small)
    return columns % other.blockElements == 0 ? other : .f16
  }

  /// `general.file_type`: what most of the file is. llama.cpp, `enum llama_ftype`.
  static func fileType(_ type: GGMLType) -> UInt32? {
    switch type.name {
    case "F32": 0
    case "F16": 1
    case "Q4_0": 2
    case "Q4_1": 3
    case "Q8_0": 7
    case "Q5_0": 8
    case "Q5_1": 9
    case "Q2_K": 10
    case "Q3_K": 11
    case "Q4_K": 14
    case "Q5_K": 16
    case "Q6_K": 18
    case "IQ4_NL": 25
    case "IQ4_XS": 30
    case "BF16": 32
    default: nil
    }
  }
}

extension GGMLType {
  /// The type of a name that Hearth knows to exist.
  fileprivate init(named name: String) {
    self = (0..<64).lazy.map { GGMLType(number: $0) }.first { $0.name == name } ?? .f32
  }

  /// Values in this type, shared between the workers.
  ///
  /// - Parameter values: Whole rows of `columns`, which are whole blocks.
  func encode(_ values: [Float], columns: Int, _ pool: WorkerPool) -> [UInt8] {
    guard let format = unsafe hearth_format_for(number), let rowBytes = rowBytes(width: columns), columns > 0 else {
      preconditionFailure("\(name): rows of \(columns) cannot be written")
    }
    let rows = values.count / columns
    return unsafe [UInt8](unsafeUninitializedCapacity: rows * rowBytes) { bytes, count in
      unsafe values.withUnsafeBufferPointer { values in
        if let target = bytes.baseAddress, let source = values.baseAddress {
          pool.run { index, workers in
            for row in rows * index / workers..<rows * (index + 1) / workers {
              unsafe format.pointee.quantize(target + row * rowBytes, source + row * columns, columns)
            }
          }
        }
      }
      count = rows * rowBytes
    }
  }

  /// The inverse of `encode`, as far as there is one.
  func decode(_ bytes: [UInt8], columns: Int, _ pool: WorkerPool) -> [Float] {
    guard let format = unsafe hearth_format_for(number), let rowBytes = rowBytes(width: columns), rowBytes > 0 else {
      preconditionFailure("\(name): rows of \(columns) cannot be read")
    }
    let rows = bytes.count / rowBytes
    return unsafe [Float](unsafeUninitializedCapacity: rows * columns) { values, count in
      unsafe bytes.withUnsafeBytes { bytes in
        if let target = values.baseAddress, let source = bytes.baseAddress {
          pool.run { index, workers in
            for row in rows * index / workers..<rows * (index + 1) / workers {
              unsafe format.pointee.dequantize(target + row * columns, source + row * rowBytes, columns)
            }
          }
        }
      }
      count = rows * columns
    }
  }
}
