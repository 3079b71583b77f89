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
  ///   - q: `[tokens, headCount · headWidth]`.
  ///   - k: `[tokens, keyValueHeadCount · headWidth]`; joins the cache when the pass continues sequences.
  ///   - v: Likewise.
  ///   - layer: Whose part of the cache to use.
  /// - Returns: `[tokens, headCount · headWidth]`.
  func attention(_ q: Tensor, _ k: Tensor, _ v: Tensor, _ shape: Attention, layer: Int) -> Tensor {
    switch layout {
    case .cached(let runs): cachedAttention(q, k, v, shape, runs, layer: layer)
    case .packed(let starts): packedAttention(q, k, v, shape, starts)
    }
  }

  private func cachedAttention(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, _ shape: Attention, _ runs: [CachedRun], layer: Int
  ) -> Tensor {
    let y = tensor(q.rows, q.columns)
    guard let first = runs.first else { return y }
    let cacheShape = first.sequence.cache.shape
    let offset = layer * cacheShape.layerBytes
    unsafe pageAddresses.withUnsafeBufferPointer { addresses in
      guard var pages = unsafe addresses.baseAddress else { return }
      var queries: [hearth_query_run] = unsafe []
      unsafe queries.reserveCapacity(runs.count)
      for run in runs {
        let (row, cached) = (run.rows.lowerBound, run.sequence.cache.tokenCount)
        unsafe hearth_cache_store(
          pool.pointer, pages, offset, cacheShape.type, k.data + row * k.columns,
          v.data + row * v.columns, k.columns, cached, run.rows.count, shape.keyValueHeadCount,
          shape.headWidth)
        unsafe queries.append(
          hearth_query_run(
            q: q.data + row * q.columns, y: y.data + row * y.columns, pages: pages,
            count: run.rows.count, first: cached))
        unsafe pages += run.sequence.cache.pageCount
      }
      unsafe hearth_cached_attention(
        pool.pointer, queries, queries.count, q.columns, y.columns, offset, cacheShape.type,
        shape.headCount, shape.keyValueHeadCount, shape.headWidth, shape.scale)
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
