internal import CKernels
public import Engine
internal import Foundation

/// A small model with random weights, to be written in either form that Hearth reads.
///
/// The same name, settings and seed always give the same model. The two forms hold the same numbers in their own names
/// and orders, so a model read from either gives the same logits but for rounding.
public struct TinyModel: Sendable, CustomStringConvertible {
  /// One of the model's tensors.
  public struct Tensor: Sendable {
    /// In a GGUF file.
    let gguf: String
    /// In a Hugging Face folder; nil when folders do without.
    let huggingFace: String?
    /// `[outputs, inputs]`, or `[width]` for a vector, whatever order a file has.
    let shape: [Int]
    /// In the order of Hugging Face, row-major.
    let values: [Float]
    /// Heads whose rows GGUF stores with the two halves of each head interleaved; 0 if the orders agree.
    var rotaryHeadCount = 0
    /// Whether folders store `[inputs, outputs]`.
    var isTransposedInFolders = false
  }

  /// What the model is, for test reports.
  public let name: String
  /// The name.
  public var description: String { name }
  /// `general.architecture` and `model_type`.
  public var architecture: String
  /// Members of `config.json`, each value as JSON.
  public var configuration: [String: String]
  /// Metadata of the GGUF file, without the architecture.
  public var metadata: [String: MetadataValue]
  /// All tensors.
  public let tensors: [Tensor]

  /// Writes `config.json` and `model.safetensors` into `folder`, which exists.
  ///
  /// - Throws: When a file cannot be written.
  public func writeFolder(to folder: String) throws {
    let members = configuration.merging(["model_type": "\"\(architecture)\""]) { $1 }
      .sorted { $0.key < $1.key }.map { "\"\($0.key)\": \($0.value)" }
    let text = "{\n" + members.joined(separator: ",\n") + "\n}\n"
    try Data(text.utf8).write(to: URL(filePath: folder + "/config.json"))
    var writer = SafetensorsWriter()
    for tensor in tensors {
      guard let name = tensor.huggingFace else { continue }
      if tensor.isTransposedInFolders, tensor.shape.count == 2 {
        let values = TinyModel.transposed(tensor.values, rows: tensor.shape[0])
        writer.add(OutgoingTensor(name: name, values: values, shape: tensor.shape.reversed()))
      } else {
        writer.add(OutgoingTensor(name: name, values: tensor.values, shape: tensor.shape))
      }
    }
    try writer.write(to: folder + "/model.safetensors")
  }

  /// Writes a GGUF file at `path`, the matrices in `format` where their rows are whole blocks, all else in F32.
  ///
  /// - Parameter format: A name of a storage format, "Q4_1".
  /// - Throws: When the file cannot be written, or there is no such format.
  public func writeGGUF(to path: String, format: String = "F32") throws {
    guard let quantised = TinyModel.type(named: format) else { throw UnknownFormat(name: format) }
    var writer = GGUFWriter(architecture: architecture)
    for (key, value) in metadata.sorted(by: { $0.key < $1.key }) { writer.metadata[key] = value }
    for tensor in tensors {
      let fits = tensor.shape.count == 2 && tensor.shape[1] % quantised.blockElements == 0
      let type = fits ? quantised : .f32
      let values = TinyModel.interleaved(tensor.values, rows: tensor.shape[0], heads: tensor.rotaryHeadCount)
      writer.add(
        OutgoingTensor(name: tensor.gguf, type: type, shape: tensor.shape) { sink in
          try sink.append(TinyModel.encode(values, as: type))
        })
    }
    try writer.write(to: path)
  }

  /// There is no storage format of this name.
  public struct UnknownFormat: Error {
    /// The name asked for.
    public let name: String
  }

  /// The names of all storage formats, "F32" among them.
  public static let formats: [String] = (0..<hearth_format_count()).compactMap { index in
    hearth_format_at(index).map { String(cString: $0.pointee.name) }
  }

  private static func type(named name: String) -> GGMLType? {
    (0..<hearth_format_count()).lazy.compactMap { hearth_format_at($0)?.pointee }
      .first { String(cString: $0.name) == name }.map { GGMLType(number: $0.ggml_type) }
  }

  private static func encode(_ values: [Float], as type: GGMLType) -> [UInt8] {
    let byteCount = values.count / type.blockElements * type.blockBytes
    return [UInt8](unsafeUninitializedCapacity: byteCount) { bytes, count in
      hearth_format_for(type.number)?.pointee.quantize(bytes.baseAddress, values, values.count)
      count = byteCount
    }
  }

  private static func transposed(_ values: [Float], rows: Int) -> [Float] {
    let columns = values.count / rows
    return (0..<columns).flatMap { column in (0..<rows).map { values[$0 * columns + column] } }
  }

  /// Rows of each head in the order 0, d/2, 1, d/2 + 1, …: llama.cpp's `convert_hf_to_gguf.py`, `permute`.
  private static func interleaved(_ values: [Float], rows: Int, heads: Int) -> [Float] {
    guard heads > 0 else { return values }
    let (columns, width) = (values.count / rows, rows / heads)
    return (0..<rows).flatMap { row in
      let (head, place) = row.quotientAndRemainder(dividingBy: width)
      let source = head * width + place % 2 * (width / 2) + place / 2
      return values[source * columns..<(source + 1) * columns]
    }
  }
}
