/// A GGUF checkpoint: its metadata, and where each tensor lies in the mapped file.
///
/// Versions 2 and 3, little-endian. Everything a file announces is checked against what it holds
/// before it is believed: counts and lengths against the bytes left, shapes against overflow and
/// block sizes, tensor ranges against the file and each other. A tensor of a type whose layout is
/// unknown does not keep the file from opening, as other tensors may be all that is wanted; using
/// that tensor is the error.
///
/// Format: ggml-org, "GGUF" (github.com/ggml-org/ggml, docs/gguf.md).
public final class GGUFFile: Sendable {
  /// One entry of the tensor directory.
  public struct Tensor: Sendable, Equatable {
    /// The tensor's name, `blk.0.attn_q.weight`.
    public let name: String
    /// The type of its elements.
    public let type: GGMLType
    /// Row-major, outermost first: the file's dimensions reversed.
    public let shape: [Int]
    /// Where its bytes begin, counted from the start of the file.
    public let offset: Int
    /// How many bytes it has, nil if the layout of its type is unknown.
    public let byteCount: Int?
  }

  /// The path, as it was given.
  public let path: String
  /// 2 or 3.
  public let version: Int
  /// Keys and values, in the order of the file.
  public let metadata: Metadata
  /// The tensor directory, in the order of the file.
  public let tensors: [Tensor]
  /// What tensor offsets are multiples of.
  public let alignment: Int

  private let mapping: SharedMapping
  private let indices: [String: Int]

  /// Opens and checks the file at `path`, without reading tensor data.
  ///
  /// - Throws: `CheckpointError` naming the key, tensor or byte where the file cannot be read or
  ///   believed.
  public convenience init(path: String) throws(CheckpointError) {
    try self.init(SharedMapping(path: path))
  }

  /// Checks a file that is mapped already.
  init(_ mapping: SharedMapping) throws(CheckpointError) {
    self.mapping = mapping
    path = mapping.file.path
    let header = try GGUFHeader(of: mapping)
    version = header.version
    metadata = header.metadata
    tensors = header.tensors
    alignment = header.alignment
    indices = header.indices
  }

  /// Tells the system that the file's bytes are not needed for now; reading them again reads the file again.
  func letGo() { mapping.letGo() }

  /// The directory entry of the tensor called `name`.
  public func entry(_ name: String) -> Tensor? { indices[name].map { tensors[$0] } }

  /// The tensor called `name`, nil if there is none.
  ///
  /// - Throws: `CheckpointError` if the tensor's type has no known layout.
  public func tensorIfPresent(_ name: String) throws(CheckpointError) -> StoredTensor? {
    guard let entry = entry(name) else { return nil }
    guard let byteCount = entry.byteCount else {
      throw CheckpointError(
        .unsupported, file: path, place: .tensor(name),
        "has a type that Hearth cannot read", found: entry.type.name,
        advice: "Get the model in another format, such as Q8_0 or Q4_K_M")
    }
    return StoredTensor(
      name: name, formatNumber: entry.type.number, shape: entry.shape, file: path, owner: mapping,
      offset: entry.offset, byteCount: byteCount)
  }
}
