/// What a backward step keeps of a tensor that the forward pass has read: the tensor, or how to compute it once more.
///
/// Outputs of norms and gates cost little beside the products around them, so they are computed again when their gradients are due, with
/// the same bits, and not held from the forward pass until then. All who read one tensor share one of these: the first
/// one computes it, and it goes with the last.
final class Remembered {
  private var tensor: Tensor?
  private let compute: () -> Tensor

  /// Keeps the tensor itself.
  init(_ tensor: Tensor) {
    self.tensor = tensor
    compute = { tensor }
  }

  /// Keeps how to compute it, which must not refer to the tensor.
  init(computing compute: @escaping () -> Tensor) { self.compute = compute }

  /// The tensor, computed again if need be.
  var value: Tensor {
    if let tensor { return tensor }
    let again = compute()
    tensor = again
    return again
  }
}

/// Where the gradient of a tensor is gathered; it outlives the tensor's own values, which backward may not need.
final class GradientSlot {
  let rows: Int
  let columns: Int
  private let workspace: Workspace
  /// Whether anything that trains lies upstream, so that `backward` has to come through here.
  var isRequired = false
  /// ∂loss/∂tensor, `[rows, columns]`, once something downstream has added to it.
  var gradient: Tensor?

  init(_ rows: Int, _ columns: Int, in workspace: Workspace) {
    (self.rows, self.columns, self.workspace) = (rows, columns, workspace)
  }

  /// The gradient to add to, zero at first.
  func forAdding() -> Tensor {
    if let gradient { return gradient }
    let zero = Tensor(rows, columns, in: workspace)
    zero.fill(0)
    gradient = zero
    return zero
  }

  /// The gradient for a kernel that can either overwrite or add: its buffer, and whether it holds something.
  func forWriting() -> (tensor: Tensor, accumulate: Bool) {
    if let gradient { return (gradient, true) }
    let fresh = Tensor(rows, columns, in: workspace)
    gradient = fresh
    return (fresh, false)
  }
}
