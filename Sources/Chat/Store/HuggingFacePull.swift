internal import Foundation

/// Brings a repository, or one file of it, into Hugging Face's cache.
///
/// What is in the cache already is not fetched again, whoever put it there. The branch refers to the new revision only when all
/// its files are there, so that a model is seen whole or as it was before.
struct HuggingFacePull {
  let reference: HuggingFaceReference
  let options: PullOptions
  let report: (PullEvent) -> Void

  private var hub: HuggingFaceHub { HuggingFaceHub(options) }
  private var cache: HuggingFaceCache { HuggingFaceCache(folder: options.cache) }

  /// Fetches what is missing.
  ///
  /// - Returns: The path of the file or of the snapshot's folder.
  func run() throws(StoreError) -> String {
    if let file = reference.file {
      let description = try describe(file, revision: "main")
      try fetch(file, description)
      try refer(to: description.revision)
      return cache.snapshot(description.revision, file, of: reference).path
    }
    let listing = try hub.list(reference) { report(.note($0)) }
    for file in try files(of: listing) { try fetch(file, try describe(file, revision: listing.revision)) }
    try refer(to: listing.revision)
    return cache.repository(reference).appending(path: "snapshots/\(listing.revision)").path
  }

  // MARK: What to fetch

  /// Files that may be there beside the weights; the engine and the tokenizer read what they know.
  private static let companions = [
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json", "vocab.json", "vocab.txt", "merges.txt", "tokenizer.model", "spiece.model",
    "chat_template.jinja", "chat_template.json",
  ]

  /// The files that make the repository a model, small ones first.
  private func files(of listing: HuggingFaceHub.Listing) throws(StoreError) -> [String] {
    let (index, single) = ("model.safetensors.index.json", "model.safetensors")
    let ggufs = listing.files.filter { $0.hasSuffix(".gguf") }.sorted()
    guard listing.files.contains("config.json"), listing.files.contains(index) || listing.files.contains(single) else {
      throw refusal(listing, ggufs)
    }
    var files = HuggingFacePull.companions.filter(listing.files.contains)
    // The order of transformers: a single file wins over an index.
    if listing.files.contains(single) { return files + [single] }
    let description = try describe(index, revision: listing.revision)
    try fetch(index, description)
    files.append(index)
    return try files + shards(cache.snapshot(listing.revision, index, of: reference).path, listing)
  }

  private func shards(_ index: String, _ listing: HuggingFaceHub.Listing) throws(StoreError) -> [String] {
    struct Index: Decodable { let weight_map: [String: String] }
    guard let data = FileManager.default.contents(atPath: index),
      let map = try? JSONDecoder().decode(Index.self, from: data).weight_map
    else { throw StoreError("\(index): is not an index of weights: expected an object with a weight_map") }
    let shards = Set(map.values).sorted()
    for shard in shards where !listing.files.contains(shard) {
      throw StoreError(
        "\(index): lists \(shard), which is not in the repository: the upload of \(reference) is incomplete")
    }
    return shards
  }

  private func refusal(_ listing: HuggingFaceHub.Listing, _ ggufs: [String]) -> StoreError {
    if !ggufs.isEmpty {
      let list = ggufs.map { "  hearth pull \(reference)/\($0)" }.joined(separator: "\n")
      return StoreError("\(reference): holds GGUF files: choose one:\n\(list)")
    }
    if listing.files.contains("adapter_config.json") {
      return StoreError("\(reference): is an adapter, not a model: pull the model that it was trained on")
    }
    if listing.files.contains(where: { $0.hasPrefix("pytorch_model") }) {
      return StoreError(
        "\(reference): has its weights as Python pickles only, which may hold programs: choose a repository with "
          + "model.safetensors or GGUF files")
    }
    return StoreError(
      "\(reference): is no model that Hearth reads: expected config.json and model.safetensors, or GGUF files; found "
        + (listing.files.isEmpty ? "nothing" : listing.files.prefix(8).joined(separator: ", ")))
  }

  private func describe(_ file: String, revision: String) throws(StoreError) -> HuggingFaceHub.Description {
    let place = HuggingFaceReference("hf:\(reference.organisation)/\(reference.repository)/\(file)") ?? reference
    return try hub.describe(file, of: place, revision: revision) { report(.note($0)) }
  }

  // MARK: Fetching

  private func fetch(_ file: String, _ description: HuggingFaceHub.Description) throws(StoreError) {
    let tag = description.tag
    let blob = cache.blob(tag, of: reference)
    do {
      try FileManager.default.createDirectory(
        at: blob.deletingLastPathComponent(), withIntermediateDirectories: true)
    } catch {
      throw StoreError("\(blob.deletingLastPathComponent().path): cannot be made: \(error.localizedDescription)")
    }
    var hasSaid = false
    let lock = try cache.lock(tag, of: reference) { () throws(StoreError) in
      if options.isInterrupted() { throw .interrupted }
      if !hasSaid { report(.note("another process is fetching \(file); waiting for it")) }
      hasSaid = true
    }
    defer { withExtendedLifetime(lock) {} }
    if !FileManager.default.fileExists(atPath: blob.path) {
      try download(file, description, to: blob)
    }
    try cache.link(file, revision: description.revision, tag: tag, of: reference)
  }

  private func download(
    _ file: String, _ description: HuggingFaceHub.Description, to blob: URL
  ) throws(StoreError) {
    // The name that Hugging Face's tools give to a blob on the way: what they began is gone on with, and the other way round.
    let partial = blob.path + ".incomplete"
    let expected = ContentHash(eTag: description.tag)
    let fetch = Download(
      url: description.address, client: hub.client, partial: partial, expectedBytes: description.byteCount,
      isContentAddressed: expected != nil)
    do {
      _ = try fetch.run(
        progress: { report(.progress(file: file, received: $0, total: $1)) }, report: { report(.note($0)) })
    } catch { throw HuggingFaceHub.explain(error, reference, options.endpoint) }
    if let expected {
      let found = try expected.ofFile(partial)
      guard found == expected else {
        try? FileManager.default.removeItem(atPath: partial)
        throw StoreError(
          "\(reference): \(file) was damaged on the way: its hash is \(found.text), expected \(expected.text). It is "
            + "not used; pull again")
      }
    }
    guard rename(partial, blob.path) == 0 else {
      throw StoreError("\(blob.path): cannot be put in place: \(String(cString: strerror(errno)))")
    }
  }

  /// Lets the branch refer to what was fetched.
  private func refer(to revision: String) throws(StoreError) {
    guard revision != "main" else { return }
    let file = cache.repository(reference).appending(path: "refs/main")
    do {
      try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
      try Data(revision.utf8).write(to: file, options: .atomic)
    } catch {
      throw StoreError("\(file.path): cannot be written: \(error.localizedDescription)")
    }
  }
}
