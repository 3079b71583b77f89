import Foundation
import TestSupport
import Testing

@testable import Engine

/// Random damage must end in an error or in a file that can be used, never in a trap.
@Suite("Damaged files never trap")
struct FileFuzzTests {
  @Test func gguf() throws {
    let reference = [UInt8](
      try Data(contentsOf: URL(fileURLWithPath: "\(referenceFiles)/reference.gguf")))
    // The header is what is parsed; a short one gets more of the damage.
    let seeds = [GGUFBytes.valid.bytes, Array(reference.prefix(2048))]
    let folder = try TemporaryFolder()
    var random = Damage(seed: 1)
    var accepted = 0
    for index in Damage.rounds(4000) {
      let bytes = random.damaged(seeds[index % seeds.count])
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
    var random = Damage(seed: 2)
    for _ in Damage.rounds(4000) {
      let path = try folder.write(random.damaged(seed), as: "model.safetensors")
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
    var random = Damage(seed: 3)
    for _ in Damage.rounds(4000) {
      let bytes = random.damaged(Array(text.utf8))
      do {
        _ = try JSONParser.parse(bytes.span, file: "x")
      } catch {
        #expect(error.description.hasPrefix("x: "))
      }
    }
  }
}
