internal import CKernels

extension Pass {
  /// A block's feed-forward layer: x + down(silu(gate(norm(x))) · up(norm(x))), `[tokens, width]`.
  func feedForward(_ gate: Linear, _ up: Linear, _ down: Linear, normalisedBy norm: RMSNorm, _ x: Tensor) -> Tensor {
    if let maps = halfLinears([gate, up, down]) { return halfFeedForward(maps[0], maps[1], maps[2], norm, x) }
    let gateUp = apply([gate, up], to: x, normalisedBy: norm)
    return apply(down, toSwiGLUOf: gateUp[0], gateUp[1], addedTo: x)
  }

  /// The rows of `x` that are wanted in the end, for the last block's feed-forward layer, which concerns each row by itself; all rows
  /// where that layer is not computed in bf16.
  func selectWanted(_ x: Tensor, before gate: Linear, _ up: Linear, _ down: Linear) -> Tensor {
    guard let wanted, halfLinears([gate, up, down]) != nil else { return x }
    hasSelected = true
    return select(wanted, of: x)
  }

  /// The layer in bf16. Gate and up are kept for the gradient; the normalised rows and the gate's product are computed again.
  private func halfFeedForward(
    _ gate: HalfLinear, _ up: HalfLinear, _ down: HalfLinear, _ norm: RMSNorm, _ x: Tensor
  ) -> Tensor {
    let (rows, hidden) = (x.rows, gate.linear.outputs)
    let (normal, reciprocal) = halfNorm(x, norm)
    var bottlenecks = HalfProducts()
    let (gateU, upU) = (gate.bottleneck(normal, to: &bottlenecks), up.bottleneck(normal, to: &bottlenecks))
    bottlenecks.run(rows: rows, pool)

    let kept = tape == nil ? nil : KeptGates(rows, hidden, inIntegers: precision == .int8, in: workspace)
    let gated = HalfTensor(rows, hidden, in: workspace)
    var products = HalfProducts()
    products.add(
      gate.terms(normal, gateU), lanes: hidden, .swiGLU(kept, upTerms: up.terms(normal, upU), y: gated))
    products.run(rows: rows, pool)

    let (y, downU) = halfOutput(down, gated, addedTo: x)
    guard let kept else { return y }
    let input = keep(x)
    record(
      y, inputs: [x], parameters: [norm.weight], force: gate.isTrainable || up.isTrainable || down.isTrainable
    ) { [self] dy in
      let dy16 = HalfTensor(rounding: dy, pool, in: workspace)
      var bottlenecks = HalfProducts()
      let downDU = down.gradientBottleneck(dy16, to: &bottlenecks)
      bottlenecks.run(rows: rows, pool)

      let gated = HalfTensor(rows, hidden, in: workspace)
      let (dg, du) = kept.placesOfGradients()
      var products = HalfProducts()
      products.add(down.gradientTerms(dy16, downDU), lanes: hidden, .swiGLUBackward(kept, gate: dg, up: du, y: gated))
      products.run(rows: rows, pool)
      down.addGradients(gated, dy16, u: downU, du: downDU)

      backwardThroughNorm(
        [(gate, dg, gateU), (up, du, upU)], norm, reciprocal, input, dy)
    }
    return y
  }
}

extension Pass {
  /// norm(x) in bf16 and the reciprocals of its rows' lengths.
  func halfNorm(_ x: Tensor, _ norm: RMSNorm) -> (HalfTensor, Tensor) {
    let (y, reciprocal) = (HalfTensor(x.rows, x.columns, in: workspace), tensor(x.rows, 1))
    precondition(x.columns == norm.weight.columns, "\(norm.weight.name.gguf): \(x.columns) columns in")
    unsafe norm.weight.withFloat32(workspace, pool) {
      unsafe hearth_bf16_rms_norm(
        pool.pointer, y.data, y.stride, reciprocal.data, x.data, $0, x.rows, x.columns, norm.epsilon)
    }
    return (y, reciprocal)
  }

  /// What is kept of a layer's input where gradients will be asked for.
  func keep(_ x: Tensor) -> KeptRows? { tape == nil ? nil : KeptRows(x, pool, in: workspace) }

  /// residual + map(x), and u of the map's adapter.
  func halfOutput(_ map: HalfLinear, _ x: HalfTensor, addedTo residual: Tensor) -> (Tensor, HalfTensor?) {
    var bottlenecks = HalfProducts()
    let u = map.bottleneck(x, to: &bottlenecks)
    bottlenecks.run(rows: x.rows, pool)
    let y = tensor(x.rows, map.linear.outputs)
    var products = HalfProducts()
    products.add(map.terms(x, u), lanes: y.columns, .adding(y, residual: residual))
    products.run(rows: x.rows, pool)
    return (y, u)
  }

  /// The gradients of several maps of norm(x), of the norm and, with that of the residual beside them, of x.
  ///
  /// - Parameters:
  ///   - maps: Each with the gradient of its output and with u.
  ///   - kept: x, as `keep` gave it.
  ///   - dy: The gradient of the residual's sum; it becomes that of x, as nobody reads it afterwards.
  func backwardThroughNorm(
    _ maps: [(map: HalfLinear, dy: HalfTensor, u: HalfTensor?)], _ norm: RMSNorm, _ reciprocal: Tensor,
    _ kept: KeptRows?, _ dy: Tensor
  ) {
    guard let kept else { preconditionFailure("a gradient without a tape") }
    let (x, slot, rows) = (kept.widened(pool, in: workspace), kept.slot, dy.rows)
    var bottlenecks = HalfProducts()
    let dus = maps.map { $0.map.gradientBottleneck($0.dy, to: &bottlenecks) }
    bottlenecks.run(rows: rows, pool)
    if maps.contains(where: { $0.map.isTrainable }) {
      let (normal, _) = halfNorm(x, norm)
      var products: [Int: HalfProducts] = [:]
      for (entry, du) in zip(maps, dus) { entry.map.addGradients(normal, entry.dy, u: entry.u, du: du, to: &products) }
      HalfProducts.run(products, pool)
    }
    guard slot.isRequired || norm.weight.isTrainable else { return }
    let through = tensor(rows, x.columns)
    var products = HalfProducts()
    products.add(
      zip(maps, dus).flatMap { $0.map.gradientTerms($0.dy, $1) }, lanes: x.columns, .float(through))
    products.run(rows: rows, pool)
    if slot.isRequired { slot.addOrAdopt(dy, pool) }
    let dx = slot.isRequired ? slot.forAdding() : nil
    let dw = unsafe norm.weight.isTrainable ? norm.weight.gradient : nil
    unsafe norm.weight.withFloat32(workspace, pool) {
      unsafe hearth_rms_norm_backward(
        pool.pointer, dx?.data, dw, through.data, x.data, $0, reciprocal.data, rows, x.columns)
    }
  }
}

extension GradientSlot {
  /// Adds `gradient`, or takes it over where there is none yet; whoever hands it in does not use it afterwards.
  func addOrAdopt(_ other: Tensor, _ pool: WorkerPool) {
    guard let gradient else {
      gradient = other
      return
    }
    unsafe hearth_add_scaled(pool.pointer, gradient.data, other.data, 1, other.count)
  }
}
