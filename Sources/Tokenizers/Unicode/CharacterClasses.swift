/// The classes of characters that pre-tokenizer patterns ask for: `\p{L}`, `\p{N}`, `\s`, `\w`.
///
/// They come from a table of our own, because ids must not change with the Unicode version of the
/// Swift library: the table holds what Hugging Face `tokenizers` 0.23 answers (Unicode 16 in its
/// patterns, Unicode 17 in its `Digits` step).
struct CharacterClass: OptionSet, Sendable {
  let rawValue: UInt8

  /// `\p{L}`.
  static let letter = CharacterClass(rawValue: 1)
  /// `\p{N}`.
  static let number = CharacterClass(rawValue: 2)
  /// `\s`, which is the property White_Space.
  static let space = CharacterClass(rawValue: 4)
  /// What the `Digits` step takes for a number, which is `\p{N}` in a later version of Unicode.
  static let digit = CharacterClass(rawValue: 8)
  /// `\w` as added tokens with `single_word` understand it.
  static let word = CharacterClass(rawValue: 16)

  /// The classes that a pattern's alternatives are about.
  static let pattern: CharacterClass = [.letter, .number, .space]
}

/// A two-stage table of every scalar's classes: scalars share blocks of 256 that are alike.
struct CharacterClassTable: Sendable {
  /// The one table.
  static let shared = CharacterClassTable(ranges: characterClassRanges)

  private var blockNumbers: [UInt16] = []
  private var blocks: [UInt8] = []

  /// - Parameter ranges: triples of first scalar, last scalar, classes; ascending, disjoint.
  private init(ranges: [UInt32]) {
    var flat = [UInt8](repeating: 0, count: 0x110000)
    for index in stride(from: 0, to: ranges.count, by: 3) {
      let scalars = Int(ranges[index])..<Int(ranges[index + 1]) + 1
      flat.replaceSubrange(
        scalars,
        with: repeatElement(UInt8(truncatingIfNeeded: ranges[index + 2]), count: scalars.count))
    }
    var numbers: [ArraySlice<UInt8>: UInt16] = [:]
    for start in stride(from: 0, to: flat.count, by: 256) {
      let block = flat[start..<start + 256]
      if let number = numbers[block] {
        blockNumbers.append(number)
      } else {
        let number = UInt16(numbers.count)
        numbers[block] = number
        blockNumbers.append(number)
        blocks.append(contentsOf: block)
      }
    }
  }

  /// The classes of the scalar `value`, which must be at most U+10FFFF.
  @inline(__always)
  func classes(of value: UInt32) -> CharacterClass {
    let block = Int(blockNumbers[Int(value >> 8)])
    return CharacterClass(rawValue: blocks[block << 8 | Int(value & 0xFF)])
  }
}
