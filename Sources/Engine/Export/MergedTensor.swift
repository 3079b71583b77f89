internal import CKernels

/// One parameter of a merged model: where its values come from, and how to write them in another order or type.
struct MergedTensor {
  let parameter: Parameter
  /// What the adapter adds, if it adds anything.
  let pair: LowRankPair?
  /// The values after full fine-tuning, `[rows, columns]`.
  let trained: StoredTensor?
  /// Whether it is the weight of a linear map inside a block.
  let isLinear: Bool
  /// Whether the output head uses it: a matrix of its own, or the token table.
  let isHead: Bool
  let isBaseGGUF: Bool
  /// Whether Hugging Face folders have it the other way round.
  let isTransposedInFolders: Bool
  let pool: WorkerPool

  /// Whether training changed anything.
  var isTouched: Bool { pair != nil || trained != nil }
  var isVector: Bool { parameter.rows == 1 }
  var storedType: GGMLType { parameter.stored?.type ?? .f32 }

  /// The shape in a file of this order.
  func shape(in order: MergedModel.Order) -> [Int] {
    if isVector { return [parameter.columns] }
    return isTransposed(in: order) ? [parameter.columns, parameter.rows] : [parameter.rows, parameter.columns]
  }

  private func isTransposed(in order: MergedModel.Order) -> Bool {
    order == .huggingFace && isTransposedInFolders && !isVector
  }

  /// Whether rows must move between the base's order and `order`.
  private func isPermuted(in order: MergedModel.Order) -> Bool {
    parameter.rotaryHeadCount > 0 && isBaseGGUF != (order == .gguf)
  }

  /// The base's tensor, if its bytes are just what a file of this order and type has to hold.
  func bytes(in order: MergedModel.Order, as type: GGMLType) -> StoredTensor? {
    guard !isTouched, let stored = parameter.stored, stored.type == type, !isPermuted(in: order),
      parameter.isTransposed == isTransposed(in: order)
    else { return nil }
    return stored
  }

  /// Elements to hold at a time: enough for every worker, little beside any model.
  private static let chunkElements = 4 << 20

  /// Calls `body` with the merged values in the file's order, whole rows at a time.
  ///
  /// Matrices that are permuted or transposed come in one piece, which bounds memory by the largest matrix inside a block; the token
  /// table is neither.
  func forEachChunk(in order: MergedModel.Order, _ body: ([Float]) throws -> Void) throws {
    let (rows, columns) = (parameter.rows, parameter.columns)
    if isVector || isPermuted(in: order) || isTransposed(in: order) || parameter.isTransposed {
      var all = try values(0..<rows)
      if isPermuted(in: order) {
        let count = isVector ? columns : rows
        all =
          order == .gguf
          ? RotaryOrder.gguf(all, rows: count, headCount: parameter.rotaryHeadCount)
          : RotaryOrder.huggingFace(all, rows: count, headCount: parameter.rotaryHeadCount)
      }
      return try body(isTransposed(in: order) ? MergedTensor.transposed(all, rows: rows, columns: columns) : all)
    }
    let step = max(1, MergedTensor.chunkElements / max(1, columns))
    for start in stride(from: 0, to: rows, by: step) {
      try body(try values(start..<min(start + step, rows)))
    }
  }

  /// The merged values of some rows in the base's own order.
  private func values(_ rows: Range<Int>) throws(CheckpointError) -> [Float] {
    var values: [Float]
    if let trained {
      values = try trained.float32Values(rows: rows, width: parameter.columns, pool)
    } else if let stored = parameter.stored {
      if parameter.isTransposed {
        let across = try stored.float32Values(rows: 0..<parameter.columns, width: parameter.rows, pool)
        values = MergedTensor.transposed(across, rows: parameter.columns, columns: parameter.rows)
      } else {
        values = try stored.float32Values(rows: rows, width: parameter.columns, pool)
      }
    } else {
      values = parameter.values(pool)
    }
    pair?.add(to: &values, rows: rows, pool)
    return values
  }

  /// `[columns, rows]` from `[rows, columns]`.
  static func transposed(_ values: [Float], rows: Int, columns: Int) -> [Float] {
    unsafe [Float](unsafeUninitializedCapacity: values.count) { result, count in
      for column in 0..<columns {
        for row in 0..<rows { unsafe result[column * rows + row] = values[row * columns + column] }
      }
      count = values.count
    }
  }
}

extension StoredTensor {
  /// Some rows in f32, shared between the workers.
  ///
  /// - Parameters:
  ///   - rows: Of the tensor seen as a matrix.
  ///   - width: Elements in a row of that matrix.
  /// - Throws: `CheckpointError` when Hearth does not know the format.
  func float32Values(rows: Range<Int>, width: Int, _ pool: WorkerPool) throws(CheckpointError) -> [Float] {
    guard let format = unsafe hearth_format_for(formatNumber), let rowBytes = type.rowBytes(width: width) else {
      throw CheckpointError(
        .unsupported, file: file, place: .tensor(name), "is stored in a way Hearth does not know",
        found: "\(type.name)")
    }
    return unsafe withBytes { bytes in
      unsafe [Float](unsafeUninitializedCapacity: rows.count * width) { values, count in
        if let target = values.baseAddress, let base = bytes.baseAddress {
          pool.run { index, workers in
            let share = rows.count * index / workers..<rows.count * (index + 1) / workers
            for row in share {
              unsafe format.pointee.dequantize(
                target + row * width, base + (rows.lowerBound + row) * rowBytes, width)
            }
          }
        }
        count = rows.count * width
      }
    }
  }
}
