import Testing

@testable import Engine

@Suite("Malformed GGUF files")
struct MalformedGGUFTests {
  /// The valid file with something changed before it is encoded.
  private static func file(_ change: (inout GGUFBytes) -> Void) -> [UInt8] {
    var file = GGUFBytes.valid
    change(&file)
    return file.bytes
  }

  /// A file with one key of this type and value after the valid ones.
  private static func value(_ type: UInt32, _ encode: @escaping (inout [UInt8]) -> Void) -> [UInt8] {
    file { $0.set("test.key", type: type, encode) }
  }

  private static let valid = GGUFBytes.valid.bytes
  private static let headerCount = GGUFBytes.valid.header.count

  static let start: [MalformedFile] = [
    MalformedFile("an empty file", [], "is empty"),
    MalformedFile("two bytes", [0x47, 0x47], "unknown bytes"),
    MalformedFile("only the magic number", Array(valid[..<4]), "cut off", "version"),
    MalformedFile("cut in the version", Array(valid[..<6]), "cut off", "version"),
    MalformedFile("cut in the tensor count", Array(valid[..<15]), "cut off", "tensors"),
    MalformedFile("cut in the key count", Array(valid[..<20]), "more tensors", "found 2"),
    MalformedFile("version 0", file { $0.version = 0 }, "version", "found 0"),
    MalformedFile("version 1", file { $0.version = 1 }, "version", "found 1", "2023"),
    MalformedFile("version 4", file { $0.version = 4 }, "version", "found 4", "newer"),
    MalformedFile("big-endian", file { $0.version = 0x0300_0000 }, "big-endian"),
    MalformedFile("2^64 tensors", file { $0.tensorCount = .max }, "more tensors"),
    MalformedFile("2^63 tensors", file { $0.tensorCount = 1 << 63 }, "more tensors"),
    MalformedFile("2^64 keys", file { $0.keyCount = .max }, "more metadata keys"),
    MalformedFile("a million keys", file { $0.keyCount = 1_000_000 }, "more metadata keys"),
    // What follows is then read as something else; that something is wrong must show all the same.
    MalformedFile("one key too many", file { $0.keyCount = 4 }, "tensor 0"),
    MalformedFile("one key too few", file { $0.keyCount = 2 }, "tensor"),
    MalformedFile("one tensor too many", file { $0.tensorCount = 3 }, "tensor 2"),
  ]

  static let metadata: [MalformedFile] = [
    MalformedFile(
      "a key of 2^64 bytes", valid.setting(UInt64.max, at: 24), "cut off", "metadata key 0"),
    MalformedFile(
      "a key longer than the file", valid.setting(UInt64(9999), at: 24), "cut off", "9999"),
    MalformedFile("an empty key", file { $0.set("", "x") }, "empty name", "metadata key 3"),
    MalformedFile(
      "a key that is not UTF-8", valid.setting(UInt8(0xFF), at: 32), "UTF-8", "byte 32"),
    MalformedFile("a key twice", file { $0.set("llama.block_count", uint32: 3) }, "twice"),
    MalformedFile("type 13", value(13) { _ in }, "test.key", "unknown type", "found 13"),
    MalformedFile("type 2^32", value(.max) { _ in }, "test.key", "unknown type"),
    MalformedFile("truth value 2", value(7) { $0.append(2) }, "truth value", "found 2"),
    MalformedFile(
      "a string of 2^64 bytes", value(8) { $0.append(integer: UInt64.max) }, "test.key", "cut off"),
    MalformedFile(
      "a string of 2^63 bytes", value(8) { $0.append(integer: UInt64(1) << 63) }, "cut off"),
    MalformedFile(
      "a string that is not UTF-8",
      value(8) { bytes in
        bytes.append(integer: UInt64(2))
        bytes += [0xC3, 0x28]
      }, "test.key", "UTF-8"),
    MalformedFile(
      "a string with a surrogate",
      value(8) { bytes in
        bytes.append(integer: UInt64(3))
        bytes += [0xED, 0xA0, 0x80]
      }, "test.key", "UTF-8"),
    MalformedFile(
      "an array of 2^64 bytes",
      value(9) { bytes in
        bytes.append(integer: UInt32(0))
        bytes.append(integer: UInt64.max)
      }, "test.key", "more array elements"),
    MalformedFile(
      "an array of 2^61 doubles",
      value(9) { bytes in
        bytes.append(integer: UInt32(12))
        bytes.append(integer: UInt64(1) << 61)
      }, "test.key", "more array elements"),
    MalformedFile(
      "an array of 2^60 strings",
      value(9) { bytes in
        bytes.append(integer: UInt32(8))
        bytes.append(integer: UInt64(1) << 60)
      }, "more array elements"),
    MalformedFile(
      "an array of an unknown type",
      value(9) { bytes in
        bytes.append(integer: UInt32(77))
        bytes.append(integer: UInt64(0))
      }, "unknown type", "77"),
    MalformedFile(
      "an array with a bad truth value",
      value(9) { bytes in
        bytes.append(integer: UInt32(7))
        bytes.append(integer: UInt64(2))
        bytes += [1, 9]
      }, "truth value", "found 9"),
    MalformedFile(
      "an array with a string that is not UTF-8",
      value(9) { bytes in
        bytes.append(integer: UInt32(8))
        bytes.append(integer: UInt64(1))
        bytes.append(integer: UInt64(1))
        bytes.append(0x80)
      }, "test.key", "UTF-8"),
    MalformedFile(
      "arrays nested a thousand deep",
      value(9) { bytes in
        for _ in 0..<1000 {
          bytes.append(integer: UInt32(9))
          bytes.append(integer: UInt64(1))
        }
      }, "test.key", "too deeply"),
    MalformedFile(
      "alignment 0", file { $0.set("general.alignment", uint32: 0) }, "general.alignment",
      "power of two"),
    MalformedFile(
      "alignment 24", file { $0.set("general.alignment", uint32: 24) }, "power of two", "24"),
    MalformedFile(
      "alignment 2^31", file { $0.set("general.alignment", uint32: 1 << 31) }, "power of two"),
    MalformedFile(
      "alignment as a string", file { $0.set("general.alignment", "32") }, "uint32", "string"),
    MalformedFile(
      "no architecture", file { $0.metadata.removeFirst() }, "general.architecture", "missing"),
    MalformedFile(
      "an architecture that is a number",
      file {
        $0.metadata.removeFirst()
        $0.set("general.architecture", uint32: 5)
      }, "general.architecture", "a string", "the integer 5"),
  ]

