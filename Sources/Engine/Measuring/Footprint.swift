internal import CKernels

/// The memory that a model takes, known from its headers alone.
public struct Footprint: Sendable, Equatable {
  /// Weights as they lie in memory once loaded; what decoding reads for each token.
  public var weightBytes: Int
  /// Keys and values of one position.
  public var cacheBytesPerToken: Int
  /// Activations of a prompt, at most.
  public var workspaceBytes: Int
  /// Numbers in all parameters.
  public var parameterCount: Int
  /// The longest sequence the model was made for, in tokens.
  public var contextLength: Int

  /// A footprint from its parts.
  public init(
    weightBytes: Int, cacheBytesPerToken: Int, workspaceBytes: Int, parameterCount: Int, contextLength: Int
  ) {
    self.weightBytes = weightBytes
    self.cacheBytesPerToken = cacheBytesPerToken
    self.workspaceBytes = workspaceBytes
    self.parameterCount = parameterCount
    self.contextLength = contextLength
  }

  /// Reads headers only; weights stay in their file.
  ///
  /// - Throws: `CheckpointError` when the family is unknown, or a setting or tensor is missing or misshapen.
  public init(_ checkpoint: Checkpoint, precision: Precision = .serving) throws(CheckpointError) {
    let model = try LanguageModel(
      checkpoint, precision: precision, pool: WorkerPool(threadCount: 1), isForReading: true)
    self = model.footprint
  }

  /// Memory for a context of so many tokens, without what the program itself needs.
  public func bytes(contextLength: Int) -> Int {
    weightBytes + workspaceBytes + contextLength * cacheBytesPerToken
  }
}

extension LanguageModel {
  /// What this model takes, loaded or not.
  public var footprint: Footprint {
    let shape = architecture.shape
    let matrices = servedMatrices
    var bytes = 0
    for parameter in parameters {
      if matrices.contains(ObjectIdentifier(parameter)) {
        bytes += parameter.servedBytes(precision)
      } else if parameter.rows == 1 || parameter.isTransposed {
        bytes += 4 * parameter.count
      }
    }
    let widest = linears.map { max($0.inputs, $0.outputs) }.max() ?? shape.width
    return Footprint(
      weightBytes: bytes,
      cacheBytesPerToken: cacheShape.layerCount * cacheShape.layerBytes / KVCache.pageTokens,
      // The widest tensors twice, and four of the model's width, of the longest chunk of a prompt.
      workspaceBytes: 4 * 512 * (2 * widest + 4 * shape.width) + 4 * shape.vocabularyCount,
      parameterCount: parameterCount, contextLength: contextLength)
  }
}

extension Parameter {
  /// Bytes that this matrix takes in memory when a model is used in `precision`.
  func servedBytes(_ precision: Precision) -> Int {
    if let packed = unsafe packed { return unsafe hearth_affine_bytes(packed) }
    if let dense = unsafe dense { return unsafe hearth_dense_bytes(dense) }
    if precision == .serving, !isTransposed, let stored, let format = unsafe hearth_format_for(stored.formatNumber) {
      let bytes = unsafe hearth_packed_bytes(format, rows, columns)
      if bytes > 0 { return bytes }
    }
    return 4 * count
  }
}
