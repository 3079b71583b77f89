internal import Chat
internal import Foundation
internal import HTTPTypes
internal import Hummingbird

// /v1/fine_tuning/jobs, as OpenAI's API reference has it, driving `hearth finetune`.
extension RouteTable {
  mutating func addFineTuning(_ state: ServerState) {
    let jobs = state.jobs
    on(.post, "/v1/fine_tuning/jobs", .scope(.train)) { request, context in
      let job = try await FineTuningRequest.job(try await request.fields(state, context), state, context)
      guard let jobs = jobs.current else {
        throw APIError(.unavailable, "this server does not train", code: "no_training")
      }
      try await jobs.add(job)
      return .json(job.entry)
    }
    on(.get, "/v1/fine_tuning/jobs", .scope(.train), takesQuery: true) { request, context in
      var query = try request.query()
      let (jobs, hasMore) = try query.part(of: try state.storage.jobs(of: context.owner), id: \.id)
      try query.finish()
      return .json(["object": "list", "data": .array(jobs.map(\.entry)), "has_more": .bool(hasMore)])
    }
    on(.get, "/v1/fine_tuning/jobs/{job}", .scope(.train)) { _, context in .json(try state.job(context).entry) }
    on(.post, "/v1/fine_tuning/jobs/{job}/cancel", .scope(.train)) { _, context in
      let job = try state.job(context)
      return .json((try await jobs.current?.cancel(job) ?? job).entry)
    }
    on(.get, "/v1/fine_tuning/jobs/{job}/events", .scope(.train), takesQuery: true) { request, context in
      let job = try state.job(context)
      func id(_ event: JobEvent) -> String { "ftevent-\(job.id.dropFirst(6))-\(event.number)" }
      var query = try request.query()
      let (events, hasMore) = try query.part(of: try state.storage.events(of: job.id), id: id)
      try query.finish()
      let entries = events.map { event -> JSON in
        let data = event.data.flatMap { try? JSON(parsing: Array($0.utf8)) }
        return [
          "object": "fine_tuning.job.event", "id": .string(id(event)),
          "created_at": .integer(event.time), "level": .string(event.level), "message": .string(event.message),
          "type": data == nil ? "message" : "metrics", "data": data ?? .object([]),
        ]
      }
      return .json(["object": "list", "data": .array(entries), "has_more": .bool(hasMore)])
    }
    on(.get, "/v1/fine_tuning/jobs/{job}/checkpoints", .scope(.train), takesQuery: true) { request, context in
      let job = try state.job(context)
      var query = try request.query()
      let all = try FineTuningRequest.checkpoints(job, state)
      let (checkpoints, hasMore) = try query.part(of: all) { $0["id"]?.text ?? "" }
      try query.finish()
      return .json(["object": "list", "data": .array(checkpoints), "has_more": .bool(hasMore)])
    }
  }
}

extension ServerState {
  /// The job that a request names, if it is its key's own.
  func job(_ context: ServerContext) throws -> JobRecord {
    let id = context.pathPart("job")
    if let job = try storage.jobs(of: context.owner).first(where: { $0.id == id }) { return job }
    throw APIError(.notFound, "there is no job \"\(id.prefix(64))\"", parameter: "job", code: "job_not_found")
  }
}