  static let tensors: [MalformedFile] = [
    MalformedFile("an empty tensor name", file { $0.tensors[0].name = "" }, "empty name"),
    MalformedFile("a tensor twice", file { $0.tensors[1].name = "norm" }, "norm", "twice"),
    MalformedFile(
      "5 dimensions", file { $0.tensors[0].dimensions = [8, 1, 1, 1, 1] }, "norm", "found 5"),
    MalformedFile(
      "2^32 dimensions", file { $0.tensors[0].dimensionCount = .max }, "too many dimensions"),
    MalformedFile(
      "a dimension of 2^64", file { $0.tensors[0].dimensions = [.max] }, "impossible dimensions"),
    MalformedFile(
      "a dimension of 2^63", file { $0.tensors[0].dimensions = [1 << 63] }, "impossible dimensions"),
    MalformedFile(
      "dimensions whose product overflows",
      file { $0.tensors[0].dimensions = [1 << 32, 1 << 32] }, "impossible dimensions"),
    MalformedFile(
      "an overflow hidden by an empty dimension",
      file { $0.tensors[0].dimensions = [0, 1 << 40, 1 << 40] }, "impossible dimensions"),
    MalformedFile(
      "elements that fit and bytes that do not",
      file { $0.tensors[0].dimensions = [1 << 62] }, "norm", "impossible dimensions"),
    MalformedFile(
      "rows that are not whole blocks", file { $0.tensors[1].dimensions = [33, 2] }, "weight",
      "whole Q4_0 blocks", "multiple of 32", "33"),
    MalformedFile(
      "a Q4_K row of 32",
      file {
        $0.tensors[1].dimensions = [32, 2]
        $0.tensors[1].type = 12
      }, "Q4_K", "multiple of 256"),
    MalformedFile(
      "a misaligned offset", file { $0.tensors[1].offset = 33 }, "weight", "misaligned", "33"),
    MalformedFile(
      "an offset of 2^64 - 32", file { $0.tensors[1].offset = .max - 31 }, "past the end"),
    MalformedFile(
      "an offset of 2^63", file { $0.tensors[1].offset = 1 << 63 }, "weight", "past the end"),
    MalformedFile(
      "an offset after the end", file { $0.tensors[1].offset = 4096 }, "weight", "past the end"),
    MalformedFile(
      "a tensor longer than the file", file { $0.tensors[1].dimensions = [32, 20] }, "past the end"),
    MalformedFile(
      "a tensor on top of another", file { $0.tensors[1].offset = 0 }, "overlaps"),
    MalformedFile(
      "a tensor reaching into the next", file { $0.tensors[0].dimensions = [9] }, "weight",
      "overlaps tensor norm"),
    MalformedFile("no tensor data", Array(valid[..<headerCount]), "norm", "past the end"),
    MalformedFile("cut in the last tensor", Array(valid.dropLast(40)), "weight", "past the end"),
  ]

  @Test("refuses", arguments: start + metadata + tensors)
  func refuses(_ malformed: MalformedFile) throws {
    let folder = try TemporaryFolder()
    let path = try folder.write(malformed.bytes, as: "model.gguf")
    expectRefusal(malformed.words, file: path) { _ = try Checkpoint.open(path) }
  }

