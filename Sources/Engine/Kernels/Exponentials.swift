internal import CKernels

/// e^(x − shift) of every element, by the polynomial of all kernels, so alike on every machine.
///
/// - Parameter x: any shape, flat.
func exponentials(of x: Span<Float>, minus shift: Float) -> [Float] {
  unsafe [Float](unsafeUninitializedCapacity: x.count) { buffer, count in
    unsafe x.withUnsafeBufferPointer { x in
      unsafe hearth_exponentials(nil, buffer.baseAddress, x.baseAddress, shift, x.count)
    }
    count = x.count
  }
}
