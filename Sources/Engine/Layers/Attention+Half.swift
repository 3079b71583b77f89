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
    if case .packed(let starts, let folding) = layout,
      let halves = halfLinears([maps.query, maps.key, maps.value, maps.output])
    {
      return halfAttentionLayer(halves, shape, rope, norm, x, starts, folding)
    }
    let qkv = apply([maps.query, maps.key, maps.value], to: x, normalisedBy: norm)
    let a = attention(qkv[0], qkv[1], qkv[2], shape, turnedBy: rope, layer: layer)
    return apply(maps.output, to: a, addedTo: x)
  }

  /// The layer in bf16: queries, keys, values and the output of attention are kept for the gradient, in bf16; where
  /// sequences share rows, each passes through attention place by place.
  private func halfAttentionLayer(
    _ maps: [HalfLinear], _ shape: Attention, _ rope: RoPE, _ norm: RMSNorm, _ x: Tensor, _ starts: [Int32],
    _ folding: PackedRows.Folding?
  ) -> Tensor {
    let rows = x.rows
    let (normal, reciprocal) = halfNorm(x, norm)
    var bottlenecks = HalfProducts()
    let us = maps.prefix(3).map { $0.bottleneck(normal, to: &bottlenecks) }
    bottlenecks.run(rows: rows, pool)
    let qkv = turnedQueriesKeysValues(maps, normal, us, rope)
    let places = folding?.rowOfPlace.count ?? rows
    let logSum = tensor(places, shape.headCount)
    let a: HalfTensor
    do {
      let y = HalfTensor(places, qkv[0].columns, in: workspace)
      let turned = HalfTensor(qkv[2].columns, places + 1, in: workspace)
      unsafe withArguments(qkv.map { $0.unfolded(folding, pool) }, y, logSum, shape, starts, folding) {
        unsafe hearth_bf16_attention(pool.pointer, &$0, turned.data)
      }
      a = y.first(folding, pool)
    }
    let (y, outputU) = halfOutput(maps[3], a, addedTo: x)
    let kept = keep(x)
    record(y, inputs: [x], parameters: [norm.weight], force: maps.contains { $0.isTrainable }) { [self] dx in
      let dy16 = HalfTensor(rounding: dx, pool, in: workspace)
      var bottlenecks = HalfProducts()
      let outputDU = maps[3].gradientBottleneck(dy16, to: &bottlenecks)
      bottlenecks.run(rows: rows, pool)
      let da = HalfTensor(rows, a.columns, in: workspace)
      var products = HalfProducts()
      products.add(maps[3].gradientTerms(dy16, outputDU), lanes: a.columns, .half(da))
      products.run(rows: rows, pool)
      maps[3].addGradients(a, dy16, u: outputU, du: outputDU)

      let (y, dy) = (a.unfolded(folding, pool), da.unfolded(folding, once: true, pool))
      let ofPlaces = qkv.map { HalfTensor(places, $0.columns, in: workspace) }
      unsafe withArguments(qkv.map { $0.unfolded(folding, pool) }, y, logSum, shape, starts, folding) { arguments in
        unsafe (arguments.dy, arguments.dq) = (UnsafePointer(dy.data), ofPlaces[0].data)
        unsafe (arguments.dk, arguments.dv) = (ofPlaces[1].data, ofPlaces[2].data)
        unsafe hearth_bf16_attention_backward(pool.pointer, &arguments)
      }
      let gradients = [ofPlaces[0].first(folding, pool)] + ofPlaces.dropFirst().map { $0.folded(folding, pool) }
      turn(gradients[0], rope, inverse: true)
      turn(gradients[1], rope, inverse: true)
      backwardThroughNorm((0..<3).map { (maps[$0], gradients[$0], us[$0]) }, norm, reciprocal, kept, dx)
    }
    return y
  }

  /// Queries, keys and values of the normalised rows, queries and keys turned by their positions.
  private func turnedQueriesKeysValues(
    _ maps: [HalfLinear], _ normal: HalfTensor, _ us: [HalfTensor?], _ rope: RoPE
  ) -> [HalfTensor] {
    let qkv = maps.prefix(3).map { HalfTensor(normal.rows, $0.linear.outputs, in: workspace) }
    var products = HalfProducts()
    for (index, map) in maps.prefix(3).enumerated() {
      products.add(map.terms(normal, us[index]), lanes: qkv[index].columns, .half(qkv[index]))
    }
    products.run(rows: normal.rows, pool)
    turn(qkv[0], rope, inverse: false)
    turn(qkv[1], rope, inverse: false)
    return qkv
  }

  private func withArguments(
    _ qkv: [HalfTensor], _ a: HalfTensor, _ logSum: Tensor, _ shape: Attention, _ starts: [Int32],
    _ folding: PackedRows.Folding?, _ body: (inout hearth_bf16_attention_arguments) -> Void
  ) {
    precondition(qkv[1].stride == qkv[2].stride && qkv[0].stride == a.stride, "keys and values of other widths")
    // Places that share a row with an earlier one look back for nobody.
    let firstQueries = folding?.firstOwn ?? [Int32](repeating: 0, count: starts.count - 1)
    unsafe starts.withUnsafeBufferPointer { starts in
      unsafe firstQueries.withUnsafeBufferPointer { firstQueries in
        var arguments = unsafe hearth_bf16_attention_arguments()
        unsafe (arguments.starts, arguments.sequences) = (starts.baseAddress, starts.count - 1)
        unsafe arguments.first_queries = firstQueries.baseAddress
        unsafe (arguments.heads, arguments.key_value_heads) = (shape.headCount, shape.keyValueHeadCount)
        unsafe (arguments.head_width, arguments.scale, arguments.causal) = (shape.headWidth, shape.scale, true)
        unsafe (arguments.q, arguments.k) = (UnsafePointer(qkv[0].data), UnsafePointer(qkv[1].data))
        unsafe (arguments.v, arguments.y, arguments.log_sum) = (UnsafePointer(qkv[2].data), a.data, logSum.data)
        unsafe (arguments.ldq, arguments.ldk) = (a.stride, qkv[1].stride)
        unsafe body(&arguments)
      }
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
