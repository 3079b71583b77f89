internal import CKernels

extension Parameter {
  /// What products in bf16 read of this matrix: the values in f32 where they are held (as those that are trained are), else the
  /// packed blocks or the file's own bf16 numbers, so that nothing is held twice.
  ///
  /// Valid as long as the parameter is, and until its values or its packing change.
  ///
  /// - Parameter overRows: Whether the product's sums run over the rows (W as in x·W) and not over the columns (as in x·Wᵀ).
  func operand(overRows: Bool, _ pool: WorkerPool) -> hearth_operand {
    if let packed = unsafe packed {
      return unsafe hearth_operand(
        kind: HEARTH_OPERAND_AFFINE, data: UnsafeRawPointer(packed), ld: columns, transposed: overRows)
    }
    // The number of bf16 among the types of GGUF.
    if unsafe float32 == nil, !isTransposed, let stored, stored.formatNumber == 30 {
      return unsafe stored.withBytes { bytes in
        unsafe hearth_operand(kind: HEARTH_OPERAND_BF16, data: bytes.baseAddress, ld: columns, transposed: overRows)
      }
    }
    holdFloat32(pool)
    // Steps of training are small beside the distance of two numbers in bf16, and a file's weights often lie right between two.
    let kind = stored == nil ? HEARTH_OPERAND_F32 : HEARTH_OPERAND_F32_DITHERED
    return unsafe hearth_operand(kind: kind, data: float32, ld: columns, transposed: overRows)
  }
}
