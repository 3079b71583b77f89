internal import CKernels

/// What a layer in bf16 keeps of its input for the gradient: the rows rounded, at half of what they take, and where their gradient
/// is gathered.
///
/// What reads them there, the norm's gradient and the normalised rows of products in bf16, rounds as much by itself.
struct KeptRows {
  private let halves: HalfTensor
  let slot: GradientSlot

  init(_ x: Tensor, _ pool: WorkerPool, in workspace: Workspace) {
    (halves, slot) = (HalfTensor(rounding: x, pool, in: workspace), x.slot)
  }

  /// The rows in f32.
  func widened(_ pool: WorkerPool, in workspace: Workspace) -> Tensor {
    let x = Tensor(halves.rows, halves.columns, in: workspace)
    pool.run { [halves] index, workers in
      for row in x.rows * index / workers..<x.rows * (index + 1) / workers {
        unsafe hearth_bf16_widen(x.data + row * x.columns, halves.data + row * halves.stride, x.columns)
      }
    }
    return x
  }
}
