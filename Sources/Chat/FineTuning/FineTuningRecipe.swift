public import Engine
internal import Foundation
internal import Yams

/// Every decision of a fine-tuning run.
///
/// A run folder holds it fully resolved as `recipe.yaml`; the same recipe, data and base give the same bytes under any number
/// of threads. Keys are the names of the command's flags with underscores.
public struct FineTuningRecipe: Codable, Sendable, Equatable {
  /// What is trained.
  public enum Method: String, Codable, Sendable, CaseIterable {
    /// Low-rank matrices beside the linear maps.
    case lora
    /// Every parameter.
    case full
  }

  /// What is minimised.
  public enum Objective: String, Codable, Sendable, CaseIterable {
    /// Supervised fine-tuning: the loss of the tokens that count.
    case sft
    /// Direct preference optimisation: chosen answers gain on rejected ones.
    case dpo
  }

  /// The order of examples within an epoch.
  public enum Order: String, Codable, Sendable, CaseIterable {
    case shuffled, given
  }

  /// What the base is multiplied in while training.
  public enum TrainingPrecision: String, Codable, Sendable, CaseIterable {
    /// Gradients and held-out loss in f32.
    case f32
    /// Gradients in f32; held-out loss in the kernels that will serve.
    case serving
    /// Products of gradients and held-out loss in bf16, with sums in f32; what is trained is f32.
    case bf16
    /// As bf16, but the products of gradients in the blocks are in int8: back through a quantised base or the weights that are trained,
    /// and those of such weights. With an adapter on a base that is not quantised it is bf16, and a run's recipe says so.
    case int8

    /// int8 where this CPU has instructions for bf16, else f32.
    public static var standard: TrainingPrecision { Precision.hasFastBF16 ? .int8 : .f32 }
  }

  /// The base: a name in the store or a path.
  public var model = ""
  /// JSONL files to learn from.
  public var data: [String] = []
  /// JSONL files to measure on; when empty, a share of `data` is held out.
  public var validation: [String] = []
  /// Held out of `data` when there is no validation file; 0 holds out nothing.
  public var validationFraction = 0.1
  /// Share of the examples trained on that is taken from `replay`.
  public var replayFraction = 0.1
  /// JSONL files of ordinary conversations to mix in, against forgetting.
  public var replay: [String] = []
  /// What is minimised.
  public var objective = Objective.sft
  /// Of DPO: how firmly the model is held to where it began.
  public var beta = 0.1
  /// LoRA matrices or every parameter.
  public var method = Method.lora
  /// Of the LoRA matrices; an `adapter` to continue from brings its own.
  public var rank = 8
  /// The LoRA term is scaled by alpha / rank.
  public var alpha: Float = 16
  /// Whether it is scaled by alpha / √rank instead.
  public var rslora = false
  /// Whether each row of an adapted map also has a length that is learned.
  public var dora = false
  /// Probability that an input of LoRA is dropped.
  public var dropout: Float = 0
  /// Last components of the names of the linear maps to adapt; empty is all.
  public var targets: [String] = []
  /// A PEFT folder to continue from.
  public var adapter: String?
  /// Passes over the training data.
  public var epochs = 3
  /// Ends the run earlier or later than `epochs` says.
  public var maxSteps: Int?
  /// Conversations in one forward pass.
  public var batchSize = 8
  /// Forward passes in one optimiser step.
  public var gradientAccumulation = 1
  /// Longer conversations are cut at the end, tokens.
  public var maxLength = 1024
  /// The highest rate of the schedule.
  public var learningRate = 2e-4
  /// What the rate does after the warm-up.
  public var schedule = LearningRateSchedule.Shape.cosine
  /// Share of the steps in which the learning rate rises.
  public var warmupRatio = 0.03
  /// AdamW's decoupled decay of matrices.
  public var weightDecay: Float = 0
  /// Longer gradients are shortened to this; 0 is off.
  public var maxGradientNorm = 1.0
  /// Which tokens count.
  public var lossOn = LossTarget.responses
  /// The order of examples within an epoch.
  public var order = Order.shuffled
  /// Steps between evaluations; nil is twice an epoch.
  public var evaluateEvery: Int?
  /// Steps between checkpoints beside those of evaluations; nil is none beside them.
  public var saveEvery: Int?
  /// How many of the latest checkpoints to keep beside the best.
  public var keep = 2
  /// Evaluations without a better loss before the run ends; nil never ends it early.
  public var patience: Int?
  /// Decides the split, the order, the first adapter and dropout.
  public var seed: UInt64 = 0
  /// What training computes in.
  public var precision = TrainingPrecision.standard
  /// Whether base and result are measured on general texts and questions too.
  public var probe = true

