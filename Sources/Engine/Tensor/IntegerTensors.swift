internal import CKernels

/// Rows in 8 bits, with a scale for each block of 128.
@safe
final class IntegerRows {
  let data: UnsafeMutablePointer<Float>
  private let workspace: Workspace

  init(_ rows: Int, _ columns: Int, in workspace: Workspace) {
    self.workspace = workspace
    unsafe data = workspace.take(hearth_int8_row_bytes(columns) * rows / 4)
  }

  deinit { unsafe workspace.give(data) }
}

/// Columns in 8 bits, with a scale for each block of 128 rows.
@safe
final class IntegerColumns {
  /// A `hearth_int8`.
  let matrix: OpaquePointer
  private let data: UnsafeMutablePointer<Float>
  private let workspace: Workspace

  /// Columns of a matrix that is trained, as they are now; nil for any other.
  convenience init?(trained parameter: Parameter, _ pool: WorkerPool, in workspace: Workspace) {
    guard parameter.isTrainable, let values = unsafe parameter.float32 else { return nil }
    self.init(parameter.columns, depth: parameter.rows, in: workspace)
    unsafe hearth_int8_turn_floats(pool.pointer, matrix, values, parameter.columns)
  }

  /// Columns of a packed matrix; nil for any other.
  convenience init?(packed parameter: Parameter, _ pool: WorkerPool, in workspace: Workspace) {
    guard let packed = unsafe parameter.packed else { return nil }
    self.init(parameter.columns, depth: parameter.rows, in: workspace)
    unsafe hearth_int8_turn_packed(pool.pointer, matrix, packed)
  }

  init(_ lanes: Int, depth: Int, in workspace: Workspace) {
    self.workspace = workspace
    unsafe data = workspace.take((hearth_int8_bytes(lanes, depth) + 3) / 4)
    guard let matrix = unsafe hearth_int8_create(lanes, depth, data) else {
      preconditionFailure("out of memory: a matrix in 8 bits")
    }
    unsafe self.matrix = matrix
  }

  deinit {
    unsafe hearth_int8_free(matrix)
    unsafe workspace.give(data)
  }
}
