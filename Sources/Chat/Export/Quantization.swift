public import Engine
internal import Foundation

/// Quantises a model and says what that cost.
public struct Quantization {
  /// What one class of tensors lost.
  public struct ClassError: Encodable, Sendable {
    /// The tensor's name without the block, "attn_q.weight".
    public let tensor: String
    public let types: [String]
    /// √(Σ (w − ŵ)² / Σ w²)
    public let relative_rms_error: Double
    public let parameters: Int
  }

  /// The field names are those of the command's JSON.
  public struct Report: Encodable, Sendable {
    public let model: String
    public let type: String
    public let output: String
    public let size_bytes: Int
    /// Of the model as it was: the base's file, and what was learned.
    public let size_bytes_before: Int
    public let classes: [ClassError]
    public let relative_rms_error: Double
    /// On a text that ships with Hearth; nil when it was not measured.
    public let perplexity_before: Double?
    public let perplexity: Double?
    public let tokens: Int?
    /// What a fine-tuned model kept of what was learned; nil when that was not measured.
    public let check: ExportCheck?
  }

  private let location: ModelStore.Location
  private let precision: Precision
  private let pool: WorkerPool

  public init(_ location: ModelStore.Location, precision: Precision, pool: WorkerPool) {
    self.location = location
    self.precision = precision
    self.pool = pool
  }

  /// Writes the model as one GGUF file with its matrices in `type`.
  ///
  /// - Parameters:
  ///   - measures: Whether to compare perplexities too, which loads both models in turn.
  ///   - replaces: Whether what is at `output` may be replaced.
  ///   - check: How to measure what is kept of what was learned; nil does not measure.
  /// - Throws: As `Exporter.export`.
  public func run(
    _ type: StorageType, to output: String, measures: Bool = true, replaces: Bool = false,
    check: ExportCheck.Request? = nil
  ) throws -> Report {
    let errors = QuantizationError()
    let result = try Exporter(location, pool: pool).export(
      .gguf, to: output, type: type, replaces: replaces, errors: errors, check: check)
    let before = measures ? try score(location.path) : nil
    let after = measures ? try score(result.output) : nil
    return Report(
      model: location.name, type: type.name, output: result.output, size_bytes: result.size_bytes,
      size_bytes_before: try sizeBefore(),
      classes: errors.classes.map {
        ClassError(
          tensor: $0.name, types: $0.sum.types, relative_rms_error: $0.sum.relative, parameters: $0.sum.count)
      },
      relative_rms_error: errors.overall.relative, perplexity_before: before?.perplexity,
      perplexity: after?.perplexity, tokens: after?.ids.count, check: result.check)
  }

  private func sizeBefore() throws -> Int {
    let own = try ModelFacts(location).size_bytes
    guard let run = try TunedModel(ifRunFolder: location.path) else { return own }
    return try own + ModelFacts(ModelStore.Location(path: run.base, name: run.baseName)).size_bytes
  }

  private func score(_ path: String) throws -> Scorer.Score {
    let model = try ChatModel.open(path: path, precision: precision, pool: pool)
    return try Scorer(model).score(model.prompt(raw: SampleText.text))
  }
}
