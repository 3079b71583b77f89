internal import CKernels

extension Pass {
  /// `crossEntropy` with both products of the head in bf16; logits, exponentials and the loss are f32. The gradient of a row's logits
  /// is rounded and takes their place.
  func halfCrossEntropy(
    _ hidden: Tensor, _ head: Linear, _ targets: [Int32], _ scale: Float, _ weights: [Float]?
  ) -> [Float] {
    let (width, vocabulary) = (head.inputs, head.outputs)
    let chunkRows = 256
    let needsGradient = tape != nil && (hidden.requiresGradient || head.weight.isTrainable)
    precondition(weights == nil || !head.weight.isTrainable, "rows are weighted after the head's gradient")
    let gradient = needsGradient && hidden.requiresGradient ? tensor(hidden.rows, width) : nil
    var losses = [Float](repeating: 0, count: hidden.rows)
    let map = halfLinear(head, with: nil)
    // Rows of a multiple of 1 KB would meet in the same sets of the first-level cache.
    let padded = (vocabulary + 15) / 16 * 16 + ((vocabulary + 15) / 16 % 16 == 0 ? 16 : 0)
    for start in stride(from: 0, to: hidden.rows, by: chunkRows) {
      let rows = min(chunkRows, hidden.rows - start)
      let states = HalfTensor(rows, width, in: workspace)
      unsafe hearth_bf16_round(
        pool.pointer, states.data, states.stride, hidden.data + start * width, width, rows, width)
      let logits = tensor(rows, padded)
      var products = HalfProducts()
      products.add(map.terms(states, nil), lanes: vocabulary, .float(logits))
      products.run(rows: rows, pool)
      unsafe targets.withUnsafeBufferPointer { targets in
        unsafe losses.withUnsafeMutableBufferPointer { losses in
          guard let targets = targets.baseAddress, let losses = losses.baseAddress else { return }
          unsafe hearth_bf16_cross_entropy(
            pool.pointer, losses + start, logits.data, padded, targets + start, rows, vocabulary,
            needsGradient ? scale : 0)
        }
      }
      guard needsGradient else { continue }
      let dlogits = HalfTensor(over: logits, columns: vocabulary, in: workspace)
      if let gradient {
        let part = tensor(rows, width)
        var products = HalfProducts()
        // Never in integers: beside the largest of a row's probabilities the others would be rounded to nothing, all to one side.
        products.add([map.gradientBaseTerm(dlogits)], lanes: width, .float(part))
        products.run(rows: rows, pool)
        unsafe (gradient.data + start * width).update(from: part.data, count: part.count)
        if let weights {
          for row in start..<start + rows {
            for i in row * width..<(row + 1) * width { unsafe gradient.data[i] *= weights[row] }
          }
        }
      }
      map.addGradients(states, dlogits, u: nil, du: nil)
    }
    if let gradient, let tape { tape.record { [slot = hidden.slot] in slot.gradient = gradient } }
    return losses
  }
}
