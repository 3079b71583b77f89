import Foundation
import TestSupport
import Testing

@testable import Engine

/// A model that is written and read again is the same model.
@Suite struct FileContract {
  /// The logits after a text, of a model read from `path`.
  private func logits(_ path: String, _ precision: Precision) throws -> [Float] {
    let model = try LanguageModel(Checkpoint.open(path), precision: precision, pool: WorkerPool(threadCount: 2))
    return model.logits(after: model.tokens(50, seed: 1))
  }

  @Test(arguments: ContractCase.runs.filter { $0.test.form != .folder })
  func aCopiedGGUFFileGivesTheSameLogits(_ run: ContractCase.Run) throws {
    let model = try run.load()
    guard case .gguf(let file) = model.checkpoint.source else { return }
    var writer = GGUFWriter(metadata: file.metadata)
    for name in model.checkpoint.tensorNames.reversed() {
      writer.add(OutgoingTensor(try model.checkpoint.tensor(name)))
    }
    let folder = try TemporaryFolder()
    try writer.write(to: folder.path + "/copy.gguf")
    let expected = model.logits(after: model.tokens(50, seed: 1))
    #expect(areIdentical(try logits(folder.path + "/copy.gguf", run.precision), expected))
  }

  /// Writes what is in memory, in the order and under the names of a folder.
  @Test(arguments: ContractCase.full.filter { $0.form == .folder })
  func aFolderWrittenFromMemoryGivesTheSameLogits(_ test: ContractCase) throws {
    let model = try test.load(.reference)
    let folder = try TemporaryFolder()
    try test.model.writeFolder(to: folder.path)
    try FileManager.default.removeItem(atPath: folder.path + "/model.safetensors")
    var writer = SafetensorsWriter()
    for parameter in model.parameters {
      let (values, name) = (parameter.values(model.pool), parameter.name.huggingFace)
      if parameter.isTransposed {
        let columns = parameter.columns
        let across = (0..<columns).flatMap { column in
          (0..<parameter.rows).map { values[$0 * columns + column] }
        }
        writer.add(OutgoingTensor(name: name, values: across, shape: [columns, parameter.rows]))
      } else {
        let isVector = parameter.stored?.shape.count == 1
        let shape = isVector ? [parameter.columns] : [parameter.rows, parameter.columns]
        writer.add(OutgoingTensor(name: name, values: values, shape: shape))
      }
    }
    try writer.write(to: folder.path + "/model.safetensors")
    let expected = model.logits(after: model.tokens(50, seed: 1))
    #expect(areIdentical(try logits(folder.path, .reference), expected))
  }

  @Test(arguments: ContractCase.models)
  func aFolderAndAGGUFFileAreTheSameModel(_ model: TinyModel) throws {
    let folder = try TemporaryFolder()
    try model.writeFolder(to: folder.path)
    try model.writeGGUF(to: folder.path + "/model.gguf")
    // Heads are stored in another order, so sums over a head are rounded otherwise.
    let gap = largestGap(
      try logits(folder.path, .reference), try logits(folder.path + "/model.gguf", .reference))
    #expect(gap < 2e-5)
  }

  @Test(arguments: GradientContract.cases)
  func aCheckpointOfFullFineTuningRestoresTheModel(_ test: ContractCase) throws {
    let model = try test.load(.serving)
    var batch = TrainingBatch()
    batch.append(model.tokens(20, seed: 2), supervised: [Bool](repeating: true, count: 20))
    let trainer = Trainer(model, adapter: nil, settings: .init())
    _ = try trainer.step([batch], learningRate: 1e-2)
    trainer.finish()
    let folder = try TemporaryFolder()
    try model.writeParameters(to: folder.path)
    let tokens = model.tokens(50, seed: 1)
    let (trained, restored) = (model.logits(after: tokens), try test.load(.serving))
    #expect(!areIdentical(restored.logits(after: tokens), trained))
    try restored.readParameters(from: folder.path)
    #expect(areIdentical(restored.logits(after: tokens), trained))
  }

  @Test(arguments: GradientContract.cases)
  func anAdapterReadAgainIsTheSame(_ test: ContractCase) throws {
    let model = try test.load(.serving)
    let tokens = model.tokens(50, seed: 1)
    for kind in 0..<3 {
      let adapter = try model.randomAdapter(isRankStabilised: kind == 1, isWeightDecomposed: kind == 2, seed: 3)
      let folder = try TemporaryFolder()
      try PEFTAdapter.write(adapter, of: model, to: folder.path, baseName: "base")
      let again = try PEFTAdapter.read(folder.path, for: model)
      #expect(areIdentical(model.logits(after: tokens, adapter: again), model.logits(after: tokens, adapter: adapter)))
    }
  }
}
