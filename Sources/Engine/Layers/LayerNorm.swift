internal import CKernels

/// Layer normalisation.
///
///     y = w · (x − mean) · r + b      r = 1 / √(variance + ε), mean and variance over a row
///
/// Ba, Kiros and Hinton, "Layer Normalization" (arXiv:1607.06450), equation 4.
struct LayerNorm {
  /// Gain, `[width]`.
  let weight: Parameter
  /// Shift, `[width]`, or none.
  let bias: Parameter?
  /// Added to the variance, before the root. GPT-2 uses 1e-5.
  let epsilon: Float
}

extension Pass {
  /// Normalises each row of `x`, `[tokens, width]`.
  ///
  ///     dx = r · (g − mean(g) − x̂ · mean(g·x̂))      g = w·dy,  x̂ = r·(x − mean)
  ///     dw = Σ_t dy · x̂     db = Σ_t dy
  func norm(_ x: Tensor, _ norm: LayerNorm) -> Tensor {
    let width = norm.weight.columns
    precondition(x.columns == width, "\(norm.weight.name.gguf): \(x.columns) columns in")
    let (mean, reciprocal) = (tensor(x.rows, 1), tensor(x.rows, 1))
    let compute = { [pool, workspace] in
      let y = Tensor(x.rows, width, in: workspace)
      unsafe norm.weight.withFloat32(workspace, pool) { weight in
        if let bias = norm.bias {
          unsafe bias.withFloat32(workspace, pool) {
            unsafe hearth_layer_norm(
              pool.pointer, y.data, mean.data, reciprocal.data, x.data, weight, $0, x.rows, width,
              norm.epsilon)
          }
        } else {
          unsafe hearth_layer_norm(
            pool.pointer, y.data, mean.data, reciprocal.data, x.data, weight, nil, x.rows, width,
            norm.epsilon)
        }
      }
      return y
    }
    let y = compute()
    if tape != nil { y.recipe = Remembered(computing: compute) }
    record(y, inputs: [x], parameters: [norm.weight, norm.bias]) { [pool, workspace] dy in
      let dx = x.requiresGradient ? x.gradientForAdding() : nil
      let dw = unsafe norm.weight.isTrainable ? norm.weight.gradient : nil
      let db = unsafe norm.bias?.isTrainable == true ? norm.bias?.gradient : nil
      unsafe norm.weight.withFloat32(workspace, pool) {
        unsafe hearth_layer_norm_backward(
          pool.pointer, dx?.data, dw, db, dy.data, x.data, $0, mean.data, reciprocal.data, x.rows, width)
      }
    }
    return y
  }
}
