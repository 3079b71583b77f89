internal import CKernels

extension LowRankPair {
  /// values += s·B·A for some rows of B, and with DoRA each row scaled to its length.
  ///
  /// - Parameter values: Those rows of the map's weights, `[rows, inputs]`.
  func add(to values: inout [Float], rows: Range<Int>, _ pool: WorkerPool) {
    let columns = down.columns
    let up = self.up.values(pool)[rows.lowerBound * rank..<rows.upperBound * rank].map { $0 * scale }
    let down = self.down.values(pool)
    unsafe values.withUnsafeMutableBufferPointer { values in
      unsafe hearth_sgemm(
        pool.pointer, false, false, rows.count, columns, rank, up, rank, down, columns, values.baseAddress,
        columns, true)
    }
    guard let lengths = magnitude?.lengths.values(pool) else { return }
    for (index, row) in rows.enumerated() {
      let place = index * columns..<(index + 1) * columns
      let norm = values[place].reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
      let factor = Magnitude.factor(length: lengths[row], norm: Float(norm))
      for element in place { values[element] *= factor }
    }
  }
}

extension LanguageModel {
  /// Puts what an adapter makes of the weights in their place, in f32: the merged model, without a file.
  public func fold(_ adapter: Adapter) {
    for (linear, pair) in adapter.entries {
      var values = linear.weight.values(pool)
      pair.add(to: &values, rows: 0..<linear.outputs, pool)
      linear.weight.setValues(values)
    }
    revision += 1
  }
}
