extension MergedModel {
  /// What a file was made of.
  public struct Summary: Sendable, Equatable {
    /// Tensors taken over byte for byte.
    public fileprivate(set) var copied = 0
    /// Tensors written anew: merged, converted or in another order.
    public fileprivate(set) var converted = 0
    /// Bytes by type.
    public fileprivate(set) var bytes: [String: Int] = [:]

    /// The type that holds most bytes.
    public var mostly: String { bytes.max { ($0.value, $1.key) < ($1.value, $0.key) }?.key ?? "F32" }

    mutating func count(_ type: GGMLType, shape: [Int], isCopied: Bool) {
      if isCopied { copied += 1 } else { converted += 1 }
      bytes[type.name, default: 0] += type.byteCount(shape: shape) ?? 0
    }
  }

  /// Writes the merged model as one GGUF file.
  ///
  /// Of a GGUF base all metadata stay but the name and the type, and tensors keep their order; a folder's tensors get llama.cpp's
  /// names, and their query and key rows its order. `StorageType` says what each tensor is stored as.
  ///
  /// - Parameters:
  ///   - path: Its folder must exist; what is there is replaced.
  ///   - name: `general.name`.
  ///   - tokenizer: `tokenizer.*` for a base that is a folder.
  ///   - type: What matrices are to be stored as; nil keeps types as far as can be.
  ///   - errors: Receives what the types cost.
  /// - Throws: `CheckpointError` when the base cannot be written so, `FileError` when the disk is full or refuses. Nothing half-written is
  ///   left behind.
  public func writeGGUF(
    to path: String, name: String, tokenizer: Metadata = Metadata(), type: StorageType? = nil,
    errors: QuantizationError? = nil
  ) throws -> Summary {
    var (outgoing, summary) = try ggufTensors(type, errors)
    var metadata: Metadata
    switch base.checkpoint.source {
    case .gguf(let file): metadata = file.metadata
    case .huggingFace:
      let family = try base.exportedFamily()
      metadata = Metadata()
      metadata["general.architecture"] = .string(base.ggufArchitecture)
      metadata["general.type"] = .string("model")
      metadata["general.name"] = .string(name)
      metadata.merge(try family.ggufSettings(of: base))
      let extras = try family.ggufExtras(of: base)
      for extra in extras { summary.count(extra.type, shape: extra.shape, isCopied: false) }
      outgoing = extras + outgoing
      metadata["general.quantization_version"] = .uint32(2)
      metadata.merge(tokenizer)
    }
    metadata["general.name"] = .string(name)
    // A base's own mixture ("Q4_K_M") keeps its number as long as most of the file is what it was.
    let most = MergedModel.mostType(outgoing.map { ($0.type, $0.shape) })
    if most != baseType(), let number = StorageType.fileType(most) {
      metadata["general.file_type"] = .uint32(number)
    }
    var writer = GGUFWriter(metadata: metadata)
    for tensor in outgoing { writer.add(tensor) }
    try writer.write(to: path)
    return summary
  }

  /// The type of most elements of matrices.
  private static func mostType(_ tensors: [(type: GGMLType, shape: [Int])]) -> GGMLType {
    var counts: [UInt32: Int] = [:]
    for (type, shape) in tensors where shape.count > 1 { counts[type.number, default: 0] += shape.reduce(1, *) }
    let most = counts.max { ($0.value, $1.key) < ($1.value, $0.key) }
    return most.map { GGMLType(number: $0.key) } ?? .f32
  }

  /// The type of most of a base that is a GGUF file; nil for folders, which have no number for it.
  private func baseType() -> GGMLType? {
    guard case .gguf(let file) = base.checkpoint.source else { return nil }
    return MergedModel.mostType(file.tensors.map { ($0.type, $0.shape) })
  }

  private func ggufTensors(
    _ type: StorageType?, _ errors: QuantizationError?
  ) throws -> (tensors: [OutgoingTensor], summary: Summary) {
    var summary = Summary()
    let merged = try tensors()
    func outgoing(_ tensor: MergedTensor) -> OutgoingTensor {
      let target = StorageType.gguf(tensor, asked: type)
      let isCopied = tensor.bytes(in: .gguf, as: target) != nil
      summary.count(target, shape: tensor.shape(in: .gguf), isCopied: isCopied)
      return tensor.outgoing(tensor.parameter.name.gguf, in: .gguf, as: target, errors)
    }
    guard case .gguf(let file) = base.checkpoint.source else { return (merged.map(outgoing), summary) }
    let byName = Dictionary(merged.map { ($0.parameter.name.gguf, $0) }, uniquingKeysWith: { first, _ in first })
    var result: [OutgoingTensor] = []
    for entry in file.tensors {
      if let tensor = byName[entry.name] {
        result.append(outgoing(tensor))
      } else if let stored = try file.tensorIfPresent(entry.name) {
        // Llama 3's divisors and the like.
        summary.count(stored.type, shape: stored.shape, isCopied: true)
        result.append(OutgoingTensor(stored))
      }
    }
    return (result, summary)
  }
}

extension MergedTensor {
  /// The tensor as it goes into a file: the base's bytes if they are right as they are, else its values made while they are written.
  func outgoing(
    _ name: String, in order: MergedModel.Order, as type: GGMLType, _ errors: QuantizationError?
  ) -> OutgoingTensor {
    let shape = shape(in: order)
    let columns = shape.last ?? 1
    if let stored = bytes(in: order, as: type) {
      return OutgoingTensor(name: name, type: type, shape: shape) { sink in
        if let errors, !isVector {
          try forEachChunk(in: order) { errors.add(name, type: type, $0, stored: nil) }
        }
        try sink.append(stored.span)
      }
    }
    return OutgoingTensor(name: name, type: type, shape: shape) { sink in
      try forEachChunk(in: order) { values in
        try requireFinite(values)
        let bytes = type.encode(values, columns: columns, pool)
        if let errors, !isVector {
          errors.add(name, type: type, values, stored: type.decode(bytes, columns: columns, pool))
        }
        try sink.append(bytes)
      }
    }
  }

  /// Block formats turn NaN into zero without a word, and a model with infinities answers nothing.
  private func requireFinite(_ values: [Float]) throws(CheckpointError) {
    guard !values.allSatisfy(\.isFinite) else { return }
    throw CheckpointError(
      .mismatch, file: trained?.file ?? parameter.stored?.file ?? "", place: .tensor(parameter.name.huggingFace),
      "has values that are not finite after merging", expected: "finite numbers",
      advice: isTouched
        ? "The training diverged: train again with a lower learning rate" : "The model's file is damaged")
  }
}

extension Metadata {
  /// Takes over the keys and values of another, in its order.
  mutating func merge(_ other: Metadata) {
    for (key, value) in other.entries { self[key] = value }
  }
}
