internal import CKernels

extension Pass {
  /// `crossEntropy` with both products of the head in bf16; logits, exponentials and the loss are f32. The gradient of a row's logits
  /// is rounded and takes their place.
  func halfCrossEntropy(
    _ hidden: Tensor, _ head: Linear, _ targets: [Int32], _ scale: Float, _ weights: [Float]?
  ) -> [Float] {
    let (width, vocabulary) = (head.inputs, head.outputs)
    let needsGradient = tape != nil && (hidden.requiresGradient || head.weight.isTrainable)
    precondition(weights == nil || !head.weight.isTrainable, "rows are weighted after the head's gradient")
    let gradient = needsGradient && hidden.requiresGradient ? tensor(hidden.rows, width) : nil
    var losses = [Float](repeating: 0, count: hidden.rows)
    let map = halfLinear(head, with: nil)
    // Rows whose logits are held at once, in chunks of equal size. A trained head's weights are cut for each of them, and their gradient is
    // read and written for each, so it takes more at a time.
    let most = needsGradient && map.isTrainable ? 512 : 256
    let chunkCount = (hidden.rows + most - 1) / most
    for chunk in 0..<chunkCount {
      let first = hidden.rows * chunk / chunkCount
      let states = HalfTensor(hidden.rows * (chunk + 1) / chunkCount - first, width, in: workspace)
      unsafe hearth_bf16_round(
        pool.pointer, states.data, states.stride, hidden.data + first * width, width, states.rows, width)
      let dlogits = halfLogitsGradient(states, map, targets, first, &losses, scale: needsGradient ? scale : 0)
      if let gradient { writeHeadGradient(dlogits, map, to: gradient, first, weights) }
      if needsGradient { map.addGradients(states, dlogits, u: nil, du: nil) }
    }
    if let gradient, let tape { tape.record { [slot = hidden.slot] in slot.gradient = gradient } }
    return losses
  }

  /// Writes the losses of some rows, and gives the gradient of their logits, `[rows, vocabulary]`, multiplied by `scale`; where that is 0
  /// it is undefined.
  private func halfLogitsGradient(
    _ states: HalfTensor, _ map: HalfLinear, _ targets: [Int32], _ start: Int, _ losses: inout [Float], scale: Float
  ) -> HalfTensor {
    let vocabulary = map.linear.outputs
    // Rows of a multiple of 1 KB would meet in the same sets of the first-level cache.
    let padded = (vocabulary + 15) / 16 * 16 + ((vocabulary + 15) / 16 % 16 == 0 ? 16 : 0)
    let logits = tensor(states.rows, padded)
    var products = HalfProducts()
    products.add(map.terms(states, nil), lanes: vocabulary, .float(logits))
    products.run(rows: states.rows, pool)
    unsafe targets.withUnsafeBufferPointer { targets in
      unsafe losses.withUnsafeMutableBufferPointer { losses in
        guard let targets = targets.baseAddress, let losses = losses.baseAddress else { return }
        unsafe hearth_bf16_cross_entropy(
          pool.pointer, losses + start, logits.data, padded, targets + start, states.rows, vocabulary, scale)
      }
    }
    return HalfTensor(over: logits, columns: vocabulary, in: workspace)
  }

  /// Writes the gradient of some rows of the states.
  private func writeHeadGradient(
    _ dlogits: HalfTensor, _ map: HalfLinear, to gradient: Tensor, _ start: Int, _ weights: [Float]?
  ) {
    let width = gradient.columns
    let part = tensor(dlogits.rows, width)
    var products = HalfProducts()
    // Never in integers: beside the largest of a row's probabilities the others would be rounded to nothing, all to one side.
    products.add([map.gradientBaseTerm(dlogits)], lanes: width, .float(part))
    products.run(rows: dlogits.rows, pool)
    unsafe (gradient.data + start * width).update(from: part.data, count: part.count)
    guard let weights else { return }
    for row in start..<start + dlogits.rows {
      for i in row * width..<(row + 1) * width { unsafe gradient.data[i] *= weights[row] }
    }
  }
}
