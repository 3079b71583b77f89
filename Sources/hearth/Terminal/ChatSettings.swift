internal import Chat
internal import Engine

/// How a chat's answers are sampled, as flags and `/set` name it.
struct ChatSettings: Equatable {
  var temperature: Float = 0.7
  var topK = 0
  var topP: Float = 0.9
  var minP: Float = 0
  var repetitionPenalty: Float = 1
  var presencePenalty: Float = 0
  var frequencyPenalty: Float = 0
  var logitBias: [Int32: Float] = [:]
  /// nil draws another seed for every session.
  var seed: UInt64?
  /// nil is as many as fit.
  var maximumTokenCount: Int?
  var stops: [String] = []

  static let names = [
    "temperature", "top-k", "top-p", "min-p", "repetition-penalty", "presence-penalty", "frequency-penalty", "seed",
    "max-tokens", "stop",
  ]

  /// The value of a setting as a person writes it.
  func value(of name: String) -> String? {
    switch name {
    case "temperature": "\(temperature)"
    case "top-k": topK == 0 ? "off" : "\(topK)"
    case "top-p": topP == 1 ? "off" : "\(topP)"
    case "min-p": minP == 0 ? "off" : "\(minP)"
    case "repetition-penalty": repetitionPenalty == 1 ? "off" : "\(repetitionPenalty)"
    case "presence-penalty": presencePenalty == 0 ? "off" : "\(presencePenalty)"
    case "frequency-penalty": frequencyPenalty == 0 ? "off" : "\(frequencyPenalty)"
    case "seed": seed.map { "\($0)" } ?? "off"
    case "max-tokens": maximumTokenCount.map { "\($0)" } ?? "off"
    case "stop": stops.isEmpty ? "off" : stops.map { "\"\($0)\"" }.joined(separator: " ")
    default: nil
    }
  }

  /// Changes a setting; `off` is its neutral value. Nothing changes when the value is refused.
  ///
  /// - Throws: `CommandError` with what was expected; `SamplingError`.
  mutating func set(_ name: String, to text: String) throws {
    let name = name.lowercased().split(separator: "_").joined(separator: "-")
    let isOff = ["off", "none", "default"].contains(text.lowercased())
    var changed = self
    func number() throws -> Float {
      guard let value = Float(text), value.isFinite else {
        throw CommandError("\(name) \(text): expected a number, or off")
      }
      return value
    }
    func count() throws -> Int {
      guard let value = Int(text), value >= 0 else {
        throw CommandError("\(name) \(text): expected a whole number, or off")
      }
      return value
    }
    switch name {
    case "temperature": changed.temperature = isOff ? 0 : try number()
    case "top-k": changed.topK = isOff ? 0 : try count()
    case "top-p": changed.topP = isOff ? 1 : try number()
    case "min-p": changed.minP = isOff ? 0 : try number()
    case "repetition-penalty": changed.repetitionPenalty = isOff ? 1 : try number()
    case "presence-penalty": changed.presencePenalty = isOff ? 0 : try number()
    case "frequency-penalty": changed.frequencyPenalty = isOff ? 0 : try number()
    case "seed": changed.seed = isOff ? nil : UInt64(try count())
    case "max-tokens":
      changed.maximumTokenCount = isOff ? nil : try count()
      if changed.maximumTokenCount == 0 { throw CommandError("max-tokens 0: expected at least 1, or off") }
    case "stop":
      if text.isEmpty { throw CommandError("stop: expected at least one character, or off") }
      changed.stops = isOff ? [] : [text]
    default:
      throw CommandError("\(name) is no setting. There are \(Self.names.joined(separator: ", "))")
    }
    try changed.sampling(seed: 0).validate()
    self = changed
  }

  /// The engine's options.
  func sampling(seed: UInt64) -> SamplingOptions {
    SamplingOptions(
      temperature: temperature, topK: topK, topP: topP, minP: minP,
      penalties: Penalties(
        repetition: repetitionPenalty, presence: presencePenalty, frequency: frequencyPenalty, logitBias: logitBias),
      seed: seed)
  }

  /// How to answer.
  func answerOptions(seed: UInt64) -> AnswerOptions {
    AnswerOptions(sampling: sampling(seed: seed), maximumTokenCount: maximumTokenCount, stops: stops)
  }
}
