internal import ArgumentParser
internal import Chat
internal import Engine
internal import Foundation

/// Puts a model behind a stable name, if it is better than the one that is there.
struct Promote: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Put a model behind an alias, if it beats the one that is there.",
    discussion: """
      The model and the one behind the alias are measured on the same held-out examples. The model takes the alias only \
      if the 95 % interval of the difference in loss (paired bootstrap over examples) lies below zero. The first model \
      behind an alias has nothing to beat. Use examples that neither trained nor chose either model.

      Examples:
        hearth promote desk-2 --as desk --data held-out.jsonl
        hearth chat desk
        hearth rollback desk
      """)

  @Argument(help: "A model's name or path.") var model: String
  @Option(name: .customLong("as"), help: "The alias.") var alias: String
  @Option(parsing: .upToNextOption, help: "JSONL files of held-out examples.") var data: [String]
  @Flag(help: "Put it there whatever is measured.") var force = false
  @Flag(help: "Print JSON.") var json = false
  @OptionGroup var options: ModelOptions

  func validate() throws {
    if data.isEmpty { throw ValidationError("--data: expected at least one JSONL file") }
    if alias == model { throw ValidationError("--as \(alias): is the model itself: choose another name for the alias") }
    guard ModelManifest.isName(alias) else {
      throw ValidationError(
        "--as \(alias): expected letters, digits, dots, dashes and underscores, beginning with a letter or digit")
    }
  }

  func run() throws {
    for file in data { try Places.requireReadable(file, "--data") }
    let promoter = Promoter(precision: options.chosenPrecision ?? .reference) { try options.open(at: $0) }
    // What an alias stands for: the name that is put there is not to follow it.
    let target = try ModelStore().manifest(of: model)?.target
    let (promotion, placed) = try promoter.promote(model, as: alias, data: data, isForced: force)
    if json {
      try JSONOutput.write(Report(alias: alias, model: model, promoted: promotion.isAllowed, promotion: promotion))
    } else if !options.quiet {
      print(promotion.summary(model, behind: promotion.isAllowed ? nil : placed?.target))
    }
    guard promotion.isAllowed else {
      throw CommandError(
        "\(alias) stays \(placed?.target ?? "what it is"): \(target.map { "\($0), which \(model) stands for," } ?? model) is "
          + (promotion.verdict == .worse
            ? "worse on this data" : "not better by more than chance: more examples may tell")
          + "; --force promotes it all the same")
    }
    if !json {
      print(Promote.outcome(alias, is: model, standingFor: target, before: placed?.history?.last?.target))
    }
  }

  /// What the alias is now, in a sentence.
  ///
  /// - Parameter target: Of a model that is an alias itself, what it stands for.
  static func outcome(_ alias: String, is model: String, standingFor target: String?, before: String?) -> String {
    "\(alias) is \(target ?? model) now"
      + (target == nil ? "" : ", as \(model) is, and stays so when \(model) changes")
      + (before.map { "; it was \($0): hearth rollback \(alias) undoes it" } ?? "")
  }

  private struct Report: Encodable {
    let alias: String
    let model: String
    let promoted: Bool
    let promotion: Promotion

    private enum CodingKeys: String, CodingKey { case alias, model, promoted }

    func encode(to encoder: any Encoder) throws {
      try promotion.encode(to: encoder)
      var container = encoder.container(keyedBy: CodingKeys.self)
      try container.encode(alias, forKey: .alias)
      try container.encode(model, forKey: .model)
      try container.encode(promoted, forKey: .promoted)
    }
  }
}

extension Promotion {
  /// What was measured, for people.
  fileprivate func summary(_ model: String, behind other: String?) -> String {
    let name = measure == "loss" ? "loss" : "bits per byte"
    var text = String(format: "%d held-out examples, %@ %.4f", examples, name, value)
    if let against, let difference, let interval = confidence_interval_95 {
      text += String(
        format: ", now behind the alias %.4f; difference %.4f, 95 %% interval %.4f to %.4f", against, difference,
        interval[0], interval[1])
    }
    return text
  }
}

/// Undoes a promotion.
struct Rollback: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Let an alias stand for what it stood for before.",
    discussion: """
      Each call takes back one hearth promote.

      Example:
        hearth rollback desk
      """)

  @Argument(help: "An alias.") var alias: String
  @Flag(help: "Print JSON.") var json = false

  func run() throws {
    let (now, before) = try ModelStore().rollBack(alias)
    if json { return try JSONOutput.write(now) }
    print("\(alias) is \(now.target ?? now.path) again, was \(before.target ?? before.path)")
  }
}
