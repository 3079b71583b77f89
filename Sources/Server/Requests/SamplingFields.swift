internal import Chat
internal import Engine

/// How an answer is to be made, as OpenAI's APIs say it, with `top_k`, `min_p` and `repetition_penalty` beside.
struct SamplingFields {
  var options = AnswerOptions()
  var count = 1
  var isStreaming = false
  /// Whether a stream ends with what was used.
  var includesUsage = false

  /// Takes what all of OpenAI's text APIs have in common.
  ///
  /// - Parameter limits: What one request may ask for.
  init(_ fields: inout Fields, _ limits: ServerSettings.Limits) throws(APIError) {
    var sampling = SamplingOptions()
    sampling.temperature = Float(try fields.number("temperature", in: 0...2) ?? 1)
    sampling.topP = Float(try fields.number("top_p", in: 0...1) ?? 1)
    sampling.topK = try fields.integer("top_k", in: 0...1_000_000) ?? 0
    sampling.minP = Float(try fields.number("min_p", in: 0...1) ?? 0)
    sampling.penalties.presence = Float(try fields.number("presence_penalty", in: -2...2) ?? 0)
    sampling.penalties.frequency = Float(try fields.number("frequency_penalty", in: -2...2) ?? 0)
    sampling.penalties.repetition = Float(try fields.number("repetition_penalty", in: 0.01...100) ?? 1)
    sampling.penalties.logitBias = try SamplingFields.logitBias(&fields, limits)
    sampling.seed = try SamplingFields.seed(&fields)
    options.sampling = sampling
    options.stops = try SamplingFields.stops(&fields, "stop", limits)
    count = try fields.integer("n", in: 1...limits.answers) ?? 1
    isStreaming = try fields.bool("stream") ?? false
    if var streaming = try fields.object("stream_options") {
      guard isStreaming else {
        throw .invalid(fields.path("stream_options"), "stream_options: goes with \"stream\": true")
      }
      includesUsage = try streaming.bool("include_usage") ?? false
      // Padding against those who measure the sizes of encrypted packets; asking for none is what happens anyway.
      try streaming.refuse("include_obfuscation", unless: [false], "streams are not padded")
      try streaming.finish()
    }
  }

  /// The seed that was asked for, or one that nobody knows.
  static func seed(_ fields: inout Fields) throws(APIError) -> UInt64 {
    if let seed = try fields.integer("seed", in: Int.min...Int.max) { return UInt64(bitPattern: Int64(seed)) }
    return UInt64.random(in: .min ... .max)
  }

  /// One stop string or a list.
  static func stops(
    _ fields: inout Fields, _ name: String, _ limits: ServerSettings.Limits
  ) throws(APIError) -> [String] {
    guard let value = fields.value(name) else { return [] }
    let path = fields.path(name)
    guard let texts = (value.text.map { [$0] } ?? value.elements?.compactMap(\.text)),
      texts.count == value.elements?.count ?? 1
    else { throw fields.wrong(name, "a string or a list of strings", value) }
    guard texts.count <= limits.stops else {
      throw .invalid(path, "\(path) has \(texts.count) strings: expected at most \(limits.stops)")
    }
    for (index, text) in texts.enumerated() where text.isEmpty || text.utf8.count > limits.stopBytes {
      throw .invalid(path, "\(path)[\(index)] has \(text.utf8.count) bytes: expected 1 to \(limits.stopBytes)")
    }
    return texts
  }

  private static func logitBias(
    _ fields: inout Fields, _ limits: ServerSettings.Limits
  ) throws(APIError) -> [Int32: Float] {
    guard let value = fields.value("logit_bias") else { return [:] }
    guard let members = value.members else { throw fields.wrong("logit_bias", "an object of ids and numbers", value) }
    guard members.count <= limits.logitBiases else {
      throw .invalid("logit_bias", "logit_bias has \(members.count) tokens: expected at most \(limits.logitBiases)")
    }
    var biases: [Int32: Float] = [:]
    for member in members {
      guard let id = Int32(member.key), case .number(let text) = member.value, let bias = Float(text),
        (-100...100).contains(bias)
      else {
        throw .invalid(
          "logit_bias",
          "logit_bias: expected token ids with numbers from -100 to 100, found \"\(member.key.prefix(40))\"")
      }
      biases[id] = bias
    }
    return biases
  }
}
