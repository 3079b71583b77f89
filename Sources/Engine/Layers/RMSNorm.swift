internal import CKernels

/// Root-mean-square layer normalisation.
///
///     y[t, i] = w[i] · x[t, i] · r[t]      r[t] = 1 / √(mean_i x[t, i]² + ε)
///
/// Zhang and Sennrich, "Root Mean Square Layer Normalization" (arXiv:1910.07467), equation 4.
struct RMSNorm {
  /// Gain, `[width]`.
  let weight: Parameter
  /// Added to the mean square, before the root. Llama uses 1e-5, Qwen 1e-6.
  let epsilon: Float
}

extension Pass {
  /// Normalises each row of `x`, `[tokens, width]`.
  ///
  ///     dx = r · (w·dy − x̂ · mean_i(w·dy·x̂))      x̂ = r·x
  ///     dw = Σ_t dy · x̂
  func norm(_ x: Tensor, _ norm: RMSNorm) -> Tensor {
    let width = norm.weight.columns
    precondition(x.columns == width, "\(norm.weight.name.gguf): \(x.columns) columns in")
    let reciprocal = tensor(x.rows, 1)
    let compute = { [pool, workspace] in
      let y = Tensor(x.rows, width, in: workspace)
      unsafe norm.weight.withFloat32(workspace, pool) {
        unsafe hearth_rms_norm(
          pool.pointer, y.data, reciprocal.data, x.data, $0, x.rows, width, norm.epsilon)
      }
      return y
    }
    let y = compute()
    if tape != nil { y.recipe = Remembered(computing: compute) }
    record(y, inputs: [x], parameters: [norm.weight]) { [pool, workspace] dy in
      let dx = x.requiresGradient ? x.gradientForAdding() : nil
      let dw = unsafe norm.weight.isTrainable ? norm.weight.gradient : nil
      unsafe norm.weight.withFloat32(workspace, pool) {
        unsafe hearth_rms_norm_backward(
          pool.pointer, dx?.data, dw, dy.data, x.data, $0, reciprocal.data, x.rows, width)
      }
    }
    return y
  }
}