  /// What a template that writes the date takes as today, YYYY-MM-DD; nil is the day the run begins.
  public var date: String?

  private enum CodingKeys: String, CodingKey, CaseIterable {
    case model, data, validation, validationFraction = "validation_fraction", replay
    case replayFraction = "replay_fraction", objective, beta, method, rank, alpha, rslora, dora, dropout
    case targets, adapter, epochs, maxSteps = "max_steps", batchSize = "batch_size"
    case gradientAccumulation = "gradient_accumulation", maxLength = "max_length"
    case learningRate = "learning_rate", schedule, warmupRatio = "warmup_ratio"
    case weightDecay = "weight_decay", maxGradientNorm = "max_gradient_norm", lossOn = "loss_on", order
    case evaluateEvery = "evaluate_every", saveEvery = "save_every", keep, patience, seed, precision, probe, date
  }

  /// The defaults; model and data are still to be named.
  public init() {}

  /// Keys that are absent keep their defaults; an unknown key is an error, as it would change nothing without a word.
  public init(from decoder: any Decoder) throws {
    let known = Set(CodingKeys.allCases.map(\.rawValue))
    for key in try decoder.container(keyedBy: AnyKey.self).allKeys where !known.contains(key.stringValue) {
      throw DecodingError.dataCorrupted(
        .init(
          codingPath: [key],
          debugDescription: "unknown key \(key.stringValue); known are \(known.sorted().joined(separator: ", "))"))
    }
    let c = try decoder.container(keyedBy: CodingKeys.self)
    func read<Value: Decodable>(_ key: CodingKeys, _ value: inout Value) throws {
      if let found = try c.decodeIfPresent(Value.self, forKey: key) { value = found }
    }
    func readChoice<Value: RawRepresentable<String> & CaseIterable>(_ key: CodingKeys, _ value: inout Value) throws {
      guard let text = try c.decodeIfPresent(String.self, forKey: key) else { return }
      guard let found = Value(rawValue: text) else {
        let choices = Value.allCases.map(\.rawValue).joined(separator: ", ")
        throw DecodingError.dataCorruptedError(
          forKey: key, in: c, debugDescription: "expected one of \(choices), found \(text)")
      }
      value = found
    }
    try read(.model, &model)
    try read(.data, &data)
    try read(.validation, &validation)
    try read(.validationFraction, &validationFraction)
    try read(.replay, &replay)
    try read(.replayFraction, &replayFraction)
    try readChoice(.objective, &objective)
    try read(.beta, &beta)
    try readChoice(.method, &method)
    try read(.rank, &rank)
    try read(.alpha, &alpha)
    try read(.rslora, &rslora)
    try read(.dora, &dora)
    try read(.dropout, &dropout)
    try read(.targets, &targets)
    adapter = try c.decodeIfPresent(String.self, forKey: .adapter)
    try read(.epochs, &epochs)
    maxSteps = try c.decodeIfPresent(Int.self, forKey: .maxSteps)
    try read(.batchSize, &batchSize)
    try read(.gradientAccumulation, &gradientAccumulation)
    try read(.maxLength, &maxLength)
    try read(.learningRate, &learningRate)
    try readChoice(.schedule, &schedule)
    try read(.warmupRatio, &warmupRatio)
    try read(.weightDecay, &weightDecay)
    try read(.maxGradientNorm, &maxGradientNorm)
    try readChoice(.lossOn, &lossOn)
    try readChoice(.order, &order)
    evaluateEvery = try c.decodeIfPresent(Int.self, forKey: .evaluateEvery)
    saveEvery = try c.decodeIfPresent(Int.self, forKey: .saveEvery)
    try read(.keep, &keep)
    patience = try c.decodeIfPresent(Int.self, forKey: .patience)
    try read(.seed, &seed)
    try readChoice(.precision, &precision)
    try read(.probe, &probe)
    date = try c.decodeIfPresent(String.self, forKey: .date)
  }

