/// The layout of a tensor type of GGUF files: how many elements a block holds, in how many bytes.
///
/// This table also knows types that Hearth cannot compute with, so that a file holding one still
/// opens and the tensor that has it is named. What can be computed with is `CKernels`'
/// `hearth_format_for`.
///
/// Numbers and sizes: ggml, `enum ggml_type` and its block structures (github.com/ggml-org/ggml,
/// `include/ggml.h`, `src/ggml-common.h`).
public struct GGMLType: Sendable, Equatable {
  /// The type's number in a GGUF file.
  public let number: UInt32
  /// The type's name, as GGUF tools print it.
  public let name: String
  /// Elements in a block; a row holds a whole number of blocks.
  public let blockElements: Int
  /// Bytes in a block; 0 if the type has no known layout (it was withdrawn, or is newer than
  /// Hearth).
  public let blockBytes: Int

  /// The type with this number. Unknown and withdrawn ones have no `blockBytes`.
  public init(number: UInt32) {
    self.number = number
    guard number < GGMLType.table.count else {
      (name, blockElements, blockBytes) = ("type \(number)", 1, 0)
      return
    }
    (name, blockElements, blockBytes) = GGMLType.table[Int(number)]
  }

  /// Whether the layout is known.
  public var isSized: Bool { blockBytes > 0 }

  /// Bytes of a row of `width` elements, nil if it is not a whole number of blocks or overflows.
  public func rowBytes(width: Int) -> Int? {
    guard isSized, width >= 0, width % blockElements == 0 else { return nil }
    let (bytes, overflow) = (width / blockElements).multipliedReportingOverflow(by: blockBytes)
    return overflow ? nil : bytes
  }

  /// Bytes of a tensor, nil if its rows are not whole blocks or the number does not fit.
  public func byteCount(shape: [Int]) -> Int? {
    guard var bytes = rowBytes(width: shape.last ?? 1) else { return nil }
    for size in shape.dropLast() {
      let (product, overflow) = bytes.multipliedReportingOverflow(by: size)
      guard size >= 0, !overflow else { return nil }
      bytes = product
    }
    return bytes
  }

  /// 32-bit floating point.
  public static let f32 = GGMLType(number: 0)
  /// 16-bit floating point, IEEE 754 binary16.
  public static let f16 = GGMLType(number: 1)
  /// 8-bit signed integers.
  public static let i8 = GGMLType(number: 24)
  /// 16-bit signed integers.
  public static let i16 = GGMLType(number: 25)
  /// 32-bit signed integers.
  public static let i32 = GGMLType(number: 26)
  /// 64-bit signed integers.
  public static let i64 = GGMLType(number: 27)
  /// 64-bit floating point.
  public static let f64 = GGMLType(number: 28)
  /// bfloat16: the upper half of a 32-bit floating-point number.
  public static let bf16 = GGMLType(number: 30)

  /// Name, block elements, block bytes; the index is the number.
  private static let table: [(String, Int, Int)] = [
    ("F32", 1, 4), ("F16", 1, 2), ("Q4_0", 32, 18), ("Q4_1", 32, 20), ("Q4_2", 32, 0),
    ("Q4_3", 32, 0), ("Q5_0", 32, 22), ("Q5_1", 32, 24), ("Q8_0", 32, 34), ("Q8_1", 32, 40),
    ("Q2_K", 256, 84), ("Q3_K", 256, 110), ("Q4_K", 256, 144), ("Q5_K", 256, 176),
    ("Q6_K", 256, 210), ("Q8_K", 256, 292), ("IQ2_XXS", 256, 66), ("IQ2_XS", 256, 74),
    ("IQ3_XXS", 256, 98), ("IQ1_S", 256, 50), ("IQ4_NL", 32, 18), ("IQ3_S", 256, 110),
    ("IQ2_S", 256, 82), ("IQ4_XS", 256, 136), ("I8", 1, 1), ("I16", 1, 2), ("I32", 1, 4),
    ("I64", 1, 8), ("F64", 1, 8), ("IQ1_M", 256, 56), ("BF16", 1, 2), ("Q4_0_4_4", 32, 0),
    ("Q4_0_4_8", 32, 0), ("Q4_0_8_8", 32, 0), ("TQ1_0", 256, 54), ("TQ2_0", 256, 66),
    ("IQ4_NL_4_4", 32, 0), ("IQ4_NL_4_8", 32, 0), ("IQ4_NL_8_8", 32, 0), ("MXFP4", 32, 17),
    ("NVFP4", 64, 36), ("Q1_0", 128, 18),
  ]
}
