internal import CKernels

/// The lengths of an adapted map's rows, learned apart from their directions.
///
///     y = g ⊙ (x·Wᵀ + s·(x·Aᵀ)·Bᵀ) + b      g[o] = m[o] / n[o]      n[o] = ‖W[o] + s·B[o]·A‖
///
/// Liu et al., "DoRA: Weight-Decomposed Low-Rank Adaptation" (arXiv:2402.09353), equation 5; n counts as a constant in the gradient,
/// section 4.3. As in mlx-lm, dropout is before A alone; PEFT lets the base see dropped inputs as well, for a second product. Without
/// dropout, and always when serving, both are the same.
final class Magnitude {
  /// m, `[outputs]`.
  let lengths: Parameter
  private let weight: Parameter
  /// ‖W[o]‖²; the base does not change while it is adapted.
  private var squares: [Float]?
  /// n, and the versions of A and B that it belongs to.
  private var known: (down: Int, up: Int, norms: [Float])?
  /// Whether n stays as it is whatever A and B do: what the gradient takes it for.
  var isHeld = false

  /// Lengths of zero for the rows of `linear`.
  init(_ linear: Linear) {
    weight = linear.weight
    let base = linear.weight.name.dropping(".weight")
    lengths = Parameter(
      ParameterName(
        gguf: base.gguf + ".weight.lora_magnitude", huggingFace: base.huggingFace + ".lora_magnitude_vector"),
      rows: 1, columns: linear.outputs, stored: nil, rotaryHeadCount: linear.weight.rotaryHeadCount)
  }

  /// m / n; a row of nothing stays one.
  static func factor(length: Float, norm: Float) -> Float { norm > 0 ? length / norm : 0 }

  /// g, `[outputs]`.
  func factors(_ pair: LowRankPair, _ workspace: Workspace, _ pool: WorkerPool) -> [Float] {
    zip(lengths.values(pool), norms(pair, workspace, pool)).map { Magnitude.factor(length: $0, norm: $1) }
  }

  /// n, `[outputs]`; computed again when A or B have changed.
  func norms(_ pair: LowRankPair, _ workspace: Workspace, _ pool: WorkerPool) -> [Float] {
    let versions = (pair.down.version, pair.up.version)
    if let known, isHeld || (known.down, known.up) == versions { return known.norms }
    let norms = computeNorms(pair, workspace, pool)
    known = (versions.0, versions.1, norms)
    return norms
  }

  /// The square of a sum, so that W + s·B·A is never formed.
  ///
  ///     n² = ‖W‖² + Σ_k s·B[k] · (2·(W·Aᵀ)[k] + s·(B·(A·Aᵀ))[k])
  private func computeNorms(_ pair: LowRankPair, _ workspace: Workspace, _ pool: WorkerPool) -> [Float] {
    let (outputs, inputs, rank) = (weight.rows, weight.columns, pair.rank)
    let squares = self.squares ?? weight.rowSquares(workspace, pool)
    self.squares = squares
    let (cross, gram, inner) = (
      Tensor(outputs, rank, in: workspace), Tensor(rank, rank, in: workspace), Tensor(outputs, rank, in: workspace)
    )
    return unsafe pair.down.withFloat32(workspace, pool) { a in
      unsafe weight.withFloat32(workspace, pool) { w in
        unsafe hearth_sgemm(
          pool.pointer, false, true, outputs, rank, inputs, w, inputs, a, inputs, cross.data, rank, false)
      }
      unsafe hearth_sgemm(
        pool.pointer, false, true, rank, rank, inputs, a, inputs, a, inputs, gram.data, rank, false)
      return unsafe pair.up.withFloat32(workspace, pool) { b in
        unsafe hearth_sgemm(
          pool.pointer, false, false, outputs, rank, rank, b, rank, gram.data, rank, inner.data, rank, false)
        let scale = Double(pair.scale)
        return (0..<outputs).map { output in
          var sum = Double(squares[output])
          for k in output * rank..<(output + 1) * rank {
            unsafe sum += scale * Double(b[k]) * (2 * Double(cross.data[k]) + scale * Double(inner.data[k]))
          }
          return Float(max(0, sum).squareRoot())
        }
      }
    }
  }
}

extension Parameter {
  /// Σ_i w[o, i]² of each row, in f64, in order.
  fileprivate func rowSquares(_ workspace: Workspace, _ pool: WorkerPool) -> [Float] {
    unsafe withFloat32(workspace, pool) { w in
      unsafe [Float](unsafeUninitializedCapacity: rows) { sums, count in
        if let sums = sums.baseAddress {
          pool.run { index, workers in
            for row in rows * index / workers..<rows * (index + 1) / workers {
              var sum = 0.0
              for i in row * columns..<(row + 1) * columns { unsafe sum += Double(w[i]) * Double(w[i]) }
              unsafe sums[row] = Float(sum)
            }
          }
        }
        count = rows
      }
    }
  }
}

extension Pass {
  /// Rescales the columns of some rows of `y`, which hold z, to the lengths learned, and records the gradients.
  ///
  ///     y = g ⊙ z      dz = g ⊙ dy      dm[o] += Σ_t dy[t, o]·z[t, o] / n[o]
  func rescale(_ pair: LowRankPair, _ magnitude: Magnitude, _ rows: Range<Int>, _ y: Tensor) {
    let (pool, workspace, columns) = (pool, workspace, y.columns)
    let factors = magnitude.factors(pair, workspace, pool)
    // Nothing else keeps what y was before.
    let before: Tensor? = tape != nil && magnitude.lengths.isTrainable ? tensor(y.rows, columns) : nil
    before?.copy(from: y)
    let start = unsafe y.data + rows.lowerBound * columns
    unsafe Pass.scaleColumns(start, start, factors, rows.count, pool)
    guard let tape else { return }
    precondition(rows.count == y.rows, "a pass that trains has one adapter for all its rows")
    let slot = y.slot
    // Recorded after the product and the pair's term, so they find dz where they look for their output's gradient.
    tape.record {
      guard let dy = slot.gradient else { return }
      if let z = before, let gradient = unsafe magnitude.lengths.gradient {
        let norms = magnitude.norms(pair, workspace, pool)
        pool.run { index, workers in
          let share = columns * index / workers..<columns * (index + 1) / workers
          var sums = [Float](repeating: 0, count: share.count)
          for t in 0..<dy.rows {
            let row = t * columns + share.lowerBound
            for o in 0..<share.count { unsafe sums[o] += dy.data[row + o] * z.data[row + o] }
          }
          for (o, sum) in zip(share, sums) where norms[o] > 0 { unsafe gradient[o] += sum / norms[o] }
        }
      }
      // Not in place: the gradient may be another tensor's as well.
      let dz = Tensor(dy.rows, columns, in: workspace)
      unsafe Pass.scaleColumns(dz.data, dy.data, factors, dy.rows, pool)
      slot.gradient = dz
    }
  }

  /// target[t, o] = factors[o]·source[t, o]
  private static func scaleColumns(
    _ target: UnsafeMutablePointer<Float>, _ source: UnsafeMutablePointer<Float>, _ factors: [Float], _ rows: Int,
    _ pool: WorkerPool
  ) {
    let columns = factors.count
    unsafe factors.withUnsafeBufferPointer { factors in
      pool.run { index, workers in
        for row in rows * index / workers..<rows * (index + 1) / workers {
          for o in 0..<columns {
            unsafe target[row * columns + o] = factors[o] * source[row * columns + o]
          }
        }
      }
    }
  }
}
