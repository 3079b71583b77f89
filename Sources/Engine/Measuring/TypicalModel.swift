internal import CKernels

/// A model of a usual size, as people fetch it: what it would take, known without fetching it.
public struct TypicalModel: Sendable {
  /// Which one stands for its size.
  public let name: String
  let layerCount, width, hiddenWidth, headCount, keyValueHeadCount, headWidth, vocabularyCount: Int
  let isTied: Bool
  /// The longest sequence it was made for, in tokens.
  public let contextLength: Int

  /// One of each size that a home computer may run.
  public static let all = [
    TypicalModel(
      name: "SmolLM2 135M", layerCount: 30, width: 576, hiddenWidth: 1536, headCount: 9, keyValueHeadCount: 3,
      headWidth: 64, vocabularyCount: 49_152, isTied: true, contextLength: 8192),
    TypicalModel(
      name: "Llama 3.2 1B", layerCount: 16, width: 2048, hiddenWidth: 8192, headCount: 32, keyValueHeadCount: 8,
      headWidth: 64, vocabularyCount: 128_256, isTied: true, contextLength: 131_072),
    TypicalModel(
      name: "Llama 3.2 3B", layerCount: 28, width: 3072, hiddenWidth: 8192, headCount: 24, keyValueHeadCount: 8,
      headWidth: 128, vocabularyCount: 128_256, isTied: true, contextLength: 131_072),
    TypicalModel(
      name: "Llama 3.1 8B", layerCount: 32, width: 4096, hiddenWidth: 14_336, headCount: 32, keyValueHeadCount: 8,
      headWidth: 128, vocabularyCount: 128_256, isTied: false, contextLength: 131_072),
  ]

  /// Numbers in the matrices of the blocks.
  private var blockCount: Int {
    layerCount * width * (2 * headCount * headWidth + 2 * keyValueHeadCount * headWidth + 3 * hiddenWidth)
  }
  private var tableCount: Int { vocabularyCount * width }

  /// Numbers in all parameters, but for the norms.
  public var parameterCount: Int { blockCount + tableCount * (isTied ? 1 : 2) }

  /// Rows that super-blocks of 256 do not divide are stored in Q4_1 and Q8_0 instead.
  private var hasSuperBlocks: Bool { width % 256 == 0 }

  /// The format that people fetch it in.
  public var format: String { hasSuperBlocks ? "GGUF Q4_K_M" : "GGUF Q4_1" }

  /// Bytes of its file, roughly. In Q4_K_M a seventh of the blocks and the head are Q6_K.
  public var fileBytes: Int {
    let bytes = { (type: GGMLType) in Double(type.blockBytes) / Double(type.blockElements) }
    return mixed(bytes) + (isTied ? 0 : Int(bytes(GGMLType(number: 12)) * Double(tableCount)))
  }

  /// What it takes when served.
  public var footprint: Footprint {
    Footprint(
      weightBytes: mixed { type in
        guard let format = unsafe hearth_format_for(type.number) else { return 0 }
        // A panel of one super-block stands for all.
        return unsafe Double(hearth_packed_bytes(format, 16, 256)) / (16 * 256)
      }, cacheBytesPerToken: 4 * layerCount * keyValueHeadCount * headWidth,
      workspaceBytes: 4 * 512 * (2 * hiddenWidth + 4 * width) + 4 * vocabularyCount,
      parameterCount: parameterCount, contextLength: contextLength)
  }

  /// Bytes of blocks and head, where `bytes` is what one number of a type takes.
  private func mixed(_ bytes: (GGMLType) -> Double) -> Int {
    // 3 is Q4_1, 8 Q8_0, 12 Q4_K and 14 Q6_K.
    let (most, rest) =
      hasSuperBlocks ? (GGMLType(number: 12), GGMLType(number: 14)) : (GGMLType(number: 3), GGMLType(number: 8))
    let better = hasSuperBlocks ? blockCount / 7 : 0
    return Int(bytes(most) * Double(blockCount - better) + bytes(rest) * Double(better + tableCount))
  }
}
