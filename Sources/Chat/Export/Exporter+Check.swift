internal import Engine
internal import Foundation

extension Exporter {
  /// What the check knows before anything is written.
  struct Before {
    let examiner: ExportExaminer
    let yardstick: ExportExaminer.Yardstick
    let baseLoss: Double?
    let merged: ExportCheck.Figures?
  }

  /// Measures the model as it is, its base, and an adapter merged in f32; one model is in memory at a time.
  func measure(_ source: ExportSource, _ request: ExportCheck.Request) throws -> Before {
    let examiner = try ExportExaminer(source, data: request.data)
    guard examiner.exampleCount > 0 else {
      throw ExportError(
        "\(examiner.files.joined(separator: ", ")): no example has an answer that fits: give others with --data, or write without "
          + "a check with --no-check")
    }
    func open(_ path: String) throws -> ChatModel {
      try ChatModel.open(path: path, name: source.name, precision: request.precision, pool: pool)
    }
    let model = try open(location.path)
    let yardstick = examiner.yardstick(model.engine, model.adapter)
    guard let run = source.run else {
      return Before(examiner: examiner, yardstick: yardstick, baseLoss: nil, merged: nil)
    }
    guard let adapter = model.adapter else {
      let baseLoss = examiner.loss(try open(run.base).engine, nil)
      return Before(examiner: examiner, yardstick: yardstick, baseLoss: baseLoss, merged: nil)
    }
    let baseLoss = examiner.loss(model.engine, nil)
    model.engine.fold(adapter)
    let merged = examiner.compare(model.engine, nil, with: yardstick)
    return Before(examiner: examiner, yardstick: yardstick, baseLoss: baseLoss, merged: merged)
  }

  /// Reads back what was written, and refuses it if it lost what was learned.
  ///
  /// - Parameters:
  ///   - draft: Where it was written to.
  ///   - place: Where it is to go.
  ///   - advice: What to do if it is refused.
  func check(
    _ draft: String, for place: String, _ before: Before, _ request: ExportCheck.Request,
    advice: @autoclosure () -> String
  ) throws -> ExportCheck {
    let model = try LanguageModel(Checkpoint.open(draft), precision: request.precision, pool: pool)
    let examiner = before.examiner
    let check = ExportCheck(
      data: examiner.files, examples: examiner.exampleCount, tokens: examiner.tokenCount,
      positions: before.yardstick.rows.count, baseLoss: before.baseLoss, tunedLoss: before.yardstick.loss,
      merged: before.merged, written: examiner.compare(model, nil, with: before.yardstick))
    guard check.isPassed || request.allowsLoss else {
      throw ExportError(
        String(
          format:
            "%@: was not written: of the %.3f nats per token that were learned it would have lost %.3f (held-out loss: base %.3f, "
            + "tuned %.3f, this %.3f; %.3f is allowed). ", place, check.learned ?? 0, check.lost, check.base_loss ?? 0,
          check.tuned_loss, check.written.loss, check.allowed_loss ?? 0) + advice())
    }
    return check
  }
}
