import Foundation
import Testing

@testable import Engine

/// Random damage must end in an error or in a file that can be used, never in a trap.
@Suite("Damaged files never trap")
struct FileFuzzTests {
  /// SplitMix64 (Steele, Lea and Flood, 2014): the same damage in every run.
  struct Generator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
      state &+= 0x9E37_79B9_7F4A_7C15
      var z = state
      z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
      z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
      return z ^ (z >> 31)
    }
  }

  /// Flips bits, sets bytes and words to telling values, cuts, doubles or removes pieces.
  static func damage(_ bytes: [UInt8], _ random: inout Generator) -> [UInt8] {
    var result = bytes
    for _ in 0..<Int.random(in: 1...3, using: &random) where !result.isEmpty {
      let place = Int.random(in: 0..<result.count, using: &random)
      switch Int.random(in: 0..<7, using: &random) {
      case 0: result[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
      case 1: result[place] = UInt8.random(in: .min ... .max, using: &random)
      case 2: result.removeLast(result.count - place)
      case 3:
        let words: [UInt64] = [0, 1, .max, 1 << 63, 1 << 62, 1 << 32, .max - 31, 1 << 31]
        if let word = words.randomElement(using: &random), place + 8 <= result.count {
          result = result.setting(word, at: place)
        }
      case 4:
        let words: [UInt32] = [0, 1, 8, 9, 13, .max, 1 << 31]
        if let word = words.randomElement(using: &random), place + 4 <= result.count {
          result = result.setting(word, at: place)
        }
      case 5:
        let end = min(result.count, place + Int.random(in: 1...32, using: &random))
        result.removeSubrange(place..<end)
      default:
        let end = min(result.count, place + Int.random(in: 1...32, using: &random))
        result.insert(contentsOf: result[place..<end], at: place)
      }
    }
    return result
  }

  @Test func gguf() throws {
    let reference = [UInt8](
      try Data(contentsOf: URL(fileURLWithPath: "\(referenceFiles)/reference.gguf")))
    // The header is what is parsed; a short one gets more of the damage.
    let seeds = [GGUFBytes.valid.bytes, Array(reference.prefix(2048))]
    let folder = try TemporaryFolder()
    var random = Generator(state: 1)
    var accepted = 0
    for index in 0..<4000 {
      let bytes = Self.damage(seeds[index % seeds.count], &random)
      let path = try folder.write(bytes, as: "model.gguf")
      do {
        let checkpoint = try Checkpoint.open(path)
        accepted += 1
        for name in checkpoint.tensorNames {
          guard let tensor = try? checkpoint.tensor(name) else { continue }
          #expect(tensor.withBytes { $0.count } == tensor.byteCount)
          #expect(tensor.rowBytes * tensor.rowCount == tensor.byteCount)
          #expect(tensor.rowWidth * tensor.rowCount == tensor.elementCount)
        }
        _ = try? checkpoint.ropeSettings()
        _ = try? checkpoint.stopTokenIds()
      } catch {
        #expect(error.description.hasPrefix(path))
      }
    }
    #expect(accepted > 0)
  }

  @Test func safetensors() throws {
    let seed = [UInt8](
      try Data(contentsOf: URL(fileURLWithPath: "\(referenceFiles)/reference.safetensors")))
    let folder = try TemporaryFolder()
    var random = Generator(state: 2)
    for _ in 0..<4000 {
      let path = try folder.write(Self.damage(seed, &random), as: "model.safetensors")
      do {
        let file = try SafetensorsFile(path: path)
        for entry in file.tensors {
          guard let tensor = try? file.tensorIfPresent(entry.name) else { continue }
          #expect(tensor.withBytes { $0.count } == tensor.byteCount)
          #expect(tensor.rowBytes * tensor.rowCount == tensor.byteCount)
        }
      } catch {
        #expect(error.description.hasPrefix(path))
      }
    }
  }

  @Test func json() throws {
    let text =
      #"{"model_type":"llama","rope_parameters":{"rope_type":"llama3","factor":8.0e0,"#
      + #""low_freq_factor":1,"high_freq_factor":-4},"eos_token_id":[1,2],"s":"\u00e9\ud83d\ude00"}"#
    var random = Generator(state: 3)
    for _ in 0..<4000 {
      let bytes = Self.damage(Array(text.utf8), &random)
      do {
        _ = try JSONParser.parse(bytes.span, file: "x")
      } catch {
        #expect(error.description.hasPrefix("x: "))
      }
    }
  }
}
