/// The element types of safetensors files.
public enum SafetensorsType: String, Sendable, CaseIterable {
  case float64 = "F64"
  case float32 = "F32"
  case float16 = "F16"
  case bfloat16 = "BF16"
  case float8E4M3 = "F8_E4M3"
  case float8E5M2 = "F8_E5M2"
  case int64 = "I64"
  case int32 = "I32"
  case int16 = "I16"
  case int8 = "I8"
  case uint64 = "U64"
  case uint32 = "U32"
  case uint16 = "U16"
  case uint8 = "U8"
  case bool = "BOOL"

  /// Bytes of one element.
  public var byteCount: Int {
    switch self {
    case .float64, .int64, .uint64: 8
    case .float32, .int32, .uint32: 4
    case .float16, .bfloat16, .int16, .uint16: 2
    case .float8E4M3, .float8E5M2, .int8, .uint8, .bool: 1
    }
  }

  /// The same type in GGUF, nil if GGUF has none.
  public var ggmlType: GGMLType? {
    switch self {
    case .float64: .f64
    case .float32: .f32
    case .float16: .f16
    case .bfloat16: .bf16
    case .int64: .i64
    case .int32: .i32
    case .int16: .i16
    case .int8: .i8
    case .float8E4M3, .float8E5M2, .uint64, .uint32, .uint16, .uint8, .bool: nil
    }
  }

  /// The type with the layout of a GGUF type, nil if safetensors has none (all quantised ones).
  public init?(_ type: GGMLType) {
    guard let match = SafetensorsType.allCases.first(where: { $0.ggmlType == type }) else {
      return nil
    }
    self = match
  }
}

/// A safetensors file: where each tensor lies in the mapped file.
///
/// The tensors must fill the data exactly: no overlap, no gap, nothing after the last.
///
/// Format: Hugging Face, "safetensors" (github.com/huggingface/safetensors, README, "Format").
public final class SafetensorsFile: Sendable {
  /// One entry of the header.
  public struct Tensor: Sendable, Equatable {
    /// The tensor's name, `model.embed_tokens.weight`.
    public let name: String
    /// The type of its elements.
    public let type: SafetensorsType
    /// Row-major, outermost first.
    public let shape: [Int]
    /// Where its bytes begin, counted from the start of the file.
    public let offset: Int
    /// How many bytes it has.
    public let byteCount: Int
  }

  /// The path, as it was given.
  public let path: String
  /// The header's `__metadata__`: free text by name.
  public let metadata: [String: String]
  /// The tensors, in the order of the header.
  public let tensors: [Tensor]

  private let mapping: SharedMapping
  private let indices: [String: Int]

  /// Opens and checks the file at `path`, without reading tensor data.
  ///
  /// - Throws: `CheckpointError` naming the tensor or byte where the file cannot be read or
  ///   believed.
  public init(path: String) throws(CheckpointError) {
    self.path = path
    mapping = try SharedMapping(path: path)
    let header = try SafetensorsHeader(of: mapping)
    metadata = header.metadata
    tensors = header.tensors
    indices = header.indices
  }

  /// Tells the system that the file's bytes are not needed for now; reading them again reads the file again.
  func letGo() { mapping.letGo() }

  /// The entry of the tensor called `name`.
  public func entry(_ name: String) -> Tensor? { indices[name].map { tensors[$0] } }

  /// The tensor called `name`, nil if there is none.
  ///
  /// - Throws: `CheckpointError` if its type is one that GGUF, and so the engine, has no number
  ///   for.
  public func tensorIfPresent(_ name: String) throws(CheckpointError) -> StoredTensor? {
    guard let entry = entry(name) else { return nil }
    guard let type = entry.type.ggmlType else {
      throw CheckpointError(
        .unsupported, file: path, place: .tensor(name),
        "has a type that Hearth does not compute with",
        expected: "F32, F16 or BF16", found: entry.type.rawValue,
        advice: "Convert the model to BF16")
    }
    return StoredTensor(
      name: name, formatNumber: type.number, shape: entry.shape, file: path, owner: mapping,
      offset: entry.offset, byteCount: entry.byteCount)
  }

  /// Calls `body` with the stored bytes of a tensor of any type; nil if there is no such tensor.
  public func withBytes<Result>(
    of name: String, _ body: (RawSpan) throws -> Result
  ) rethrows -> Result? {
    guard let entry = entry(name) else { return nil }
    let mapping = mapping
    // Bytes of any type may be viewed raw; only the view back to a type could be wrong.
    return unsafe try body(
      mapping.bytes.bytes.extracting(entry.offset..<entry.offset + entry.byteCount))
  }
}
