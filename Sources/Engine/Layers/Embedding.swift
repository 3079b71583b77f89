internal import CKernels

extension Pass {
  /// Rows of a table by index, `[tokens, width]`: token embeddings, learned positions.
  ///
  ///     y[t] = E[indices[t]]        dE[indices[t]] += dy[t], in order of t
  func embed(_ indices: [Int32], _ table: Parameter) -> Tensor {
    let y = tensor(indices.count, table.columns)
    for (row, index) in indices.enumerated() {
      precondition(index >= 0 && Int(index) < table.rows, "index \(index) outside \(table.name.gguf)")
      unsafe table.readRow(Int(index), into: y.data + row * table.columns)
    }
    record(y, inputs: [], parameters: [table]) { dy in
      if let gradient = table.halfGradient { return gradient.add(dy, toRows: indices) }
      guard let gradient = unsafe table.gradient else { return }
      for (row, index) in indices.enumerated() {
        unsafe hearth_add_scaled(
          nil, gradient + Int(index) * table.columns, dy.data + row * table.columns, 1, table.columns)
      }
    }
    return y
  }

  /// Some rows of `x`, in the order of `rows`.
  func select(_ rows: [Int], of x: Tensor) -> Tensor {
    let y = tensor(rows.count, x.columns)
    for (target, row) in rows.enumerated() {
      precondition(row >= 0 && row < x.rows, "row \(row) of \(x.rows)")
      unsafe (y.data + target * x.columns).update(from: x.data + row * x.columns, count: x.columns)
    }
    guard tape != nil else { return y }
    record(y, inputs: [x]) { [slot = x.slot] dy in
      let dx = slot.forAdding()
      for (target, row) in rows.enumerated() {
        unsafe hearth_add_scaled(
          nil, dx.data + row * dx.columns, dy.data + target * dx.columns, 1, dx.columns)
      }
    }
    return y
  }
}
