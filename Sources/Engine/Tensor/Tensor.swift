internal import CKernels

/// A dense row-major matrix of activations, `[rows, columns]`, with undefined contents until written.
///
/// Its buffer goes back to the workspace with the last reference.
@safe
public final class Tensor {
  /// Rows: usually tokens.
  public let rows: Int
  /// Columns: usually the width of a layer.
  public let columns: Int

  let data: UnsafeMutablePointer<Float>
  private let workspace: Workspace

  /// Whether anything that trains lies upstream, so that `backward` has to come through here.
  var requiresGradient = false
  /// ∂loss/∂self, `[rows, columns]`, once something downstream has added to it.
  var gradient: Tensor?

  init(_ rows: Int, _ columns: Int, in workspace: Workspace) {
    self.rows = rows
    self.columns = columns
    self.workspace = workspace
    unsafe data = workspace.take(rows * columns)
  }

  deinit { unsafe workspace.give(data, rows * columns) }

  var count: Int { rows * columns }

  func fill(_ value: Float) { unsafe data.update(repeating: value, count: count) }

  func copy(from other: Tensor) {
    precondition(count == other.count, "copying \(other.count) elements into \(count)")
    unsafe data.update(from: other.data, count: count)
  }

  /// The gradient to add to, zero at first.
  func gradientForAdding() -> Tensor {
    if let gradient { return gradient }
    let zero = Tensor(rows, columns, in: workspace)
    zero.fill(0)
    gradient = zero
    return zero
  }

  /// The gradient for a kernel that can either overwrite or add: its buffer, and whether it holds something.
  func gradientForWriting() -> (tensor: Tensor, accumulate: Bool) {
    if let gradient { return (gradient, true) }
    let fresh = Tensor(rows, columns, in: workspace)
    gradient = fresh
    return (fresh, false)
  }

  /// The elements, row by row.
  public var values: [Float] { unsafe Array(UnsafeBufferPointer(start: data, count: count)) }

  /// The elements of one row.
  public func row(_ index: Int) -> [Float] {
    precondition(index >= 0 && index < rows, "row \(index) of \(rows)")
    return unsafe Array(UnsafeBufferPointer(start: data + index * columns, count: columns))
  }
}
