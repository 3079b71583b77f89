internal import CKernels

extension Pass {
  /// The gate of a SwiGLU feed-forward layer.
  ///
  ///     y = silu(g) · u      silu(g) = g / (1 + e⁻ᵍ)
  ///
  /// Shazeer, "GLU Variants Improve Transformer" (arXiv:2002.05202), equation 5.
  func swiGLU(_ gate: Tensor, _ up: Tensor) -> Tensor {
    let compute = { [pool, workspace] in
      let y = Tensor(gate.rows, gate.columns, in: workspace)
      unsafe hearth_swiglu(pool.pointer, y.data, gate.data, up.data, y.count)
      return y
    }
    let y = compute()
    if tape != nil { y.recipe = Remembered(computing: compute) }
    record(y, inputs: [gate, up]) { [pool] dy in
      let dgate = gate.requiresGradient ? gate.gradientForAdding() : nil
      let dup = up.requiresGradient ? up.gradientForAdding() : nil
      unsafe hearth_swiglu_backward(
        pool.pointer, dgate?.data, dup?.data, dy.data, gate.data, up.data, dy.count)
    }
    return y
  }

  /// GPT-2's activation.
  ///
  ///     y = x/2 · (1 + tanh(√(2/π) · (x + 0.044715·x³)))
  ///
  /// Hendrycks and Gimpel, "Gaussian Error Linear Units" (arXiv:1606.08415), section 2, the approximation.
  func geluTanh(_ x: Tensor) -> Tensor {
    let compute = { [pool, workspace] in
      let y = Tensor(x.rows, x.columns, in: workspace)
      unsafe hearth_gelu_tanh(pool.pointer, y.data, x.data, y.count)
      return y
    }
    let y = compute()
    if tape != nil { y.recipe = Remembered(computing: compute) }
    record(y, inputs: [x]) { [pool] dy in
      unsafe hearth_gelu_tanh_backward(
        pool.pointer, x.gradientForAdding().data, dy.data, x.data, dy.count)
    }
    return y
  }

  /// The exact Gaussian error linear unit, y = x·Φ(x).
  func gelu(_ x: Tensor) -> Tensor {
    let y = tensor(x.rows, x.columns)
    unsafe hearth_gelu(pool.pointer, y.data, x.data, y.count)
    record(y, inputs: [x]) { [pool] dy in
      unsafe hearth_gelu_backward(pool.pointer, x.gradientForAdding().data, dy.data, x.data, dy.count)
    }
    return y
  }

  /// A residual connection, y = a + b.
  func add(_ a: Tensor, _ b: Tensor) -> Tensor {
    precondition(a.rows == b.rows && a.columns == b.columns, "adding matrices of different shapes")
    let y = tensor(a.rows, a.columns)
    y.copy(from: a)
    unsafe hearth_add_scaled(pool.pointer, y.data, b.data, 1, y.count)
    guard tape != nil else { return y }
    record(y, inputs: [a, b]) { [pool, slots = [a.slot, b.slot]] dy in
      for slot in slots where slot.isRequired {
        if slot.gradient == nil {
          slot.forWriting().tensor.copy(from: dy)
        } else {
          unsafe hearth_add_scaled(pool.pointer, slot.forAdding().data, dy.data, 1, dy.count)
        }
      }
    }
    return y
  }
}
