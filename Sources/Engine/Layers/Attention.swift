internal import CKernels

/// The shape of a multi-head attention layer with grouped queries.
///
///     y = softmax(q·kᵀ / √headWidth + mask)·v      each key head serves headCount / keyValueHeadCount query heads
///
/// Vaswani et al., "Attention Is All You Need" (arXiv:1706.03762), equation 1; Ainslie et al., "GQA" (arXiv:2305.13245).
struct Attention {
  let headCount: Int
  let keyValueHeadCount: Int
  let headWidth: Int

  var scale: Float { 1 / Float(headWidth).squareRoot() }
}

extension Pass {
  /// Causal attention of each row to its own sequence.
  ///
  /// - Parameters:
  ///   - q: `[tokens, headCount · headWidth]`; not to be used otherwise when they turn.
  ///   - k: `[tokens, keyValueHeadCount · headWidth]`, likewise; joins the cache when the pass continues sequences.
  ///   - v: Likewise.
  ///   - rope: By which q and k turn first.
  ///   - layer: Whose part of the cache to use.
  /// - Returns: `[tokens, headCount · headWidth]`.
  func attention(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, _ shape: Attention, turnedBy rope: RoPE? = nil, layer: Int
  ) -> Tensor {
    switch layout {
    case .cached(let runs): return cachedAttention(q, k, v, shape, rope, runs, layer: layer)
    case .packed(let starts, let folding):
      let (q, k) = rope.map { (self.rope(q, $0), self.rope(k, $0)) } ?? (q, k)
      guard let folding else { return packedAttention(q, k, v, shape, starts) }
      let rows = folding.rowOfPlace.map(Int.init)
      return select(
        folding.firstPlaces.map(Int.init),
        of: packedAttention(select(rows, of: q), select(rows, of: k), select(rows, of: v), shape, starts))
    }
  }

  private func cachedAttention(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, _ shape: Attention, _ rope: RoPE?, _ runs: [CachedRun], layer: Int
  ) -> Tensor {
    let y = tensor(q.rows, q.columns)
    guard let cache = runs.first?.sequence.cache.shape else { return y }
    precondition(rope?.headWidth ?? shape.headWidth == shape.headWidth, "RoPE of another head width")
    unsafe pageAddresses.withUnsafeBufferPointer { addresses in
      guard var pages = unsafe addresses.baseAddress else { return }
      var queries: [hearth_query_run] = unsafe []
      unsafe queries.reserveCapacity(runs.count)
      for run in runs {
        let row = run.rows.lowerBound
        unsafe queries.append(
          hearth_query_run(
            q: q.data + row * q.columns, k: k.data + row * k.columns, v: v.data + row * v.columns,
            y: y.data + row * y.columns, pages: pages, count: run.rows.count,
            first: run.sequence.cache.tokenCount))
        unsafe pages += run.sequence.cache.pageCount
      }
      var of = unsafe hearth_cached_layer()
      unsafe (of.heads, of.key_value_heads) = (shape.headCount, shape.keyValueHeadCount)
      unsafe (of.head_width, of.scale) = (shape.headWidth, shape.scale)
      unsafe (of.ldq, of.ldk, of.ldy) = (q.columns, k.columns, y.columns)
      unsafe (of.layer_offset, of.type) = (layer * cache.layerBytes, cache.type)
      guard let rope else {
        return unsafe hearth_cached_attention(pool.pointer, queries, queries.count, &of)
      }
      unsafe of.pairing = rope.pairing == .neighbours ? HEARTH_ROPE_NEIGHBOURS : HEARTH_ROPE_HALVES
      unsafe rope.withTables(positionLimit) { cosines, sines in
        unsafe (of.cosines, of.sines) = (cosines, sines)
        unsafe hearth_cached_attention(pool.pointer, queries, queries.count, &of)
      }
    }
    return y
  }

  private func packedAttention(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, _ shape: Attention, _ starts: [Int32]
  ) -> Tensor {
    let y = tensor(q.rows, q.columns)
    let logSum = tensor(q.rows, shape.headCount)
    unsafe hearth_attention(
      pool.pointer, y.data, logSum.data, q.data, k.data, v.data, starts, starts.count - 1, shape.headCount,
      shape.keyValueHeadCount, shape.headWidth, shape.scale, true)
    record(y, inputs: [q, k, v]) { [pool] dy in
      unsafe hearth_attention_backward(
        pool.pointer, q.gradientForAdding().data, k.gradientForAdding().data,
        v.gradientForAdding().data, dy.data, y.data, logSum.data, q.data, k.data, v.data, starts,
        starts.count - 1, shape.headCount, shape.keyValueHeadCount, shape.headWidth, shape.scale, true)
    }
    return y
  }

  /// Makes room in the caches; called once before the layers run.
  func prepareCaches() {
    guard case .cached(let runs) = layout else { return }
    for run in runs {
      let isReserved = run.sequence.cache.reserve(adding: run.rows.count)
      precondition(isReserved, "no pages left for \(run.rows.count) positions of a sequence")
    }
    // The layers neither move nor replace pages, so one list serves them all.
    unsafe pageAddresses = runs.flatMap { unsafe $0.sequence.cache.addresses }
  }

  /// Counts what the layers have stored; called once after they ran.
  func advanceCaches() {
    guard case .cached(let runs) = layout else { return }
    for run in runs { run.sequence.cache.advance(by: run.rows.count) }
  }
}

extension Pass {
  /// Cuts each row into `count` equal parts: a fused q, k and v projection.
  func split(_ x: Tensor, into count: Int) -> [Tensor] {
    let width = x.columns / count
    precondition(width * count == x.columns, "\(x.columns) columns into \(count) parts")
    return (0..<count).map { part in
      let y = tensor(x.rows, width)
      for row in 0..<x.rows {
        unsafe (y.data + row * width).update(
          from: x.data + row * x.columns + part * width, count: width)
      }
      guard tape != nil else { return y }
      record(y, inputs: [x]) { [slot = x.slot] dy in
        let dx = slot.forAdding()
        for row in 0..<dx.rows {
          unsafe hearth_add_scaled(
            nil, dx.data + row * dx.columns + part * width, dy.data + row * width, 1, width)
        }
      }
      return y
    }
  }
}
