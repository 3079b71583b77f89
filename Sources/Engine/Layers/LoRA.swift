internal import CKernels

/// The two matrices that an adapter adds to one linear map.
///
///     y += s · (drop(x)·Aᵀ)·Bᵀ      s = α / r, or α / √r with rank stabilisation
///
/// Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models" (arXiv:2106.09685), equation 3; Kalajdzievski, "A Rank
/// Stabilization Scaling Factor for Fine-Tuning with LoRA" (arXiv:2312.03732).
final class LowRankPair {
  /// A, `[rank, inputs]`.
  let down: Parameter
  /// B, `[outputs, rank]`.
  let up: Parameter
  /// The lengths of the map's rows, with DoRA.
  let magnitude: Magnitude?
  /// Rank and α of this pair, which need not be those of all.
  let settings: Adapter.Settings

  var scale: Float { settings.scale }
  /// Probability that an input of A is dropped in training.
  var dropout: Float { settings.dropout }
  var rank: Int { down.rows }

  /// All that is trained.
  var parameters: [Parameter] { [down, up] + (magnitude.map { [$0.lengths] } ?? []) }

  init(down: Parameter, up: Parameter, magnitude: Magnitude? = nil, settings: Adapter.Settings) {
    self.down = down
    self.up = up
    self.magnitude = magnitude
    self.settings = settings
  }

  /// A pair of zeros that fits `linear`.
  convenience init(_ linear: Linear, settings: Adapter.Settings, _ pool: WorkerPool) {
    let base = linear.weight.name.dropping(".weight")
    let down = Parameter(
      ParameterName(gguf: base.gguf + ".weight.lora_a", huggingFace: base.huggingFace + ".lora_A.weight"),
      rows: settings.rank, columns: linear.inputs, stored: nil)
    let up = Parameter(
      ParameterName(gguf: base.gguf + ".weight.lora_b", huggingFace: base.huggingFace + ".lora_B.weight"),
      rows: linear.outputs, columns: settings.rank, stored: nil,
      rotaryHeadCount: linear.weight.rotaryHeadCount)
    self.init(
      down: down, up: up, magnitude: settings.isWeightDecomposed ? Magnitude(linear) : nil, settings: settings)
    for parameter in parameters { parameter.holdFloat32(pool) }
  }
}

extension Pass {
  /// Adds an adapter's term to the rows of `y` it works on, and records its gradients.
  ///
  ///     u = s · drop(x)·Aᵀ        y += u·Bᵀ
  ///     du = s · dy·B    dB += dyᵀ·u    dA += duᵀ·drop(x)    dx += drop(du·A)
  func addLowRank(_ pair: LowRankPair, _ segment: AdapterSegment, _ x: Tensor, _ y: Tensor) {
    let (rows, first, rank) = (segment.rows.count, segment.rows.lowerBound, pair.rank)
    let (pool, workspace) = (pool, workspace)
    let stream = pair.dropout > 0 ? dropout?.next() : nil
    let u = tensor(rows, rank)
    do {
      // Dropped once more when the gradient is due: the counter drops the same, so no copy is kept.
      let dropped = stream.map { drop(x, segment, pair.dropout, $0) }
      let input = unsafe UnsafePointer(dropped?.data ?? x.data + first * x.columns)
      unsafe pair.down.withFloat32(workspace, pool) { a in
        unsafe hearth_sgemm(
          pool.pointer, false, true, rows, rank, x.columns, input, x.columns, a, x.columns, u.data, rank,
          false)
      }
    }
    scaleInPlace(u, pair.scale)
    unsafe pair.up.withFloat32(workspace, pool) { b in
      unsafe hearth_sgemm(
        pool.pointer, false, true, rows, y.columns, rank, u.data, rank, b, rank,
        y.data + first * y.columns, y.columns, true)
    }
    guard let tape else { return }
    precondition(rows == y.rows, "a pass that trains has one adapter for all its rows")
    let seed = dropout?.seed ?? 0
    let (slot, output, columns, width) = (x.slot, y.slot, x.columns, y.columns)
    let source = pair.down.isTrainable ? x.remembered : nil
    // Recorded after the product, so it runs before it, while y's gradient is still there.
    tape.record {
      guard let dy = output.gradient else { return }
      let du = Tensor(rows, rank, in: workspace)
      unsafe pair.up.withFloat32(workspace, pool) { b in
        unsafe hearth_sgemm(
          pool.pointer, false, false, rows, rank, width, dy.data, width, b, rank, du.data, rank,
          false)
      }
      self.scaleInPlace(du, pair.scale)
      if pair.up.isTrainable, let gradient = unsafe pair.up.gradient {
        unsafe hearth_sgemm(
          pool.pointer, true, false, width, rank, rows, dy.data, width, u.data, rank, gradient,
          rank, true)
      }
      if let source, let gradient = unsafe pair.down.gradient {
        let x = source.value
        let dropped = stream.map { self.drop(x, segment, pair.dropout, $0) }
        unsafe hearth_sgemm(
          pool.pointer, true, false, rank, columns, rows, du.data, rank, (dropped ?? x).data, columns,
          gradient, columns, true)
      }
      guard slot.isRequired else { return }
      unsafe pair.down.withFloat32(workspace, pool) { a in
        if let stream {
          let through = Tensor(rows, columns, in: workspace)
          unsafe hearth_sgemm(
            pool.pointer, false, false, rows, columns, rank, du.data, rank, a, columns, through.data, columns, false)
          unsafe hearth_dropout(
            pool.pointer, through.data, through.count, pair.dropout, seed, stream)
          unsafe hearth_add_scaled(
            pool.pointer, slot.forAdding().data, through.data, 1, through.count)
        } else {
          let (dx, accumulate) = slot.forWriting()
          unsafe hearth_sgemm(
            pool.pointer, false, false, rows, columns, rank, du.data, rank, a, columns, dx.data, columns, accumulate)
        }
      }
    }
  }

  /// The adapter's rows of `x` after dropout.
  private func drop(_ x: Tensor, _ segment: AdapterSegment, _ probability: Float, _ stream: UInt64) -> Tensor {
    let copy = tensor(segment.rows.count, x.columns)
    unsafe copy.data.update(from: x.data + segment.rows.lowerBound * x.columns, count: copy.count)
    unsafe hearth_dropout(pool.pointer, copy.data, copy.count, probability, dropout?.seed ?? 0, stream)
    return copy
  }

  private func scaleInPlace(_ x: Tensor, _ scale: Float) {
    for i in 0..<x.count { unsafe x.data[i] *= scale }
  }
}
