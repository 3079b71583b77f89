internal import CKernels

extension Pass {
  /// The loss over the vocabulary, and its gradient, without ever holding all logits.
  ///
  ///     loss = −scale · Σ_t log softmax(E·h[t])[target[t]]
  ///
  /// Rows of `hidden` go through the output head a chunk at a time; each chunk's gradient is computed at once, while its logits
  /// are in cache, so that forward and backward need memory for one chunk only.
  ///
  /// - Parameters:
  ///   - hidden: States of the supervised positions only, `[targets, width]`.
  ///   - head: `[vocabulary, width]`.
  ///   - targets: The token that follows each position.
  ///   - scale: 1 / number of supervised tokens in the whole optimiser step.
  ///   - weights: What each row's loss is multiplied by beside that, `[targets]`; all by 1 when nil. Only where the head is not trained.
  /// - Returns: −log p(target[t]) for each row, unscaled.
  func crossEntropy(
    _ hidden: Tensor, _ head: Linear, targets: [Int32], scale: Float, weights: [Float]? = nil
  ) -> [Float] {
    precondition(hidden.rows == targets.count, "\(targets.count) targets for \(hidden.rows) rows")
    if precision.usesHalves { return halfCrossEntropy(hidden, head, targets, scale, weights) }
    let (width, vocabulary, chunkRows) = (head.inputs, head.outputs, 128)
    let needsGradient = tape != nil && (hidden.requiresGradient || head.weight.isTrainable)
    precondition(weights == nil || !head.weight.isTrainable, "rows are weighted after the head's gradient")
    let gradient = needsGradient && hidden.requiresGradient ? tensor(hidden.rows, width) : nil
    var losses = [Float](repeating: 0, count: hidden.rows)
    unsafe head.weight.withFloat32(workspace, pool) { weight in
      for start in stride(from: 0, to: hidden.rows, by: chunkRows) {
        let rows = min(chunkRows, hidden.rows - start)
        let logits = tensor(rows, vocabulary)
        let states = unsafe hidden.data + start * width
        unsafe hearth_sgemm(
          pool.pointer, false, true, rows, vocabulary, width, states, width, weight, width, logits.data,
          vocabulary, false)
        unsafe targets.withUnsafeBufferPointer { targets in
          unsafe losses.withUnsafeMutableBufferPointer { losses in
            guard let targets = targets.baseAddress, let losses = losses.baseAddress else { return }
            unsafe hearth_cross_entropy(
              pool.pointer, losses + start, logits.data, targets + start, rows, vocabulary,
              needsGradient ? scale : 0)
          }
        }
        if let gradient {
          unsafe hearth_sgemm(
            pool.pointer, false, false, rows, width, vocabulary, logits.data, vocabulary, weight, width,
            gradient.data + start * width, width, false)
          if let weights {
            for row in start..<start + rows {
              for i in row * width..<(row + 1) * width { unsafe gradient.data[i] *= weights[row] }
            }
          }
        }
        if needsGradient, head.weight.isTrainable, let dw = unsafe head.weight.gradient {
          unsafe hearth_sgemm(
            pool.pointer, true, false, vocabulary, width, rows, logits.data, vocabulary, states, width,
            dw, width, true)
        }
      }
    }
    if let gradient, let tape { tape.record { [slot = hidden.slot] in slot.gradient = gradient } }
    return losses
  }

  /// Rows of logits become rows of log-probabilities, in place.
  func logSoftmax(_ logits: Tensor) {
    unsafe hearth_log_softmax(pool.pointer, logits.data, logits.rows, logits.columns)
  }
}
