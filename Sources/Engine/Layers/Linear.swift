internal import CKernels

/// A linear map.
///
///     y = x·Wᵀ + b      plus, with an adapter,  s·(x·Aᵀ)·Bᵀ, and with DoRA its columns rescaled before b
///
/// Weights are `[outputs, inputs]` whatever order the file has them in.
@safe
final class Linear {
  let weight: Parameter
  /// `[outputs]`, or none.
  let bias: Parameter?

  var inputs: Int { weight.columns }
  var outputs: Int { weight.rows }

  init(weight: Parameter, bias: Parameter? = nil) {
    self.weight = weight
    self.bias = bias
  }
}

extension Pass {
  /// `linear` on each row of `x`, `[tokens, inputs]` to `[tokens, outputs]`.
  func apply(_ linear: Linear, _ x: Tensor) -> Tensor { apply([linear], x)[0] }

  /// Whether these maps of this pass are nothing but integer products: no tape, no adapter, no bias.
  func isPlain(_ linears: [Linear]) -> Bool {
    guard tape == nil, precision == .serving else { return false }
    return linears.allSatisfy { linear in
      unsafe linear.weight.packed != nil && linear.bias == nil
        && !adapters.contains { $0.adapter.pairs[ObjectIdentifier(linear)] != nil }
    }
  }

  /// Several maps of the same input (q, k and v; gate and up): the input is quantised once and the
  /// workers meet once.
  func apply(_ linears: [Linear], _ x: Tensor) -> [Tensor] {
    let ys = linears.map { tensor(x.rows, $0.outputs) }
    if tape == nil, precision == .serving, linears.allSatisfy({ unsafe $0.weight.packed != nil }) {
      integerProducts(linears, x, ys)
    } else if tape == nil, precision == .serving, linears.allSatisfy({ unsafe $0.weight.dense != nil }) {
      denseProducts(linears, x, ys)
    } else if linears.count > 1 {
      // Each in its own way: files mix formats.
      return linears.map { apply($0, x) }
    } else {
      for (linear, y) in zip(linears, ys) { floatProduct(linear, x, y) }
    }
    for (linear, y) in zip(linears, ys) {
      precondition(linear.inputs == x.columns, "\(linear.weight.name.gguf): \(x.columns) columns in")
      for rows in rowsInOnePiece(linear, y.rows) { addBias(linear.bias, y, rows) }
      recordProduct(linear, x, y)
      for segment in adapters {
        guard let pair = segment.adapter.pairs[ObjectIdentifier(linear)] else { continue }
        addLowRank(pair, segment, x, y)
        if let magnitude = pair.magnitude {
          rescale(pair, magnitude, segment.rows, y)
          addBias(linear.bias, y, segment.rows)
        }
      }
    }
    return ys
  }

  /// The rows that no adapter rescales, so that their bias is added at once.
  private func rowsInOnePiece(_ linear: Linear, _ count: Int) -> [Range<Int>] {
    var (rows, first): ([Range<Int>], Int) = ([], 0)
    for segment in adapters where segment.adapter.pairs[ObjectIdentifier(linear)]?.magnitude != nil {
      rows.append(first..<segment.rows.lowerBound)
      first = segment.rows.upperBound
    }
    return rows + [first..<count]
  }

  private func integerProducts(_ linears: [Linear], _ x: Tensor, _ ys: [Tensor]) {
    let terms = linears.map { $0.weight.activations.terms }.max() ?? 1
    let bytes = hearth_activation_bytes(x.columns, terms) * x.rows
    let floats = (bytes + 3) / 4
    let activations = unsafe workspace.take(floats)
    defer { unsafe workspace.give(activations) }
    unsafe hearth_quantize_activations(pool.pointer, activations, x.data, x.columns, x.rows, x.columns, terms)
    let matrices = unsafe linears.map { unsafe $0.weight.packed }
    let outputs = unsafe ys.map { unsafe Optional($0.data) }
    let distances = ys.map(\.columns)
    unsafe hearth_affine_matmul_many(
      pool.pointer, linears.count, matrices, activations, terms, x.rows, outputs, distances)
  }

  private func denseProducts(_ linears: [Linear], _ x: Tensor, _ ys: [Tensor]) {
    let matrices = unsafe linears.map { unsafe $0.weight.dense }
    let outputs = unsafe ys.map { unsafe Optional($0.data) }
    let count = unsafe hearth_dense_rounded_count(linears.count, matrices, x.rows)
    let room = unsafe count > 0 ? workspace.take((count + 1) / 2) : nil
    defer { if let room = unsafe room { unsafe workspace.give(room) } }
    unsafe hearth_dense_matmul(
      pool.pointer, linears.count, matrices, x.data, x.columns, x.rows, outputs, ys.map(\.columns),
      UnsafeMutableRawPointer(room)?.assumingMemoryBound(to: UInt16.self))
  }

  private func floatProduct(_ linear: Linear, _ x: Tensor, _ y: Tensor) {
    if precision.usesHalves {
      let map = halfLinear(linear, with: nil)
      var products = HalfProducts()
      products.add(map.terms(HalfTensor(rounding: x, pool, in: workspace), nil), lanes: y.columns, .float(y))
      return products.run(rows: x.rows, pool)
    }
    unsafe linear.weight.withFloat32(workspace, pool) { weight in
      unsafe hearth_sgemm(
        pool.pointer, false, true, x.rows, linear.outputs, linear.inputs, x.data, x.columns, weight,
        linear.inputs, y.data, y.columns, false)
    }
  }

  private func addBias(_ bias: Parameter?, _ y: Tensor, _ rows: Range<Int>) {
    guard let bias, !rows.isEmpty else { return }
    unsafe bias.withFloat32(workspace, pool) {
      unsafe hearth_add_bias(pool.pointer, y.data + rows.lowerBound * y.columns, $0, rows.count, y.columns)
    }
  }

  /// The gradients of the plain product: dx += dy·W, dW += dyᵀ·x, db += Σ dy.
  private func recordProduct(_ linear: Linear, _ x: Tensor, _ y: Tensor) {
    // An adapter's output needs y's gradient even when nothing else upstream trains.
    let adapted = adapters.contains { $0.adapter.pairs[ObjectIdentifier(linear)] != nil }
    guard tape != nil else { return }
    let (slot, source, rows) = (x.slot, linear.weight.isTrainable ? x.remembered : nil, x.rows)
    record(y, inputs: [x], parameters: [linear.weight, linear.bias], force: adapted) {
      [self] dy in
      if precision.usesHalves {
        halfLinear(linear, with: nil).backward(HalfTensor(rounding: dy, pool, in: workspace), x: source, into: slot)
      } else if slot.isRequired {
        let (dx, accumulate) = slot.forWriting()
        unsafe linear.weight.withFloat32(workspace, pool) { weight in
          unsafe hearth_sgemm(
            pool.pointer, false, false, rows, linear.inputs, linear.outputs, dy.data, dy.columns, weight,
            linear.inputs, dx.data, dx.columns, accumulate)
        }
      }
      if !precision.usesHalves, let x = source?.value, let gradient = unsafe linear.weight.gradient {
        unsafe hearth_sgemm(
          pool.pointer, true, false, linear.outputs, linear.inputs, x.rows, dy.data, dy.columns, x.data,
          x.columns, gradient, linear.inputs, true)
      }
      if let bias = linear.bias, bias.isTrainable, let gradient = unsafe bias.gradient {
        unsafe hearth_add_bias_backward(pool.pointer, gradient, dy.data, dy.rows, dy.columns)
      }
    }
  }
}
