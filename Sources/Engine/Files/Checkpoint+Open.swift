extension Checkpoint {
  /// Opens the model at `path`: a `.gguf` file, or a folder with `config.json` and safetensors.
  ///
  /// - Throws: `CheckpointError` if there is no model, or it is damaged. A file of another kind (an
  ///   archive, a web page, a pickle) is named for what it is.
  public static func open(_ path: String) throws(CheckpointError) -> Checkpoint {
    if JSONFile.isFolder(path) { return try openFolder(path) }
    let mapping = try SharedMapping(path: path)
    if let stranger = FileKind(of: mapping) {
      throw CheckpointError(
        .notACheckpoint, file: path, "is not a model that Hearth reads",
        expected: "a GGUF file or a Hugging Face folder", found: stranger.name,
        advice: stranger.advice)
    }
    return try Checkpoint(GGUFFile(mapping))
  }

  private static func openFolder(_ path: String) throws(CheckpointError) -> Checkpoint {
    if JSONFile.exists(joined(path, "config.json")) {
      return try Checkpoint(HuggingFaceFolder(path: path))
    }
    let names = try JSONFile.names(in: path)
    let ggufs = names.filter { $0.hasSuffix(".gguf") }.sorted()
    let (found, advice): (String?, String)
    if names.contains("adapter_config.json") {
      (found, advice) = (
        "a PEFT adapter", "Give the base model's path and load the adapter onto it"
      )
    } else if let first = ggufs.first {
      let list = ggufs.prefix(5).map { printable($0) }.joined(separator: ", ")
      (found, advice) = (list, "Give the file's path: \(printable(joined(path, first)))")
    } else if names.isEmpty {
      (found, advice) = ("an empty folder", "Check the path, or fetch the model")
    } else {
      (found, advice) = (nil, "Check the path, or fetch the whole model")
    }
    throw CheckpointError(
      .notACheckpoint, file: path, "is a folder without config.json",
      expected: "a Hugging Face model folder or a .gguf file", found: found, advice: advice)
  }
}

/// A file that is no GGUF, recognised by its first bytes.
struct FileKind {
  let name: String
  let advice: String

  private static let archive = "Unpack it and give the path of the .gguf file or folder inside"
  private static let pickle =
    "Convert it to safetensors with transformers: model.save_pretrained(folder)"
  private static let download = "The download went wrong: fetch the file itself"

  /// Prefixes no GGUF file has. Signatures: file(1)'s database and the formats' own specifications.
  private static let signatures: [(prefix: [UInt8], name: String, advice: String)] = [
    ([0x1F, 0x8B], "a gzip archive", archive),
    ([0x28, 0xB5, 0x2F, 0xFD], "a Zstandard archive", archive),
    ([0xFD, 0x37, 0x7A, 0x58, 0x5A], "an xz archive", archive),
    ([0x42, 0x5A, 0x68], "a bzip2 archive", archive),
    ([0x37, 0x7A, 0xBC, 0xAF], "a 7-Zip archive", archive),
    ([0x80, 0x02], "a Python pickle (PyTorch)", pickle),
    ([0x80, 0x03], "a Python pickle (PyTorch)", pickle),
    ([0x80, 0x04], "a Python pickle (PyTorch)", pickle),
    ([0x80, 0x05], "a Python pickle (PyTorch)", pickle),
    (
      Array("version https://git-lfs".utf8), "a Git LFS pointer",
      "Fetch the file behind it: git lfs pull"
    ),
    (Array("lmgg".utf8), "a GGML file from before GGUF", "Get the model as GGUF"),
    (Array("fmgg".utf8), "a GGML file from before GGUF", "Get the model as GGUF"),
    (Array("tjgg".utf8), "a GGML file from before GGUF", "Get the model as GGUF"),
    (Array("algg".utf8), "a GGML adapter from before GGUF", "Get the adapter as GGUF"),
    ([0x89, 0x48, 0x44, 0x46], "an HDF5 file (Keras)", "Get the model as GGUF or safetensors"),
  ]

  /// What the file is, nil if it may be GGUF.
  init?(of mapping: SharedMapping) {
    let start = FileKind.start(of: mapping)
    guard !start.isEmpty, !start.starts(with: "GGUF".utf8) else { return nil }
    if let match = FileKind.signatures.first(where: { start.starts(with: $0.prefix) }) {
      (name, advice) = (match.name, match.advice)
      return
    }
    if start.starts(with: [0x50, 0x4B, 0x03, 0x04]) {
      // PyTorch's own format since 1.6 is a zip archive around a pickle.
      let isPickle = String(decoding: start, as: UTF8.self).contains("data.pkl")
      (name, advice) =
        isPickle ? ("a PyTorch file (zip)", FileKind.pickle) : ("a zip archive", FileKind.archive)
      return
    }
    let text = String(decoding: start, as: UTF8.self).lowercased().drop(while: \.isWhitespace)
    if text.hasPrefix("<!doctype") || text.hasPrefix("<html") || text.hasPrefix("<?xml") {
      (name, advice) = ("a web page", FileKind.download)
    } else if start.count > 8, start[8] == UInt8(ascii: "{"), start[6] == 0, start[7] == 0 {
      (name, advice) = ("a safetensors file", "Give the folder that holds it and its config.json")
    } else if text.hasPrefix("{") {
      (name, advice) = ("a JSON file", "Give the folder that holds config.json and the weights")
    } else {
      let hexadecimal = start.prefix(8).map { byte in
        (byte < 16 ? "0" : "") + String(byte, radix: 16)
      }
      name = "unknown bytes (\(hexadecimal.joined(separator: " ")))"
      advice = "Check the path, or fetch the file again"
    }
  }

  /// The first bytes, enough for every signature.
  private static func start(of mapping: SharedMapping) -> [UInt8] {
    let bytes = mapping.bytes
    var start: [UInt8] = []
    for index in 0..<min(256, bytes.count) { start.append(bytes[index]) }
    return start
  }
}
