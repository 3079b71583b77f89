import CKernels
import Foundation

/// A storage format of CKernels, with arrays instead of pointers.
struct StorageFormat: CustomStringConvertible, Sendable {
  let name: String
  let number: UInt32
  let blockElements: Int
  let blockBytes: Int
  let affineBits: UInt32
  /// Both halves of a group share scale and minimum.
  let wide: Bool
  private let index: Int

  var description: String { name }

  static let all: [StorageFormat] = (0..<hearth_format_count()).compactMap(StorageFormat.init)
  static let affine = all.filter { $0.affineBits > 0 }
  static let quantised = all.filter { $0.blockElements > 1 }

  static func named(_ name: String) -> StorageFormat? { all.first { $0.name == name } }

  private init?(index: Int) {
    guard let format = hearth_format_at(index) else { return nil }
    self.index = index
    name = String(cString: format.pointee.name)
    number = format.pointee.ggml_type
    blockElements = Int(format.pointee.block_elements)
    blockBytes = Int(format.pointee.block_bytes)
    affineBits = format.pointee.affine_bits
    wide = format.pointee.wide
  }

  /// The values of `blocks`, which are read at an odd address, as a mapped file may have them.
  func dequantize(_ blocks: [UInt8]) -> [Float] {
    let count = blocks.count / blockBytes * blockElements
    let shifted: [UInt8] = [0] + blocks
    return shifted.withUnsafeBytes { bytes in
      [Float](unsafeUninitializedCapacity: count) { values, written in
        hearth_format_at(index)?.pointee.dequantize(
          values.baseAddress, bytes.baseAddress.map { $0 + 1 }, count)
        written = count
      }
    }
  }

  func quantize(_ values: [Float]) -> [UInt8] {
    let bytes = values.count / blockElements * blockBytes
    // Written at an odd address too; what surrounds the blocks must stay.
    var blocks = [UInt8](repeating: 0xA5, count: bytes + 2)
    blocks.withUnsafeMutableBytes { raw in
      hearth_format_at(index)?.pointee.quantize(
        raw.baseAddress.map { $0 + 1 }, values, values.count)
    }
    precondition(blocks.first == 0xA5 && blocks.last == 0xA5, "\(name) wrote beyond its blocks")
    return Array(blocks.dropFirst().dropLast())
  }

  /// One group in affine form.
  struct Group: Equatable {
    var q: [UInt8]
    var scale: [Float]
    var minimum: [Float]

    /// scale · q + minimum, in f32 with two roundings.
    var values: [Float] {
      q.indices.map { scale[$0 / 16] * Float(q[$0]) + minimum[$0 / 16] }
    }
    /// The same with one rounding.
    var fusedValues: [Float] {
      q.indices.map { minimum[$0 / 16].addingProduct(scale[$0 / 16], Float(q[$0])) }
    }
  }

  /// The groups of 32 elements that `blocks` hold.
  func groups(_ blocks: [UInt8]) -> [Group] {
    let shifted: [UInt8] = [0] + blocks
    return shifted.withUnsafeBytes { bytes in
      (0..<blocks.count / blockBytes * blockElements / 32).map { group in
        var result = Group(
          q: .init(repeating: 0, count: 32), scale: [0, 0], minimum: [0, 0])
        hearth_format_at(index)?.pointee.unpack_group(
          &result.q, &result.scale, &result.minimum, bytes.baseAddress.map { $0 + 1 }, group)
        return result
      }
    }
  }
}

/// Repeatable random numbers (SplitMix64, Steele, Lea and Flood 2014).
struct RandomBits: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
  mutating func bytes(_ count: Int) -> [UInt8] {
    (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) }
  }
  /// Nearly normal with a standard deviation of about 0.036: the sum of four uniform numbers, in
  /// exact steps of 2^-20. The script that made the fixtures has the same.
  mutating func weight() -> Float {
    let z = next()
    let sum = (0..<4).reduce(0) { $0 + Int(z >> (16 * UInt64($1)) & 0xFFFF) }
    return Float(sum - 131_070) * 0x1p-20
  }
}

/// Files under Tests/Fixtures/formats.
enum FormatFixture {
  static func bytes(_ name: String) throws -> [UInt8] {
    let tests = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    return Array(try Data(contentsOf: tests.appending(path: "Fixtures/formats/\(name)")))
  }
  static func floats(_ bytes: some Collection<UInt8>) -> [Float] {
    let bytes = Array(bytes)
    return stride(from: 0, to: bytes.count, by: 4).map { i in
      Float(bitPattern: (0..<4).reduce(0) { $0 | UInt32(bytes[i + $1]) << (8 * UInt32($1)) })
    }
  }
}

/// The root of the mean squared difference.
func rootMeanSquare(_ x: [Float], minus y: [Float]) -> Double {
  var sum = 0.0
  for i in x.indices {
    let difference = Double(x[i]) - Double(y[i])
    sum += difference * difference
  }
  return (sum / Double(x.count)).squareRoot()
}
