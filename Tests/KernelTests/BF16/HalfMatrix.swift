import CKernels

/// A bf16 matrix with padded rows, as products read it.
struct HalfMatrix {
  let rows: Int, columns: Int, stride: Int
  var halves: [UInt16]

  init(_ rows: Int, _ columns: Int) {
    (self.rows, self.columns) = (rows, columns)
    stride = hearth_bf16_stride(columns)
    // Padding that must not be read is not a number.
    halves = [UInt16](repeating: 0x7fc0, count: rows * stride)
  }

  init(rounding floats: [Float], _ rows: Int, _ columns: Int) {
    self.init(rows, columns)
    hearth_bf16_round(nil, &halves, stride, floats, columns, rows, columns)
  }

  subscript(row: Int, column: Int) -> Float { HalfMatrix.widened(halves[row * stride + column]) }

  /// The elements without the padding.
  var floats: [Float] { (0..<rows).flatMap { row in (0..<columns).map { self[row, $0] } } }
  var bits: [UInt16] { (0..<rows).flatMap { row in (0..<columns).map { halves[row * stride + $0] } } }

  static func widened(_ half: UInt16) -> Float { Float(bitPattern: UInt32(half) << 16) }

  /// To nearest, ties to even; subnormals are zeros.
  static func rounded(_ value: Float) -> Float {
    if value.isNaN { return .nan }
    if value.magnitude < .leastNormalMagnitude { return value.sign == .minus ? -0.0 : 0 }
    let bits = value.bitPattern
    return Float(bitPattern: (bits &+ 0x7fff &+ (bits >> 16 & 1)) & 0xffff_0000)
  }

  /// Up or down by a fixed number for each index; what is no usual number as `rounded`.
  static func dithered(_ value: Float, _ index: Int) -> Float {
    guard value.isNormal else { return rounded(value) }
    let noise = (UInt32(truncatingIfNeeded: index) &* 0x9E37_79B1) >> 16
    return Float(bitPattern: (value.bitPattern &+ noise) & 0xffff_0000)
  }
}

/// One step of a sum, as the instruction computes it: a fused multiply-add with subnormal results, after rounding, made zeros.
func flushedFMA(_ a: Float, _ b: Float, _ sum: Float) -> Float {
  let r = sum.addingProduct(a, b)
  guard r.magnitude <= .leastNormalMagnitude else { return r }
  // 2^-126 may have been rounded up from what 24 bits hold below it.
  let exact = Double(sum) + Double(a) * Double(b)
  return exact.magnitude < 0x1p-126 - 0x1p-151 ? (r.sign == .minus ? -0.0 : 0) : r
}
