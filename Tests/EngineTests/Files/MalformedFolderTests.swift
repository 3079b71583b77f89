import Foundation
import Testing

@testable import Engine

@Suite("Malformed model folders and strangers")
struct MalformedFolderTests {
  /// A folder case: the files in it, and words of the error.
  struct Case: CustomTestStringConvertible {
    let name: String
    var files: [String: [UInt8]]
    let words: [String]

    var testDescription: String { name }

    init(_ name: String, _ changes: [String: String?], _ words: String...) {
      self.name = name
      self.words = words
      files = [
        "config.json": Array(#"{"model_type":"llama","hidden_size":2}"#.utf8),
        "model.safetensors": MalformedSafetensorsTests.valid,
      ]
      for (file, text) in changes { files[file] = text.map { Array($0.utf8) } }
    }
  }

  /// A sharded folder whose index has this `weight_map`.
  private static func index(_ map: String) -> [String: String?] {
    [
      "model.safetensors": nil,
      "model.safetensors.index.json": "{\"weight_map\":\(map)}",
      "shard.safetensors": String(decoding: MalformedSafetensorsTests.valid, as: UTF8.self),
    ]
  }

  static let cases: [Case] = [
    Case("an empty config", ["config.json": ""], "config.json", "is empty"),
    Case("a config that is a list", ["config.json": "[]"], "config.json", "an object", "a list"),
    Case("a config cut off", ["config.json": "{\"model_type\":"], "config.json", "JSON", "byte 14"),
    Case("a config of spaces", ["config.json": "   "], "config.json", "JSON"),
    Case("a config with a name twice", ["config.json": #"{"a":1,"a":2}"#], "\"a\" twice"),
    Case("a config without model type", ["config.json": "{}"], "model_type", "missing"),
    Case("a null model type", ["config.json": #"{"model_type":null}"#], "model_type", "missing"),
    Case(
      "a model type that is a number", ["config.json": #"{"model_type":3}"#], "model_type",
      "a string", "the integer 3"),
    Case(
      "a generation config that is broken", ["generation_config.json": "{"],
      "generation_config.json", "JSON"),
    Case("no weights", ["model.safetensors": nil], "has no weights", "model.safetensors"),
    Case(
      "pickled weights", ["model.safetensors": nil, "pytorch_model.bin": "x"], "pickle",
      "save_pretrained"),
    Case("weights of no bytes", ["model.safetensors": ""], "model.safetensors", "is empty"),
    Case(
      "weights that are a Git LFS pointer",
      ["model.safetensors": "version https://git-lfs.github.com/spec/v1\noid sha256:0\n"],
      "model.safetensors", "impossible header"),
    Case("an index that is broken", index("{"), "index.json", "JSON"),
    Case(
      "an index without a map",
      ["model.safetensors": nil, "model.safetensors.index.json": "{}"], "weight_map", "nothing"),
    Case("an index that is a list", index("[]"), "weight_map", "a list"),
    Case("an index of nothing", index("{}"), "weight_map", "empty"),
    Case("an index to a number", index(#"{"a":1}"#), "tensor a", "a string", "an integer"),
    Case("an index to the parent", index(#"{"a":"../x.safetensors"}"#), "plain file name", "../x"),
    Case("an index to the root", index(#"{"a":"/etc/passwd"}"#), "plain file name"),
    Case("an index to a sub-folder", index(#"{"a":"b/c.safetensors"}"#), "plain file name"),
    Case("an index to the folder itself", index(#"{"a":"."}"#), "plain file name"),
    Case("an index to the folder above", index(#"{"a":".."}"#), "plain file name"),
    Case("an index with backslashes", index(#"{"a":"..\\x"}"#), "plain file name"),
    Case("an index to no name", index(#"{"a":""}"#), "plain file name"),
    Case(
      "an index with a zero byte", index(#"{"a":"shard.safetensors\u0000"}"#), "plain file name"),
    Case(
      "a shard that is missing", index(#"{"a":"shard.safetensors","b":"other.safetensors"}"#),
      "other.safetensors", "not in the folder"),
    Case(
      "a tensor that its shard lacks", index(#"{"a":"shard.safetensors","b":"shard.safetensors"}"#),
      "tensor b", "not in the shard"),
    Case(
      "a tensor mapped twice", index(#"{"a":"shard.safetensors","a":"shard.safetensors"}"#),
      "twice"),
  ]

  @Test("refuses", arguments: cases)
  func refuses(_ malformed: Case) throws {
    let folder = try TemporaryFolder()
    for (name, bytes) in malformed.files { try folder.write(bytes, as: name) }
    expectRefusal(malformed.words, file: folder.path) { _ = try Checkpoint.open(folder.path) }
  }

  /// Files that are no models, and what Hearth calls them.
  static let strangers: [MalformedFile] = [
    MalformedFile("gzip", [0x1F, 0x8B, 8, 0], "gzip", "Unpack"),
    MalformedFile("zstd", [0x28, 0xB5, 0x2F, 0xFD], "Zstandard"),
    MalformedFile("xz", [0xFD, 0x37, 0x7A, 0x58, 0x5A, 0], "xz"),
    MalformedFile("bzip2", Array("BZh9".utf8), "bzip2"),
    MalformedFile("7-Zip", [0x37, 0x7A, 0xBC, 0xAF, 0x27], "7-Zip"),
    MalformedFile("zip", [0x50, 0x4B, 3, 4, 20, 0], "zip archive", "Unpack"),
    MalformedFile(
      "PyTorch zip", [0x50, 0x4B, 3, 4] + Array("archive/data.pkl".utf8), "PyTorch",
      "safetensors"),
    MalformedFile("pickle", [0x80, 2, 0x8A], "pickle", "safetensors"),
    MalformedFile("newer pickle", [0x80, 5, 0x95], "pickle"),
    MalformedFile("web page", Array("\n <!DOCTYPE html><html>".utf8), "web page", "fetch"),
    MalformedFile("web page without type", Array("<HTML><body>404".utf8), "web page"),
    MalformedFile("XML error of a bucket", Array("<?xml version='1.0'?><Error>".utf8), "web page"),
    MalformedFile(
      "Git LFS pointer", Array("version https://git-lfs.github.com/spec/v1\n".utf8), "git lfs pull"),
    MalformedFile("old GGML", Array("tjgg".utf8) + [1, 0, 0, 0], "before GGUF"),
    MalformedFile("old GGML adapter", Array("algg".utf8) + [1, 0, 0, 0], "before GGUF"),
    MalformedFile("HDF5", [0x89, 0x48, 0x44, 0x46, 0x0D], "Keras"),
    MalformedFile("safetensors", MalformedSafetensorsTests.valid, "safetensors file", "folder"),
    MalformedFile("JSON", Array(#"{"model_type":"llama"}"#.utf8), "JSON", "folder"),
    MalformedFile("big-endian magic", Array("FUGG".utf8), "unknown bytes", "46 55 47 47"),
    MalformedFile("zeros", [UInt8](repeating: 0, count: 64), "unknown bytes"),
    MalformedFile("prose", Array("Dear sir".utf8), "unknown bytes"),
  ]

  @Test("names", arguments: strangers)
  func names(_ stranger: MalformedFile) throws {
    let folder = try TemporaryFolder()
    let path = try folder.write(stranger.bytes, as: "model")
    expectRefusal(stranger.words, file: path) { _ = try Checkpoint.open(path) }
  }

  @Test func refusesWhatIsNoFile() throws {
    let folder = try TemporaryFolder()
    func expectOpenFails(_ name: String, _ words: String...) {
      let path = "\(folder.path)/\(name)"
      expectRefusal(words, file: path) { _ = try Checkpoint.open(path) }
    }
    expectOpenFails("absent.gguf", "No such file")
    expectOpenFails("absent/model.gguf", "No such file")
    let manager = FileManager.default
    try manager.createSymbolicLink(
      atPath: "\(folder.path)/loop.gguf", withDestinationPath: "loop.gguf")
    expectOpenFails("loop.gguf", "symbolic link")
    try manager.createSymbolicLink(
      atPath: "\(folder.path)/dangling.gguf", withDestinationPath: "nowhere")
    expectOpenFails("dangling.gguf", "No such file")
    try manager.createDirectory(
      atPath: "\(folder.path)/empty.gguf", withIntermediateDirectories: false)
    expectOpenFails("empty.gguf", "folder without config.json", "an empty folder")
    try folder.write("x", as: "empty.gguf/notes.txt")
    expectOpenFails("empty.gguf", "folder without config.json")
    try folder.write("x", as: "empty.gguf/m.gguf")
    expectOpenFails("empty.gguf", "Give the file's path", "m.gguf")
    try folder.write("{}", as: "empty.gguf/adapter_config.json")
    expectOpenFails("empty.gguf", "PEFT adapter")
    expectRefusal(["No such file"], file: "(empty path)") { _ = try Checkpoint.open("") }
    expectRefusal(["a device, pipe or socket"], file: "/dev/null") {
      _ = try Checkpoint.open("/dev/null")
    }
    expectRefusal(["folder"], file: folder.path) { _ = try GGUFFile(path: folder.path) }
    let pipe = "\(folder.path)/pipe"
    #expect(mkfifo(pipe, 0o600) == 0)
    expectOpenFails("pipe", "a device, pipe or socket")
  }

  /// Root may read everything, so there is nothing to see then.
  @Test(.enabled(if: geteuid() != 0)) func refusesWhatMayNotBeRead() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write(GGUFBytes.valid.bytes, as: "secret.gguf")
    try FileManager.default.setAttributes([.posixPermissions: 0], ofItemAtPath: path)
    expectRefusal(["Permission denied", "permissions"], file: path) {
      _ = try Checkpoint.open(path)
    }
  }

  @Test func refusesFoldersAndLoopsInPlaceOfParts() throws {
    for part in ["config.json", "model.safetensors"] {
      let folder = try TemporaryFolder()
      try folder.write(#"{"model_type":"llama"}"#, as: "config.json")
      try folder.write(MalformedSafetensorsTests.valid, as: "model.safetensors")
      let path = "\(folder.path)/\(part)"
      try FileManager.default.removeItem(atPath: path)
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
      expectRefusal([part, "Is a directory"], file: path) { _ = try Checkpoint.open(folder.path) }
      try FileManager.default.removeItem(atPath: path)
      try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: part)
      expectRefusal([part, "symbolic link"], file: path) { _ = try Checkpoint.open(folder.path) }
    }
  }

  @Test func namesWrongSettings() throws {
    let folder = try TemporaryFolder()
    func model(_ config: String, generation: String = "{}") throws -> Checkpoint {
      try folder.write("{\"model_type\":\"llama\",\(config)}", as: "config.json")
      try folder.write(generation, as: "generation_config.json")
      try folder.write(MalformedSafetensorsTests.valid, as: "model.safetensors")
      return try Checkpoint.open(folder.path)
    }
    func expectRoPEFails(_ config: String, _ words: String...) throws {
      let checkpoint = try model(config)
      expectRefusal(["config.json"] + words, file: folder.path) {
        _ = try checkpoint.ropeSettings()
      }
    }
    #expect(try model(#""rope_theta":5e5"#).ropeSettings() == RoPESettings(base: 500_000))
    #expect(try model(#""x":1"#).ropeSettings() == RoPESettings())
    let linear = try model(#""rope_scaling":{"type":"linear","factor":2}"#).ropeSettings()
    #expect(linear == RoPESettings(scaling: .linear(factor: 2)))
    try expectRoPEFails(#""rope_theta":"big""#, "rope_theta", "a number", "\"big\"")
    try expectRoPEFails(#""rope_theta":-1"#, "rope_theta", "above 0")
    try expectRoPEFails(#""rope_theta":NaN"#, "rope_theta", "finite")
    try expectRoPEFails(#""rope_theta":Infinity"#, "rope_theta", "finite")
    try expectRoPEFails(#""rope_scaling":{"rope_type":"yarn"}"#, "yarn", "llama3")
    try expectRoPEFails(#""rope_scaling":{"rope_type":"linear"}"#, "rope_scaling.factor", "missing")
    try expectRoPEFails(
      #""rope_parameters":{"rope_type":"llama3","factor":8,"low_freq_factor":1}"#,
      "high_freq_factor", "missing")
    try expectRoPEFails(
      #""rope_parameters":{"rope_type":"llama3","factor":8,"low_freq_factor":1,"high_freq_factor":4,"original_max_position_embeddings":0}"#,
      "original_max_position_embeddings", "out of range")

    #expect(try model(#""eos_token_id":2"#).stopTokenIds() == [2])
    #expect(try model(#""eos_token_id":[2,3,2]"#).stopTokenIds() == [2, 3])
    #expect(try model(#""x":null"#).stopTokenIds() == [])
    for (config, generation) in [
      (#""eos_token_id":"</s>""#, "{}"), (#""eos_token_id":-1"#, "{}"),
      (#""x":1"#, #"{"eos_token_id":"x"}"#), (#""x":1"#, #"{"eos_token_id":[1,"x"]}"#),
    ] {
      let checkpoint = try model(config, generation: generation)
      expectRefusal(["eos_token_id"], file: folder.path) { _ = try checkpoint.stopTokenIds() }
    }
    let huge = try model(#""hidden_size":1e300,"layers":4096.0,"list":[1,"a"],"object":{}"#)
    expectRefusal(["hidden_size"], file: folder.path) { _ = try huge.integer("hidden_size") }
    #expect(try huge.integer("layers") == 4096)
    expectRefusal(["list"], file: folder.path) { _ = try huge.integers("list") }
    expectRefusal(["list"], file: folder.path) { _ = try huge.stringsIfPresent("list") }
    expectRefusal(["object", "an object"], file: folder.path) { _ = try huge.string("object") }
    expectRefusal(["tensor b", "missing"], file: folder.path) { _ = try huge.tensor("b") }
  }
}