  @Test func refusesEveryTruncation() throws {
    let folder = try TemporaryFolder()
    // The padding after the last tensor carries nothing; everything before it does.
    for count in 0..<(Self.valid.count - 28) {
      let path = try folder.write(Array(Self.valid[..<count]), as: "model.gguf")
      expectRefusal([], file: path) { _ = try GGUFFile(path: path) }
    }
  }

  @Test func opensWithATypeItDoesNotKnowAndRefusesOnlyThatTensor() throws {
    let folder = try TemporaryFolder()
    for (type, name) in [
      (UInt32(4), "Q4_2"), (36, "IQ4_NL_4_4"), (99, "type 99"), (.max, "type 4"),
    ] {
      let bytes = Self.file { $0.tensors[1].type = type }
      let path = try folder.write(bytes, as: "model.gguf")
      let checkpoint = try Checkpoint.open(path)
      #expect(try checkpoint.tensor("norm").shape == [8])
      expectRefusal(["weight", name], file: path) { _ = try checkpoint.tensor("weight") }
    }
  }

  @Test func acceptsWhatIsUnusualButRight() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write(
      Self.file { file in
        file.version = 2
        file.tensors.reverse()
        // A gap between tensors, and one of no elements where another begins.
        file.tensors[0].offset = 64
        file.tensors[1].offset = 0
        file.tensors.append(GGUFBytes.Tensor(name: "empty", dimensions: [0], offset: 0))
        file.tensors[0].data = [UInt8](repeating: 1, count: 36)
        file.tensors[1].data = [UInt8](repeating: 2, count: 96)
      }, as: "model.gguf")
    let file = try GGUFFile(path: path)
    #expect(file.version == 2)
    #expect(try file.tensorIfPresent("empty")?.elementCount == 0)
    #expect(try file.tensorIfPresent("absent") == nil)
  }

  @Test func namesKeyAndTypesOfWrongSettings() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write(
      Self.file { file in
        file.set("nan", type: 6) { $0.append(integer: Float.nan.bitPattern) }
        file.set("infinite", type: 12) { $0.append(integer: Double.infinity.bitPattern) }
        file.set("huge", type: 10) { $0.append(integer: UInt64.max) }
        file.set("fraction", type: 6) { $0.append(integer: Float(2.5).bitPattern) }
        file.set("negative", type: 5) { $0.append(integer: Int32(-4)) }
        file.set("text", "five")
        file.set("flag", type: 7) { $0.append(UInt8(1)) }
        file.set("escape\u{1B}[2J", "x")
        file.set("nans", type: 9) { bytes in
          bytes.append(integer: UInt32(6))
          bytes.append(integer: UInt64(1))
          bytes.append(integer: Float.nan.bitPattern)
        }
      }, as: "model.gguf")
    let model = try Checkpoint.open(path)
    expectRefusal(["key nan", "finite"], file: path) { _ = try model.real("nan") }
    expectRefusal(["key infinite", "finite"], file: path) { _ = try model.real("infinite") }
    expectRefusal(["key nans", "finite"], file: path) { _ = try model.realsIfPresent("nans") }
    expectRefusal(["key huge", "integer"], file: path) { _ = try model.integer("huge") }
    expectRefusal(["key fraction", "2.5"], file: path) { _ = try model.integer("fraction") }
    expectRefusal(["key text", "\"five\""], file: path) { _ = try model.integer("text") }
    expectRefusal(["key text", "a number"], file: path) { _ = try model.real("text") }
    expectRefusal(["key flag", "a string", "true"], file: path) { _ = try model.string("flag") }
    expectRefusal(["key flag", "list"], file: path) { _ = try model.integers("flag") }
    expectRefusal(["key text", "true or false"], file: path) { _ = try model.boolIfPresent("text") }
    expectRefusal(["key absent", "missing"], file: path) { _ = try model.integer("absent") }
    expectRefusal(["key absent", "missing"], file: path) { _ = try model.real("absent") }
    expectRefusal(["key absent", "missing"], file: path) { _ = try model.string("absent") }
    expectRefusal(["key negative", "1 to 8", "-4"], file: path) {
      _ = try model.integer("negative", in: 1...8)
    }
    expectRefusal(["tensor absent", "missing"], file: path) { _ = try model.tensor("absent") }
    expectRefusal(["tensor norm", "[4]", "[8]"], file: path) {
      _ = try model.tensor("norm", shape: [4])
    }
    expectRefusal(["escape\\u{1B}[2J"], file: path) { _ = try model.integer("escape\u{1B}[2J") }
    #expect(try model.integer("flag_absent", default: 3) == 3)
    #expect(try model.integers("negative") == [-4])
  }
}
