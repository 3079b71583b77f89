internal import CKernels
internal import Glibc

/// What kernels find on this machine, and how fast it is.
public enum Machine {
  /// The instruction set that kernels use: "scalar", "avx2" or "avx512", or on AArch64 "neon", "dotprod" or "i8mm".
  public static var instructionSet: String { unsafe String(cString: hearth_isa_name(hearth_isa_current())) }

  /// The best that this processor has and kernels exist for.
  public static var bestInstructionSet: String { unsafe String(cString: hearth_isa_name(hearth_isa_best())) }

  /// As many threads as the CPU affinity and the cgroup's quota allow.
  public static var availableThreadCount: Int { Int(hearth_available_threads()) }

  /// Whole processors that the cgroup's quota allows; nil when it sets none.
  public static var quotaThreadCount: Int? {
    let count = unsafe Int(hearth_cgroup_threads("/proc/self/cgroup", "/sys/fs/cgroup"))
    return count > 0 ? count : nil
  }

  /// Bytes a second that the pool's threads together read from memory; 0 when there is no memory to measure with.
  ///
  /// Takes about half a second, and 256 MB for as long.
  public static func readBandwidth(_ pool: WorkerPool) -> Double {
    unsafe hearth_read_bandwidth(pool.pointer, 256 << 20, 24)
  }

  /// Bytes of packed weights a second that the product of one token gets through: what decoding reaches of the bandwidth.
  ///
  /// Takes about half a second, and 170 MB for as long.
  public static func decodeRate(_ pool: WorkerPool) -> Double {
    let (rows, columns) = (32_768, 4096)
    // 2 is Q4_0. Blocks of zeros multiply as fast as any.
    guard let format = unsafe hearth_format_for(2) else { return 0 }
    let rowBytes = unsafe columns / Int(format.pointee.block_elements) * Int(format.pointee.block_bytes)
    guard let blocks = unsafe calloc(rows, rowBytes) else { return 0 }
    let matrix = unsafe hearth_affine_pack(pool.pointer, format, blocks, rowBytes, rows, columns, 1)
    unsafe free(blocks)
    guard let matrix = unsafe matrix else { return 0 }
    defer { unsafe hearth_affine_free(matrix) }
    let activations = [UInt8](repeating: 0, count: hearth_activation_bytes(columns, 1) + 64)
    var y = [Float](repeating: 0, count: rows)
    var shortest = Duration.seconds(3600)
    for _ in 0..<24 {
      shortest = min(
        shortest,
        ContinuousClock().measure {
          unsafe activations.withUnsafeBytes { bytes in
            // Kernels read activations at any address that is a multiple of four.
            unsafe hearth_affine_matmul(pool.pointer, matrix, bytes.baseAddress, 1, 1, &y, rows)
          }
        })
    }
    return unsafe Double(hearth_affine_bytes(matrix)) / (shortest / .seconds(1))
  }
}
