internal import CKernels

extension Pass {
  /// The gate of a SwiGLU feed-forward layer.
  ///
  ///     y = silu(g) · u      silu(g) = g / (1 + e⁻ᵍ)
  ///
  /// Shazeer, "GLU Variants Improve Transformer" (arXiv:2002.05202), equation 5.
  func swiGLU(_ gate: Tensor, _ up: Tensor) -> Tensor {
    let y = tensor(gate.rows, gate.columns)
    unsafe hearth_swiglu(pool.pointer, y.data, gate.data, up.data, y.count)
    record(y, inputs: [gate, up]) { [pool] dy in
      let dgate = gate.requiresGradient ? gate.gradientForAdding() : nil
      let dup = up.requiresGradient ? up.gradientForAdding() : nil
      unsafe hearth_swiglu_backward(
        pool.pointer, dgate?.data, dup?.data, dy.data, gate.data, up.data, y.count)
    }
    return y
  }

  /// GPT-2's activation.
  ///
  ///     y = x/2 · (1 + tanh(√(2/π) · (x + 0.044715·x³)))
  ///
  /// Hendrycks and Gimpel, "Gaussian Error Linear Units" (arXiv:1606.08415), section 2, the approximation.
  func geluTanh(_ x: Tensor) -> Tensor {
    let y = tensor(x.rows, x.columns)
    unsafe hearth_gelu_tanh(pool.pointer, y.data, x.data, y.count)
    record(y, inputs: [x]) { [pool] dy in
      unsafe hearth_gelu_tanh_backward(
        pool.pointer, x.gradientForAdding().data, dy.data, x.data, y.count)
    }
    return y
  }

  /// The exact Gaussian error linear unit, y = x·Φ(x).
  func gelu(_ x: Tensor) -> Tensor {
    let y = tensor(x.rows, x.columns)
    unsafe hearth_gelu(pool.pointer, y.data, x.data, y.count)
    record(y, inputs: [x]) { [pool] dy in
      unsafe hearth_gelu_backward(pool.pointer, x.gradientForAdding().data, dy.data, x.data, y.count)
    }
    return y
  }

  /// A residual connection, y = a + b.
  func add(_ a: Tensor, _ b: Tensor) -> Tensor {
    precondition(a.rows == b.rows && a.columns == b.columns, "adding matrices of different shapes")
    let y = tensor(a.rows, a.columns)
    y.copy(from: a)
    unsafe hearth_add_scaled(pool.pointer, y.data, b.data, 1, y.count)
    record(y, inputs: [a, b]) { [pool] dy in
      for input in [a, b] where input.requiresGradient {
        if input.gradient == nil {
          input.gradientForWriting().tensor.copy(from: dy)
        } else {
          unsafe hearth_add_scaled(pool.pointer, input.gradientForAdding().data, dy.data, 1, y.count)
        }
      }
    }
    return y
  }
}
