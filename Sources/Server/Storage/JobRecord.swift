internal import Chat
internal import Foundation
internal import GRDB

/// A fine-tuning job, as it is recorded.
struct JobRecord: Sendable {
  enum Status: String, Sendable { case queued, running, succeeded, failed, cancelled }

  let id: String
  /// The key that asked for it; nobody else sees it.
  let owner: String
  /// Under which name the base is served, and where it lies.
  let model: String
  let modelPath: String
  /// What the tuned model will be called.
  let tunedName: String
  let trainingFile: String
  let validationFile: String?
  let epochs: Int?
  let batchSize: Int?
  let learningRateMultiplier: Double?
  let seed: Int
  let created: Int
  var status = Status.queued
  var finished: Int?
  var error: String?
  var trainedTokens = 0

  var isOver: Bool { status != .queued && status != .running }
}

/// Something that happened in a job.
struct JobEvent: Sendable {
  let number: Int
  let time: Int
  let level: String
  let message: String
  /// Figures, as JSON.
  let data: String?
}

extension Storage {
  /// Records a job, and that it was made.
  func add(_ job: JobRecord) throws(ServerError) {
    try change { database in
      try database.execute(
        sql: """
          INSERT INTO job (id, owner, model, model_path, tuned_name, training_file, validation_file, epochs, batch_size,
            learning_rate_multiplier, seed, created, status, trained_tokens) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)
          """,
        arguments: [
          job.id, job.owner, job.model, job.modelPath, job.tunedName, job.trainingFile, job.validationFile, job.epochs,
          job.batchSize, job.learningRateMultiplier, job.seed, job.created, job.status.rawValue,
        ])
      try Storage.add(event: "created", to: job.id, database)
    }
  }

  /// Records how a job fares, and says so, both or neither.
  ///
  /// - Parameter event: nil to say nothing.
  func update(_ job: JobRecord, event: String? = nil, level: String = "info") throws(ServerError) {
    try change { database in
      try database.execute(
        sql: "UPDATE job SET status = ?, finished = ?, error = ?, trained_tokens = ? WHERE id = ?",
        arguments: [job.status.rawValue, job.finished, job.error, job.trainedTokens, job.id])
      if let event { try Storage.add(event: event, level: level, to: job.id, database) }
    }
  }

  /// - Parameter owner: nil for everybody's.
  func jobs(of owner: String?) throws(ServerError) -> [JobRecord] {
    try look {
      try Row.fetchAll(
        $0, sql: "SELECT * FROM job WHERE ?1 IS NULL OR owner = ?1 ORDER BY created DESC, id", arguments: [owner]
      ).compactMap(Storage.job)
    }
  }

  /// What the models of somebody's jobs are called.
  func tunedNames(of owner: String) throws(ServerError) -> Set<String> {
    try look { try String.fetchSet($0, sql: "SELECT tuned_name FROM job WHERE owner = ?", arguments: [owner]) }
  }

  func add(event message: String, data: JSON? = nil, to job: String) throws(ServerError) {
    try change { try Storage.add(event: message, data: data, to: job, $0) }
  }

  private static func add(
    event message: String, level: String = "info", data: JSON? = nil, to job: String, _ database: Database
  ) throws {
    try database.execute(
      sql: """
        INSERT INTO job_event (job, number, time, level, message, data)
        SELECT ?1, COALESCE(MAX(number), 0) + 1, ?2, ?3, ?4, ?5 FROM job_event WHERE job = ?1
        """, arguments: [job, Clock.seconds, level, message, data?.line])
  }

  /// The events of a job, the latest first.
  func events(of job: String) throws(ServerError) -> [JobEvent] {
    try look {
      try Row.fetchAll($0, sql: "SELECT * FROM job_event WHERE job = ? ORDER BY number DESC", arguments: [job]).map {
        JobEvent(number: $0["number"], time: $0["time"], level: $0["level"], message: $0["message"], data: $0["data"])
      }
    }
  }

  private static func job(_ row: Row) -> JobRecord? {
    guard let status = JobRecord.Status(rawValue: row["status"]) else { return nil }
    return JobRecord(
      id: row["id"], owner: row["owner"], model: row["model"], modelPath: row["model_path"],
      tunedName: row["tuned_name"],
      trainingFile: row["training_file"], validationFile: row["validation_file"], epochs: row["epochs"],
      batchSize: row["batch_size"], learningRateMultiplier: row["learning_rate_multiplier"], seed: row["seed"],
      created: row["created"], status: status, finished: row["finished"], error: row["error"],
      trainedTokens: row["trained_tokens"])
  }
}
