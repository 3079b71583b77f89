internal import CKernels

// What stands around the products of a transformer's block, said together with them, so that serving can do both in one go: the
// rows are normalised or gated while they are quantised, and the residual is added while the output is in the first cache. The
// bits are those of the operators one by one, which is what training and adapters use.
extension Pass {
  /// linears(norm(x)), `[tokens, inputs]` to `[tokens, outputs]` each.
  func apply(_ linears: [Linear], to x: Tensor, normalisedBy norm: RMSNorm) -> [Tensor] {
    guard isPlain(linears) else { return apply(linears, self.norm(x, norm)) }
    let ys = linears.map { tensor(x.rows, $0.outputs) }
    unsafe norm.weight.withFloat32(workspace, pool) { weight in
      let input = unsafe hearth_projection_input(
        kind: HEARTH_INPUT_RMS_NORM, x: x.data, ldx: x.columns, weight: weight, up: nil, epsilon: norm.epsilon)
      unsafe project(input, x, linears, ys, addedTo: nil)
    }
    return ys
  }

  /// residual + linear(x), `[tokens, outputs]`.
  func apply(_ linear: Linear, to x: Tensor, addedTo residual: Tensor) -> Tensor {
    guard isPlain([linear]) else { return add(residual, apply(linear, x)) }
    let y = tensor(x.rows, linear.outputs)
    let input = unsafe hearth_projection_input(
      kind: HEARTH_INPUT_PLAIN, x: x.data, ldx: x.columns, weight: nil, up: nil, epsilon: 0)
    unsafe project(input, x, [linear], [y], addedTo: residual)
    return y
  }

  /// residual + linear(silu(gate) · up), `[tokens, outputs]`.
  func apply(_ linear: Linear, toSwiGLUOf gate: Tensor, _ up: Tensor, addedTo residual: Tensor) -> Tensor {
    guard isPlain([linear]) else { return add(residual, apply(linear, swiGLU(gate, up))) }
    let y = tensor(gate.rows, linear.outputs)
    let input = unsafe hearth_projection_input(
      kind: HEARTH_INPUT_SWIGLU, x: gate.data, ldx: gate.columns, weight: nil, up: up.data, epsilon: 0)
    unsafe project(input, gate, [linear], [y], addedTo: residual)
    return y
  }

  private func project(
    _ input: hearth_projection_input, _ x: Tensor, _ linears: [Linear], _ ys: [Tensor], addedTo residual: Tensor?
  ) {
    precondition(
      linears.allSatisfy { $0.inputs == x.columns }, "\(x.columns) columns into \(linears[0].weight.name.gguf)")
    precondition(residual?.columns ?? ys[0].columns == ys[0].columns, "adding matrices of different shapes")
    let terms = linears.map { $0.weight.activations.terms }.max() ?? 1
    let copies = x.rows <= HEARTH_REPEATED_TOKENS ? pool.threadCount : 1
    let floats = (hearth_activation_bytes(x.columns, terms) * x.rows * copies + 3) / 4
    let activations = unsafe workspace.take(floats)
    defer { unsafe workspace.give(activations) }
    var input = unsafe input
    let matrices = unsafe linears.map { unsafe $0.weight.packed }
    let outputs = unsafe ys.map { unsafe Optional($0.data) }
    unsafe hearth_affine_project(
      pool.pointer, &input, x.rows, linears.count, matrices, outputs, ys.map(\.columns), residual?.data,
      residual?.columns ?? 0, activations)
  }
}
