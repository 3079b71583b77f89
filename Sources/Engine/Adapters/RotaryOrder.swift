/// The two orders in which rows of query and key maps are stored.
///
/// RoPE turns pairs of elements of each head. In Hugging Face folders the two are half a head apart (i, i + d/2); GGUF files of
/// architecture llama store them side by side (2i, 2i + 1). Both give the same attention, as queries and keys
/// are permuted alike; matrices that move between the two have to be permuted.
///
/// `convert_hf_to_gguf.py` of llama.cpp, `LlamaModel.permute`.
enum RotaryOrder {
  /// Rows in GGUF's order from rows in that of Hugging Face.
  static func gguf(_ values: [Float], rows: Int, headCount: Int) -> [Float] {
    permute(values, rows: rows, headCount: headCount, toGGUF: true)
  }

  /// Rows in the order of Hugging Face from rows in that of GGUF.
  static func huggingFace(_ values: [Float], rows: Int, headCount: Int) -> [Float] {
    permute(values, rows: rows, headCount: headCount, toGGUF: false)
  }

  private static func permute(
    _ values: [Float], rows: Int, headCount: Int, toGGUF: Bool
  ) -> [Float] {
    guard headCount > 0, rows > 0 else { return values }
    let (columns, headWidth) = (values.count / rows, rows / headCount)
    var result = values
    for head in 0..<headCount {
      for pair in 0..<headWidth / 2 {
        for half in 0..<2 {
          let apart = head * headWidth + half * headWidth / 2 + pair
          let beside = head * headWidth + 2 * pair + half
          let (source, target) = toGGUF ? (apart, beside) : (beside, apart)
          result.replaceSubrange(
            target * columns..<(target + 1) * columns,
            with: values[source * columns..<(source + 1) * columns])
        }
      }
    }
    return result
  }
}
