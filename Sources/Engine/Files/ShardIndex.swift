/// `model.safetensors.index.json`: which shard holds each tensor.
struct ShardIndex {
  /// The shards' file names, sorted.
  private(set) var shards: [String] = []
  /// Each tensor with the position of its shard, in the order of the index.
  private(set) var entries: [(tensor: String, shard: Int)] = []

  /// Reads the index at `path`.
  ///
  /// - Throws: `CheckpointError` if it has no usable `weight_map`, or names a file outside its
  ///   folder.
  init(path: String, maximumByteCount: Int) throws(CheckpointError) {
    let index = try JSONFile.readObject(path, maximumByteCount: maximumByteCount)
    guard case .object(let map)? = index["weight_map"] else {
      throw CheckpointError(
        .malformed, file: path, place: .key("weight_map"), "is not usable", expected: "an object",
        found: index["weight_map"]?.typeName ?? "nothing")
    }
    var names: [(tensor: String, shard: String)] = []
    for tensor in map.names {
      guard case .string(let shard)? = map[tensor] else {
        throw CheckpointError(
          .malformed, file: path, place: .tensor(tensor), "is not mapped to a file name",
          expected: "a string", found: map[tensor]?.typeName)
      }
      try ShardIndex.check(shard, tensor: tensor, path: path)
      names.append((tensor, shard))
    }
    guard !names.isEmpty else {
      throw CheckpointError(
        .malformed, file: path, place: .key("weight_map"), "is empty", expected: "tensors")
    }
    shards = Set(names.map(\.shard)).sorted()
    let positions = Dictionary(
      zip(shards, shards.indices).map { ($0, $1) }, uniquingKeysWith: { first, _ in first })
    entries = names.compactMap { name in positions[name.shard].map { (name.tensor, $0) } }
  }

  /// A shard is a plain file name beside the index. Anything else could make Hearth read, and an
  /// export later publish, a file the person never meant.
  private static func check(
    _ shard: String, tensor: String, path: String
  ) throws(CheckpointError) {
    let isPlain =
      !shard.isEmpty && shard != "." && shard != ".." && !shard.contains("/")
      && !shard.contains("\\") && !shard.unicodeScalars.contains("\0")
    guard isPlain else {
      throw CheckpointError(
        .malformed, file: path, place: .tensor(tensor),
        "is mapped to something other than a file beside the index",
        expected: "a plain file name", found: "\"\(printable(shard))\"",
        advice: "Do not use this model: a well-meant index never points outside its folder")
    }
  }
}
