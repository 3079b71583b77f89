internal import CKernels

/// A row-major matrix of activations in bf16, `[rows, columns]`, as products in bf16 read them; undefined until written.
///
/// Rows are padded, so that neighbours do not meet in the same sets of the first-level cache and an odd row ends in a zero.
@safe
final class HalfTensor {
  let rows: Int
  let columns: Int
  /// Elements from one row to the next.
  let stride: Int
  let data: UnsafeMutablePointer<UInt16>
  private let buffer: UnsafeMutablePointer<Float>?
  private let workspace: Workspace
  /// Whose memory this is, when it is another's.
  private let owner: AnyObject?
  /// The rows in integers, once a product has asked for them.
  private var integers: IntegerRows?
  /// The columns in integers, likewise.
  private var turned: IntegerColumns?

  init(_ rows: Int, _ columns: Int, in workspace: Workspace) {
    (self.rows, self.columns, self.workspace) = (rows, columns, workspace)
    stride = hearth_bf16_stride(columns)
    let floats = (rows * stride + 1) / 2
    let memory = unsafe workspace.take(floats)
    unsafe buffer = memory
    unsafe data = UnsafeMutableRawPointer(memory).bindMemory(to: UInt16.self, capacity: 2 * floats)
    owner = nil
  }

  /// The first `columns` numbers of each row of what a kernel has written over the floats of `x`.
  init(over x: Tensor, columns: Int, in workspace: Workspace) {
    precondition(columns <= 2 * x.columns, "\(columns) halves in \(x.columns) floats")
    (rows, self.columns, stride, self.workspace, owner) = (x.rows, columns, 2 * x.columns, workspace, x)
    unsafe buffer = nil
    unsafe data = UnsafeMutableRawPointer(x.data).bindMemory(to: UInt16.self, capacity: 2 * x.count)
  }

  /// `x`, rounded to nearest, ties to even.
  convenience init(rounding x: Tensor, _ pool: WorkerPool, in workspace: Workspace) {
    self.init(x.rows, x.columns, in: workspace)
    unsafe hearth_bf16_round(pool.pointer, data, stride, x.data, x.columns, rows, columns)
  }

  deinit {
    if let buffer = unsafe buffer { unsafe workspace.give(buffer) }
  }

  /// `[columns, rows]`.
  func transposed(_ pool: WorkerPool) -> HalfTensor {
    let turned = HalfTensor(columns, rows, in: workspace)
    unsafe hearth_bf16_transpose(pool.pointer, turned.data, turned.stride, data, stride, rows, columns)
    return turned
  }

  /// A row for each place of sequences that share rows.
  ///
  /// - Parameter once: Whether places whose row has been there before get zeros.
  func unfolded(_ folding: PackedRows.Folding?, once: Bool = false, _ pool: WorkerPool) -> HalfTensor {
    guard let folding else { return self }
    let y = HalfTensor(folding.rowOfPlace.count, columns, in: workspace)
    unsafe hearth_bf16_unfold(
      pool.pointer, y.data, y.stride, data, stride, once ? folding.rowOfFirstPlace : folding.rowOfPlace, y.rows, columns
    )
    return y
  }

  /// For each row the sum over its places, rounded.
  func folded(_ folding: PackedRows.Folding?, _ pool: WorkerPool) -> HalfTensor {
    guard let folding else { return self }
    let y = HalfTensor(folding.offsets.count - 1, columns, in: workspace)
    unsafe hearth_bf16_fold(
      pool.pointer, y.data, y.stride, data, stride, folding.offsets, folding.places, y.rows, columns)
    return y
  }

  /// For each row what its first place has.
  func first(_ folding: PackedRows.Folding?, _ pool: WorkerPool) -> HalfTensor {
    guard let folding else { return self }
    let y = HalfTensor(folding.offsets.count - 1, columns, in: workspace)
    unsafe hearth_bf16_unfold(
      pool.pointer, y.data, y.stride, data, stride, folding.firstPlaces, y.rows, columns)
    return y
  }

  /// The rows as products in 8 bits read them; made once.
  func quantized(_ pool: WorkerPool) -> IntegerRows {
    if let integers { return integers }
    let made = IntegerRows(rows, columns, in: workspace)
    unsafe hearth_int8_quantize(pool.pointer, made.data, data, stride, rows, columns)
    integers = made
    return made
  }

  /// The columns as rows of products in 8 bits, `[columns, rows]`.
  func quantizedColumns(_ pool: WorkerPool) -> IntegerRows {
    let made = IntegerRows(columns, rows, in: workspace)
    unsafe hearth_int8_quantize_columns(pool.pointer, made.data, data, stride, rows, columns)
    return made
  }

  /// As the right side in 8 bits of a product whose sums run over its rows; made once.
  func quantizedOverRows(_ pool: WorkerPool) -> IntegerColumns {
    if let turned { return turned }
    let made = IntegerColumns(columns, depth: rows, in: workspace)
    unsafe hearth_int8_turn_halves(pool.pointer, made.matrix, data, stride)
    turned = made
    return made
  }

  /// As the right side of a product whose sums run over its rows: lanes are its columns.
  var operandOverRows: hearth_operand {
    unsafe hearth_operand(kind: HEARTH_OPERAND_BF16, data: data, ld: stride, transposed: true)
  }
}
