public import Foundation

/// A model's chat template with the texts of its special tokens: turns messages into the prompt the
/// model was trained on.
///
/// Training, evaluation and serving all render through this type, so that they agree to the byte.
public struct ChatTemplate: Sendable {
  /// The parsed template.
  public let template: Template
  /// Text of the token that begins a sequence, which templates name `bos_token`.
  public let bosToken: String?
  /// Text of the token that ends a sequence, which templates name `eos_token`.
  public let eosToken: String?
  /// Texts of further special tokens by the names templates know them under, such as `unk_token`.
  public let specialTokens: [String: String]

  /// Parses a model's template.
  ///
  /// - Throws: `TemplateError` of kind `syntax`, `unsupported` or `limit`.
  public init(
    _ source: String, bosToken: String? = nil, eosToken: String? = nil,
    specialTokens: [String: String] = [:]
  ) throws(TemplateError) {
    template = try Template(source)
    self.bosToken = bosToken
    self.eosToken = eosToken
    self.specialTokens = specialTokens
  }

  /// Renders a conversation.
  ///
  /// - Parameters:
  ///   - messages: The conversation so far.
  ///   - tools: Descriptions of the tools the model may call, a list of JSON schemas.
  ///   - addGenerationPrompt: Whether to end with what opens the assistant's answer.
  ///   - extra: Further variables; they win over the ones above.
  ///   - now: What the template takes as today.
  /// - Throws: `TemplateError`; of kind `raised` when the template refuses the conversation, for
  ///   instance because it knows no system messages.
  public func render(
    messages: [ChatMessage], tools: TemplateValue? = nil, addGenerationPrompt: Bool,
    extra: [String: TemplateValue] = [:], limits: TemplateLimits = .default, now: Date = Date()
  ) throws(TemplateError) -> String {
    try render(
      values: .array(messages.map(\.templateValue)), tools: tools,
      addGenerationPrompt: addGenerationPrompt, extra: extra, limits: limits, now: now)
  }

  /// Renders messages given as plain values, for content that is more than text.
  public func render(
    values messages: TemplateValue, tools: TemplateValue? = nil, addGenerationPrompt: Bool,
    extra: [String: TemplateValue] = [:], limits: TemplateLimits = .default, now: Date = Date()
  ) throws(TemplateError) -> String {
    var context: [String: TemplateValue] = [:]
    for (name, text) in specialTokens { context[name] = .string(text) }
    if let bosToken { context["bos_token"] = .string(bosToken) }
    if let eosToken { context["eos_token"] = .string(eosToken) }
    context["messages"] = messages
    context["tools"] = tools ?? TemplateValue.none
    context["documents"] = TemplateValue.none
    context["add_generation_prompt"] = .bool(addGenerationPrompt)
    context.merge(extra) { _, extra in extra }
    return try template.render(context, limits: limits, now: now)
  }

  /// ChatML, for models that come without a template of their own. Never chosen silently: whoever
  /// loads such a model decides.
  public static let chatML = """
    {% for message in messages %}
    {{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' -}}
    {% endfor %}
    {% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}
    """
}
