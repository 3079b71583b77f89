import Foundation
import Testing

@testable import Engine

@Suite("File writing")
struct FileWritingTests {
  /// Where to leave files for `Scripts/fixtures/files.py check`; a temporary folder otherwise.
  private func output(_ folder: TemporaryFolder) -> String {
    ProcessInfo.processInfo.environment["HEARTH_TEST_OUTPUT"] ?? folder.path
  }

  @Test func writesGGUF() throws {
    let folder = try TemporaryFolder()
    let path = "\(output(folder))/written.gguf"
    let reference = try GGUFFile(path: "\(referenceFiles)/reference.gguf")
    var writer = GGUFWriter(metadata: reference.metadata)
    writer.add(
      OutgoingTensor(
        name: "plain", values: sampleValues(256) + sampleValues(256, start: -4), shape: [2, 256]))
    writer.add(OutgoingTensor(try #require(try reference.tensorIfPresent("Q8_0"))))
    writer.add(
      OutgoingTensor(name: "cube", type: .f32, shape: [2, 3, 4]) { sink in
        for value in sampleValues(24) { try sink.append(integer: value.bitPattern) }
      })
    try writer.write(to: path)

    let copy = try GGUFFile(path: path)
    #expect(copy.metadata == reference.metadata)
    #expect(copy.tensors.map(\.name) == ["plain", "Q8_0", "cube"])
    #expect(floats(try #require(try copy.tensorIfPresent("cube"))) == sampleValues(24))
    let q8 = try #require(try copy.tensorIfPresent("Q8_0"))
    let original = try #require(try reference.tensorIfPresent("Q8_0"))
    #expect(q8.withBytes { Array($0) } == original.withBytes { Array($0) })
  }

  @Test func keepsEveryMetadataTypeAndAlignment() throws {
    let folder = try TemporaryFolder()
    var writer = GGUFWriter(architecture: "test")
    writer.metadata["general.alignment"] = .uint32(256)
    writer.metadata["nested"] = .array(.array([.uint8([1, 2]), .string(["x"]), .array([])]))
    writer.metadata["int8s"] = .array(.int8([-1, 1]))
    writer.metadata["uint16s"] = .array(.uint16([65535]))
    writer.metadata["int16s"] = .array(.int16([-32768]))
    writer.metadata["uint64s"] = .array(.uint64([.max]))
    writer.metadata["int64s"] = .array(.int64([.min]))
    writer.metadata["float64s"] = .array(.float64([1e-300]))
    writer.metadata["removed"] = .bool(true)
    writer.metadata["removed"] = nil
    writer.add(OutgoingTensor(name: "a", values: [1], shape: [1]))
    writer.add(OutgoingTensor(name: "b", values: [], shape: [0, 3]))
    writer.add(OutgoingTensor(name: "scalar", values: [3], shape: []))
    try writer.write(to: "\(folder.path)/x.gguf")
    let file = try GGUFFile(path: "\(folder.path)/x.gguf")
    #expect(file.metadata == writer.metadata)
    #expect(file.alignment == 256)
    #expect(file.tensors.allSatisfy { $0.offset % 256 == 0 })
    #expect(floats(try #require(try file.tensorIfPresent("scalar"))) == [3])
    #expect(try file.tensorIfPresent("b")?.shape == [0, 3])
  }

  @Test func writesSafetensors() throws {
    let folder = try TemporaryFolder()
    let path = "\(output(folder))/written.safetensors"
    var writer = SafetensorsWriter(metadata: ["step": "7", "format": "pt"])
    writer.add(
      OutgoingTensor(name: "b", type: .f16, shape: [4]) { sink in
        try sink.append([0x00, 0x00, 0x00, 0x30, 0x00, 0x34, 0x00, 0x36])
      })
    writer.add(OutgoingTensor(name: "a", values: sampleValues(6), shape: [2, 3]))
    writer.add(OutgoingTensor(name: "z \"ß\"\n", values: [1], shape: [1, 1]))
    writer.add(OutgoingTensor(name: "scalar", values: [2.5], shape: []))
    writer.add(OutgoingTensor(name: "empty", values: [], shape: [0, 4]))
    try writer.write(to: path)
    let file = try SafetensorsFile(path: path)
    #expect(file.metadata == writer.metadata)
    #expect(file.tensors.map(\.name) == ["a", "b", "empty", "scalar", "z \"ß\"\n"])
    #expect(floats(try #require(try file.tensorIfPresent("a"))) == sampleValues(6))
    #expect(file.tensors.first.map { $0.offset % 8 } == 0)
  }

  @Test func refusesWhatCannotBeWritten() throws {
    let folder = try TemporaryFolder()
    let path = "\(folder.path)/x"
    func expectFailure(_ words: String, _ write: () throws -> Void) {
      do {
        try write()
        Issue.record("no error with: \(words)")
      } catch {
        #expect("\(error)".contains(words), "\(error)")
      }
    }
    let vector = OutgoingTensor(name: "v", values: [1, 2], shape: [2])
    var twice = GGUFWriter(architecture: "test")
    twice.add(vector)
    twice.add(vector)
    expectFailure("twice") { try twice.write(to: path) }
    var short = GGUFWriter(architecture: "test")
    short.add(OutgoingTensor(name: "v", values: [1], shape: [2]))
    expectFailure("expected 8 for [2] of F32, found 4") { try short.write(to: path) }
    var ragged = GGUFWriter(architecture: "test")
    ragged.add(OutgoingTensor(name: "v", type: GGMLType(number: 2), shape: [33]) { _ in })
    expectFailure("multiple of 32") { try ragged.write(to: path) }
    var deep = GGUFWriter(architecture: "test")
    deep.add(OutgoingTensor(name: "v", values: [1], shape: [1, 1, 1, 1, 1]))
    expectFailure("too many dimensions") { try deep.write(to: path) }
    var unaligned = GGUFWriter(architecture: "test")
    unaligned.metadata["general.alignment"] = .uint32(24)
    expectFailure("general.alignment") { try unaligned.write(to: path) }
    var quantised = SafetensorsWriter()
    quantised.add(OutgoingTensor(name: "q", type: GGMLType(number: 2), shape: [32]) { _ in })
    expectFailure("Q4_0") { try quantised.write(to: path) }
    var doubled = SafetensorsWriter()
    doubled.add(vector)
    doubled.add(vector)
    expectFailure("twice") { try doubled.write(to: path) }
    #expect(try folder.names == [])
  }
}
