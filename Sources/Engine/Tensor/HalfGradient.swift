internal import CKernels
internal import Glibc

/// The gradient of a matrix in bf16, `[rows, columns]`: added to in f32, rounded to nearest, ties to even, at each addition.
///
/// PyTorch's autocast rounds the gradients of weights likewise. Half the memory of f32, and half of what an optimiser step has to read.
@safe
final class HalfGradient {
  let rows: Int
  let columns: Int
  let data: UnsafeMutablePointer<UInt16>
  /// Whether it stands for zero, whatever the memory holds: the first product writes in place of adding.
  var isZero = true

  var count: Int { rows * columns }

  init(_ rows: Int, _ columns: Int) {
    (self.rows, self.columns) = (rows, columns)
    let bytes = (max(1, rows * columns) * MemoryLayout<UInt16>.stride + 63) / 64 * 64
    guard let memory = unsafe aligned_alloc(64, bytes) else {
      preconditionFailure("out of memory: \(bytes) bytes for a gradient")
    }
    unsafe data = memory.bindMemory(to: UInt16.self, capacity: rows * columns)
  }

  deinit { unsafe free(data) }

  /// Clears the memory where it only stands for zero, for whoever adds to a part of it.
  func materialize() {
    guard isZero else { return }
    unsafe data.update(repeating: 0, count: count)
    isZero = false
  }

  /// Adds rows of `values`, `[indices, columns]`, those of the same row together before they are rounded, in their order.
  func add(_ values: Tensor, toRows indices: [Int32]) {
    materialize()
    var sums: [Int32: [Float]] = [:]
    for (source, index) in indices.enumerated() {
      unsafe sums[index, default: [Float](repeating: 0, count: columns)].withUnsafeMutableBufferPointer {
        guard let base = $0.baseAddress else { return }
        unsafe hearth_add_scaled(nil, base, values.data + source * columns, 1, columns)
      }
    }
    for (index, sum) in sums { unsafe hearth_bf16_add(data + Int(index) * columns, sum, columns) }
  }

  /// The elements in f32.
  var values: [Float] { values(0..<count) }

  /// Some of them.
  func values(_ range: Range<Int>) -> [Float] {
    var values = [Float](repeating: 0, count: range.count)
    if !isZero { unsafe hearth_bf16_widen(&values, data + range.lowerBound, range.count) }
    return values
  }

  /// Replaces elements from `start` on by what `values` are when rounded.
  func set(_ values: ArraySlice<Float>, from start: Int) {
    materialize()
    unsafe values.withUnsafeBufferPointer {
      guard let base = $0.baseAddress else { return }
      unsafe (data + start).update(repeating: 0, count: $0.count)
      unsafe hearth_bf16_add(data + start, base, $0.count)
    }
  }
}
