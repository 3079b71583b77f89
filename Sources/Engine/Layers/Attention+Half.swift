internal import CKernels

/// The linear maps around attention.
struct AttentionMaps {
  let query, key, value, output: Linear
}

extension Pass {
  /// A block's attention layer: x + output(attention(query(norm(x)), key(norm(x)), value(norm(x)))), `[tokens, width]`.
  func attentionLayer(
    _ maps: AttentionMaps, _ shape: Attention, turnedBy rope: RoPE, normalisedBy norm: RMSNorm, _ x: Tensor, layer: Int
  ) -> Tensor {
    if case .packed(let starts) = layout,
      let halves = halfLinears([maps.query, maps.key, maps.value, maps.output])
    {
      return halfAttentionLayer(halves, shape, rope, norm, x, starts)
    }
    let qkv = apply([maps.query, maps.key, maps.value], to: x, normalisedBy: norm)
    let a = attention(qkv[0], qkv[1], qkv[2], shape, turnedBy: rope, layer: layer)
    return apply(maps.output, to: a, addedTo: x)
  }

  /// The layer in bf16: queries, keys, values and the output of attention are kept for the gradient, in bf16.
  private func halfAttentionLayer(
    _ maps: [HalfLinear], _ shape: Attention, _ rope: RoPE, _ norm: RMSNorm, _ x: Tensor, _ starts: [Int32]
  ) -> Tensor {
    let rows = x.rows
    let (normal, reciprocal) = halfNorm(x, norm)
    var bottlenecks = HalfProducts()
    let us = maps.prefix(3).map { $0.bottleneck(normal, to: &bottlenecks) }
    bottlenecks.run(rows: rows, pool)
    let qkv = maps.prefix(3).map { HalfTensor(rows, $0.linear.outputs, in: workspace) }
    var products = HalfProducts()
    for (index, map) in maps.prefix(3).enumerated() {
      products.add(map.terms(normal, us[index]), lanes: qkv[index].columns, .half(qkv[index]))
    }
    products.run(rows: rows, pool)
    turn(qkv[0], rope, inverse: false)
    turn(qkv[1], rope, inverse: false)

    let a = HalfTensor(rows, qkv[0].columns, in: workspace)
    let logSum = tensor(rows, shape.headCount)
    do {
      let turned = HalfTensor(qkv[2].columns, rows + 1, in: workspace)
      unsafe withArguments(qkv, a, logSum, shape, starts) {
        unsafe hearth_bf16_attention(pool.pointer, &$0, turned.data)
      }
    }
    let (y, outputU) = halfOutput(maps[3], a, addedTo: x)
    record(y, inputs: [x], parameters: [norm.weight], force: maps.contains { $0.isTrainable }) { [self] dy in
      let dy16 = HalfTensor(rounding: dy, pool, in: workspace)
      var bottlenecks = HalfProducts()
      let outputDU = maps[3].gradientBottleneck(dy16, to: &bottlenecks)
      bottlenecks.run(rows: rows, pool)
      let da = HalfTensor(rows, a.columns, in: workspace)
      var products = HalfProducts()
      products.add(maps[3].gradientTerms(dy16, outputDU), lanes: a.columns, .half(da))
      products.run(rows: rows, pool)
      maps[3].addGradients(a, dy16, u: outputU, du: outputDU)

      let gradients = qkv.map { HalfTensor(rows, $0.columns, in: workspace) }
      unsafe withArguments(qkv, a, logSum, shape, starts) { arguments in
        unsafe (arguments.dy, arguments.dq) = (UnsafePointer(da.data), gradients[0].data)
        unsafe (arguments.dk, arguments.dv) = (gradients[1].data, gradients[2].data)
        unsafe hearth_bf16_attention_backward(pool.pointer, &arguments)
      }
      turn(gradients[0], rope, inverse: true)
      turn(gradients[1], rope, inverse: true)
      backwardThroughNorm((0..<3).map { (maps[$0], gradients[$0], us[$0]) }, norm, reciprocal, x, dy)
    }
    return y
  }

  private func withArguments(
    _ qkv: [HalfTensor], _ a: HalfTensor, _ logSum: Tensor, _ shape: Attention, _ starts: [Int32],
    _ body: (inout hearth_bf16_attention_arguments) -> Void
  ) {
    precondition(qkv[1].stride == qkv[2].stride && qkv[0].stride == a.stride, "keys and values of other widths")
    unsafe starts.withUnsafeBufferPointer { starts in
      var arguments = unsafe hearth_bf16_attention_arguments()
      unsafe (arguments.starts, arguments.sequences) = (starts.baseAddress, starts.count - 1)
      unsafe (arguments.heads, arguments.key_value_heads) = (shape.headCount, shape.keyValueHeadCount)
      unsafe (arguments.head_width, arguments.scale, arguments.causal) = (shape.headWidth, shape.scale, true)
      unsafe (arguments.q, arguments.k) = (UnsafePointer(qkv[0].data), UnsafePointer(qkv[1].data))
      unsafe (arguments.v, arguments.y, arguments.log_sum) = (UnsafePointer(qkv[2].data), a.data, logSum.data)
      unsafe (arguments.ldq, arguments.ldk) = (a.stride, qkv[1].stride)
      unsafe body(&arguments)
    }
  }

  /// Turns each head, in place.
  private func turn(_ x: HalfTensor, _ rope: RoPE, inverse: Bool) {
    unsafe rope.withTables(positionLimit) { cosines, sines in
      unsafe hearth_bf16_rope(
        pool.pointer, x.data, x.stride, positions, cosines, sines, x.rows, x.columns / rope.headWidth,
        rope.headWidth, rope.pairing == .neighbours ? HEARTH_ROPE_NEIGHBOURS : HEARTH_ROPE_HALVES, inverse)
    }
  }
}