  private struct AnyKey: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }
    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }

  /// Reads a recipe file.
  ///
  /// - Throws: `RunError` naming the file and the key.
  public init(yaml path: String) throws {
    var isFolder: ObjCBool = false
    if FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder.boolValue {
      throw RunError("\(path): is a folder: give the path of a recipe, such as the recipe.yaml of a run")
    }
    guard let data = FileManager.default.contents(atPath: path) else {
      throw RunError("\(path): cannot be read: give the path of a recipe, such as the recipe.yaml of a run")
    }
    try self.init(yaml: data, from: path)
  }

  /// Reads a recipe that lies at `path`, or came from what is called that.
  init(yaml data: Data, from path: String) throws {
    guard !data.allSatisfy({ " \n\r\t".utf8.contains($0) }) else {
      throw RunError("\(path): is empty: expected a recipe")
    }
    do {
      self = try YAMLDecoder().decode(FineTuningRecipe.self, from: data)
    } catch let error as DecodingError {
      throw RunError("\(path): \(FineTuningRecipe.describe(error, in: data))")
    } catch {
      throw RunError("\(path): is not YAML that describes a recipe: \(error)")
    }
  }

  /// The recipe as YAML.
  public func yaml() throws -> String {
    let numbers = numbers
    return try YAMLEncoder().encode(self).split(separator: "\n").map { line in
      // The encoder rounds to 15 digits, and to PyYAML (YAML 1.1) its `2e-4` is a string.
      guard let colon = line.firstIndex(of: ":"), let number = numbers[String(line[..<colon])] else {
        return line + "\n"
      }
      return line[..<colon] + ": " + FineTuningRecipe.withPoint(number) + "\n"
    }.joined()
  }

  /// Those that may be fractions, by key, as few digits as tell them from others of their type.
  private var numbers: [String: String] {
    [
      "validation_fraction": "\(validationFraction)", "replay_fraction": "\(replayFraction)", "beta": "\(beta)",
      "alpha": "\(alpha)", "dropout": "\(dropout)", "learning_rate": "\(learningRate)",
      "warmup_ratio": "\(warmupRatio)", "weight_decay": "\(weightDecay)", "max_gradient_norm": "\(maxGradientNorm)",
    ]
  }

  /// Says of an adapter to continue from what it is, in place of what a new one would be.
  public mutating func take(_ settings: Adapter.Settings) {
    (rank, alpha, dropout, targets) = (settings.rank, settings.alpha, settings.dropout, settings.targets)
    (rslora, dora) = (settings.isRankStabilised, settings.isWeightDecomposed)
  }

  /// What decides the bytes of a run beside its base and data: without where those lie and without how much is kept.
  var decisions: FineTuningRecipe {
    var decisions = self
    (decisions.model, decisions.data, decisions.validation, decisions.replay) = ("", [], [], [])
    (decisions.adapter, decisions.saveEvery, decisions.keep) = (nil, nil, FineTuningRecipe().keep)
    return decisions
  }

  /// The keys of which another recipe's decisions are others.
  func keys(decidedOtherwiseThan other: FineTuningRecipe) throws -> [String] {
    let (mine, others) = try (Yams.compose(yaml: decisions.yaml()), Yams.compose(yaml: other.decisions.yaml()))
    return CodingKeys.allCases.map(\.rawValue).filter { mine?[$0] != others?[$0] }
  }

  /// Its keys and values in order, lists with commas.
  func entries() throws -> [Report.Entry] {
    try yaml().split(separator: "\n").reduce(into: []) { entries, line in
      if line.hasPrefix("- "), let last = entries.popLast() {
        entries.append(.init(last.name, last.value + (last.value.isEmpty ? "" : ", ") + line.dropFirst(2)))
      } else if let colon = line.firstIndex(of: ":") {
        let value = line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
        entries.append(.init(String(line[..<colon]), value))
      }
    }
  }

  /// 2e-05 as 2.0e-05.
  private static func withPoint(_ number: String) -> String {
    guard !number.contains("."), let exponent = number.firstIndex(of: "e") else { return number }
    return number[..<exponent] + ".0" + number[exponent...]
  }

  private static func describe(_ error: DecodingError, in yaml: Data) -> String {
    switch error {
    case .dataCorrupted(let context) where context.codingPath.isEmpty && context.underlyingError != nil:
      // Yams says line and column, over several lines with a picture of the place.
      let reason = context.underlyingError.map { "\($0)" } ?? ""
      return "is not YAML: " + reason.split(whereSeparator: \.isNewline).joined(separator: " ")
    case .typeMismatch(_, let context) where context.codingPath.isEmpty:
      return "is not a recipe: expected a line KEY: VALUE for each setting, such as rank: 8"
    case .typeMismatch(let type, let context):
      let key = context.codingPath[0].stringValue
      return "key \(key): expected \(name(of: type))\(found(key, in: yaml).map { ", found \($0)" } ?? "")"
    case .dataCorrupted(let context), .valueNotFound(_, let context), .keyNotFound(_, let context):
      let key = context.codingPath.map(\.stringValue).joined(separator: ".")
      return (key.isEmpty ? "" : "key \(key): ") + context.debugDescription
    @unknown default: return "\(error)"
    }
  }

  /// What a value of a type is to whoever writes a recipe.
  private static func name(of type: any Any.Type) -> String {
    switch type {
    case is Int.Type: "a whole number"
    case is UInt64.Type: "a whole number, 0 or more"
    case is Double.Type, is Float.Type: "a number"
    case is Bool.Type: "true or false"
    case is Node.Sequence.Type: "a list, such as [a, b]"
    default: "a single value"
    }
  }

  private static func found(_ key: String, in yaml: Data) -> String? {
    switch try? Yams.compose(yaml: String(decoding: yaml, as: UTF8.self))?[key] {
    case .scalar(let scalar): scalar.string
    case .sequence: "a list"
    case .mapping: "keys with values"
    default: nil
    }
  }

  /// Checks ranges.
  ///
  /// - Throws: `RunError` naming the flag, what is expected and what was found.
  public func validate() throws {
    func require(_ condition: Bool, _ flag: String, _ expected: String, _ found: Any) throws {
      if !condition { throw RunError("--\(flag) \(found): expected \(expected)") }
    }
    try require(!model.isEmpty, "model", "a model's name or path", "(nothing)")
    try require(!data.isEmpty, "data", "at least one JSONL file", "(nothing)")
    try require(
      validationFraction >= 0 && validationFraction < 1, "validation-fraction", "0 to below 1", validationFraction)
    try require(replayFraction > 0 && replayFraction < 1, "replay-fraction", "above 0 and below 1", replayFraction)
    try require(beta.isFinite && beta > 0, "beta", "above 0", beta)
    try require(objective == .sft || method == .lora, "objective", "--method lora", "dpo with --method full")
    try require(objective == .sft || replay.isEmpty, "replay", "--objective sft", "with --objective dpo")
    try require(objective == .sft || lossOn == .responses, "loss-on", "responses with --objective dpo", "all")
    try require(rank >= 1 && rank <= 4096, "rank", "1 to 4096", rank)
    try require(alpha.isFinite && alpha > 0, "alpha", "a positive number", alpha)
    try require(dropout >= 0 && dropout < 1, "dropout", "0 to below 1", dropout)
    try require(epochs >= 1 && epochs <= 100_000, "epochs", "1 to 100000", epochs)
    try require(maxSteps ?? 1 >= 1, "max-steps", "at least 1", maxSteps ?? 0)
    try require(batchSize >= 1 && batchSize <= 4096, "batch-size", "1 to 4096", batchSize)
    try require(
      gradientAccumulation >= 1 && gradientAccumulation <= 4096, "gradient-accumulation", "1 to 4096",
      gradientAccumulation)
    try require(maxLength >= 2, "max-length", "at least 2", maxLength)
    try require(
      learningRate.isFinite && learningRate > 0 && learningRate <= 10, "learning-rate", "above 0, at most 10",
      learningRate)
    try require(warmupRatio >= 0 && warmupRatio <= 1, "warmup-ratio", "0 to 1", warmupRatio)
    try require(weightDecay >= 0 && weightDecay.isFinite, "weight-decay", "0 or more", weightDecay)
    try require(
      maxGradientNorm >= 0 && maxGradientNorm.isFinite, "max-gradient-norm", "0 (off) or more", maxGradientNorm)
    try require(evaluateEvery ?? 1 >= 1, "evaluate-every", "at least 1", evaluateEvery ?? 0)
    try require(saveEvery ?? 1 >= 1, "save-every", "at least 1", saveEvery ?? 0)
    try require(keep >= 1, "keep", "at least 1", keep)
    try require(patience ?? 1 >= 1, "patience", "at least 1", patience ?? 0)
    try require(
      date.map { TemplateDate.noon(of: $0) != nil } ?? true, "date", "a day, as YYYY-MM-DD", date ?? "")
    for (isGiven, flag) in [(adapter != nil, "adapter"), (rslora, "rslora"), (dora, "dora")] {
      try require(method == .lora || !isGiven, flag, "--method lora", "with --method full")
    }
  }
}

extension LossTarget: Codable {}