/// Requests for fine-tuning.
enum FineTuningRequest {
  static func job(
    _ given: Fields, _ state: ServerState, _ context: ServerContext
  ) async throws -> JobRecord {
    var fields = given
    let model = try await state.model(try fields.requiredString("model"), context)
    guard model.tuning == nil else {
      throw APIError.invalid(
        "model", "\(model.name) is fine-tuned itself: train on its base, \(model.tuning?.base ?? "")")
    }
    let files = UploadedFiles(state)
    let training = try files.file(try fields.requiredString("training_file"), context)
    let validation = try fields.string("validation_file").map { try files.file($0, context) }
    let suffix = try fields.string("suffix")
    if let suffix, !ModelManifest.isName(suffix) || suffix.utf8.count > 40 {
      throw APIError.invalid("suffix", "suffix: expected up to 40 letters, digits, dots, dashes and underscores")
    }
    let seed = try fields.integer("seed", in: 0...Int(Int32.max)) ?? 0
    var hyperparameters = try fields.object("hyperparameters")
    if var method = try fields.object("method") {
      guard try method.word("type", of: ["supervised"]) != nil else { throw method.missing("type") }
      if var supervised = try method.object("supervised") {
        hyperparameters = try supervised.object("hyperparameters") ?? hyperparameters
        try supervised.finish()
      }
      try method.finish()
    }
    var (epochs, batchSize, factor): (Int?, Int?, Double?)
    if var values = hyperparameters {
      epochs = try number(&values, "n_epochs") { fields throws(APIError) in try fields.integer("n_epochs", in: 1...50) }
      batchSize = try number(&values, "batch_size") { fields throws(APIError) in
        try fields.integer("batch_size", in: 1...256)
      }
      factor = try number(&values, "learning_rate_multiplier") { fields throws(APIError) in
        try fields.number("learning_rate_multiplier", in: 0.0001...100)
      }
      try values.finish()
    }
    fields.ignore("metadata")
    try fields.refuse("integrations", unless: [[]], "this server calls no others")
    try fields.finish()
    let id = Identifier.make("ftjob")
    let base = ModelManifest.isName(model.name) ? model.name : model.facts.architecture
    return JobRecord(
      id: id, owner: context.owner, model: model.name, modelPath: model.facts.path,
      tunedName: ([String(base.prefix(40)), suffix, String(id.suffix(8))].compactMap { $0 }).joined(separator: "-"),
      trainingFile: training.id, validationFile: validation?.id, epochs: epochs, batchSize: batchSize,
      learningRateMultiplier: factor, seed: seed, created: Clock.seconds)
  }

  /// A number, or "auto", which is none.
  private static func number<Value>(
    _ fields: inout Fields, _ name: String, _ take: (inout Fields) throws(APIError) -> Value?
  ) throws(APIError) -> Value? {
    if fields.isText(name, "auto") {
      fields.ignore(name)
      return nil
    }
    return try take(&fields)
  }

  /// The checkpoints that the run folder has.
  static func checkpoints(_ job: JobRecord, _ state: ServerState) throws -> [JSON] {
    guard let jobs = state.jobs.current else { return [] }
    let folder = jobs.folder(job.id) + "/checkpoints"
    let steps = ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).compactMap { name in
      name.hasPrefix("step-") ? Int(name.dropFirst(5)) : nil
    }
    let events = try state.storage.events(of: job.id)
    return steps.sorted(by: >).map { step in
      let figures = events.compactMap { $0.data.flatMap { try? JSON(parsing: Array($0.utf8)) } }
        .filter { $0["step"]?.numberText == String(step) }
      return [
        "object": "fine_tuning.job.checkpoint", "id": .string("ftckpt-\(job.id.dropFirst(6))-\(step)"),
        "created_at": .integer(job.finished ?? job.created),
        "fine_tuned_model_checkpoint": .string(TunedCheckpoints.Name(job.tunedName, step).text),
        "step_number": .integer(step), "fine_tuning_job_id": .string(job.id),
        "metrics": .object([
          "step": .integer(step), "train_loss": figures.first { $0["event"] == "step" }?["loss"],
          "full_valid_loss": figures.first { $0["event"] == "evaluation" }?["loss"],
        ]),
      ]
    }
  }
}

extension JobRecord {
  /// As OpenAI's API has it.
  var entry: JSON {
    let hyperparameters: JSON = [
      "n_epochs": epochs.map { .integer($0) } ?? "auto", "batch_size": batchSize.map { .integer($0) } ?? "auto",
      "learning_rate_multiplier": learningRateMultiplier.map { .real($0) } ?? "auto",
    ]
    return [
      "id": .string(id), "object": "fine_tuning.job", "created_at": .integer(created),
      "error": error.map { ["code": "training_failed", "message": .string($0), "param": nil] } ?? .null,
      "fine_tuned_model": status == .succeeded ? .string(tunedName) : .null,
      "finished_at": finished.map { .integer($0) } ?? .null, "hyperparameters": hyperparameters,
      "model": .string(model),
      "organization_id": "hearth", "result_files": [], "seed": .integer(seed), "status": .string(status.rawValue),
      "trained_tokens": status == .succeeded ? .integer(trainedTokens) : .null, "training_file": .string(trainingFile),
      "validation_file": .optional(validationFile), "estimated_finish": nil, "integrations": [],
      "method": ["type": "supervised", "supervised": ["hyperparameters": hyperparameters]],
    ]
  }
}
