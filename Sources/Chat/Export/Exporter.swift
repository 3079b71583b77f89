public import Engine
internal import Foundation
internal import Tokenizers

/// What a model can be exported as.
public enum ExportFormat: String, Sendable, CaseIterable {
  /// A folder that Hugging Face PEFT loads.
  case peft
  /// An adapter file that llama.cpp loads.
  case ggufAdapter = "gguf-adapter"
  /// One file with everything, for llama.cpp and Hearth.
  case gguf
  /// A folder that `transformers` loads.
  case safetensors

  /// Whether the export is a folder.
  public var isFolder: Bool { self == .peft || self == .safetensors }

  /// Whether it holds the whole model, what was learned merged into it.
  public var isMerged: Bool { self == .gguf || self == .safetensors }

  /// The names of the types it can hold, empty where there is no choice.
  public var types: [String] {
    switch self {
    case .peft: []
    case .ggufAdapter, .safetensors: ["F32", "F16", "BF16"]
    case .gguf: StorageType.names
    }
  }
}

/// What an export wrote. The field names are those of the command's JSON.
public struct ExportResult: Encodable, Sendable {
  public struct File: Encodable, Sendable {
    public let name: String
    public let bytes: Int
  }

  public let model: String
  public let format: String
  /// What most of it is stored as.
  public let type: String
  public let output: String
  public let files: [File]
  public let size_bytes: Int
  /// Tensors taken over byte for byte.
  public let tensors_copied: Int
  /// Tensors written anew.
  public let tensors_converted: Int
  /// What the format could not hold, for people.
  public let notes: [String]
  /// What it kept of what was learned; nil when that was not measured.
  public let check: ExportCheck?
}

/// Writes models in the formats of other programs.
public struct Exporter {
  let location: ModelStore.Location
  let pool: WorkerPool

  public init(_ location: ModelStore.Location, pool: WorkerPool = WorkerPool()) {
    self.location = location
    self.pool = pool
  }

  /// Writes the model.
  ///
  /// - Parameters:
  ///   - output: A file or folder, as the format has it; its parent must exist.
  ///   - type: What weights are to be stored as; see `StorageType` for what nil means.
  ///   - replaces: Whether what is at `output` may be replaced.
  ///   - baseName: What PEFT is to call the base; the repository it comes from, or its path, when nil.
  ///   - errors: Receives what the type cost, for gguf.
  ///   - check: How to measure what is kept of what was learned, for the merged formats; nil does not measure.
  /// - Throws: `ExportError` when the model, the format and the place do not go together; `CheckpointError`, `TokenizerError` and the like when the
  ///   model cannot be read; `FileError` when the disk is full or refuses. Nothing half-written is left behind.
  public func export(
    _ format: ExportFormat, to output: String, type: StorageType? = nil, replaces: Bool = false,
    baseName: String? = nil, errors: QuantizationError? = nil, check request: ExportCheck.Request? = nil
  ) throws -> ExportResult {
    if let type, !format.types.contains(type.name) {
      throw ExportError(
        format.types.isEmpty
          ? "--type \(type.name): \(format.rawValue) is always F32: leave --type out"
          : "--type \(type.name): \(format.rawValue) holds \(format.types.joined(separator: ", ")); only gguf holds quantised types"
      )
    }
    let source = try ExportSource(location, pool: pool)
    let place = try ExportDestination(
      output, isFolder: format.isFolder, replaces: replaces, inputs: source.paths)
    let before = format.isMerged ? try request.map { try measure(source, $0) } : nil
    var check: ExportCheck?
    func examine(_ draft: String) throws {
      guard let before, let request else { return }
      check = try self.check(
        draft, for: output, before, request,
        advice: ExportAdvice.text(source.name, type, adapter: source.adapter?.settings))
    }
    var summary: MergedModel.Summary?
    var adapterType = "F32"
    var notes: [String] = []
    switch format {
    case .peft:
      let adapter = try source.requireAdapter(format)
      try place.requireRoom(for: adapter.parameterCount * 4)
      let base = baseName ?? source.publicBaseName
      try place.writeFolder { folder in
        try PEFTAdapter.write(
          adapter, of: source.base.engine, to: folder, baseName: base,
          metadata: [BaseCheck.metadataKey: source.base.weightsFingerprint()])
        try AtomicFile.write(ModelCard.adapter(source, baseName: base), to: folder + "/README.md")
      }
    case .ggufAdapter:
      let adapter = try source.requireAdapter(format)
      guard !adapter.settings.isWeightDecomposed else {
        throw ExportError(
          "\(source.name) was trained with DoRA, which llama.cpp's adapter files cannot hold: export the merged model with --format "
            + "gguf, or the adapter with --format peft")
      }
      adapterType = type?.name ?? "F32"
      _ = try GGUFAdapter.write(adapter, of: source.base.engine, to: place.path, name: source.name, type: type)
    case .gguf:
      var text = Metadata()
      if case .huggingFace(let folder) = source.checkpoint.source {
        text = try TextFiles.metadata(
          of: URL(filePath: folder.path), rows: source.base.engine.vocabularyCount)
        notes += try GGUFVocabulary.lost(folder: URL(filePath: folder.path)).map {
          "GGUF cannot say how the token \($0) treats the text beside it; around it ids may differ from the folder's"
        }
      }
      try place.writeFile(named: ".gguf") { draft in
        summary = try source.merged.writeGGUF(
          to: draft, name: source.generalName, tokenizer: text, type: type, errors: errors)
        try examine(draft)
      }
    case .safetensors:
      try place.requireRoom(for: try source.merged.folderByteCount(type))
      try place.writeFolder { folder in
        summary = try writeFolder(source, type, to: folder)
        try examine(folder)
      }
    }
    let files = place.files
    return ExportResult(
      model: source.name, format: format.rawValue, type: summary?.mostly ?? adapterType, output: place.path,
      files: files, size_bytes: files.reduce(0) { $0 + $1.bytes }, tensors_copied: summary?.copied ?? 0,
      tensors_converted: summary?.converted ?? 2 * (source.adapter?.mapCount ?? 0), notes: notes, check: check)
  }

  private func writeFolder(
    _ source: ExportSource, _ type: StorageType?, to folder: String
  ) throws -> MergedModel.Summary {
    var tokens: [(String, JSONValue)] = []
    switch source.checkpoint.source {
    case .gguf:
      let vocabulary = try GGUFVocabulary(source.checkpoint)
      tokens = TextFiles.configTokens(vocabulary)
      try TextFiles.write(
        vocabulary, template: try source.checkpoint.stringIfPresent("tokenizer.chat_template"),
        contextLength: source.base.engine.contextLength, to: folder)
      try TextFiles.writeGeneration(vocabulary, ends: source.base.endTokens, to: folder)
    case .huggingFace(let original):
      try TextFiles.copy(from: original.path, to: folder)
    }
    let config = try source.merged.huggingFaceConfig(type, tokens: tokens)
    try AtomicFile.write(JSONText.pretty(.object(config)), to: folder + "/config.json")
    return try source.merged.writeSafetensors(to: folder, type: type)
  }
}

extension ExportSource {
  /// `general.name`: the run's own name, or that of a base that is only converted.
  var generalName: String {
    if run == nil, case .gguf(let file) = checkpoint.source, case .string(let name)? = file.metadata["general.name"] {
      return name
    }
    let last = URL(filePath: name).lastPathComponent
    return last.hasSuffix(".gguf") ? String(last.dropLast(".gguf".count)) : last
  }
}
