/// The `tokenizer.ggml.*` metadata of a GGUF file, as read, not yet checked.
public struct GGUFVocabulary: Sendable {
  /// `tokenizer.ggml.model`: the algorithm; `gpt2` is byte-level BPE, `llama` SentencePiece's BPE.
  public var model: String
  /// `tokenizer.ggml.pre`: which pattern cuts text into words; files of 2023 lack it.
  public var pre: String?
  /// `tokenizer.ggml.tokens`: each id's spelling; the index is the id.
  public var tokens: [String]
  /// `tokenizer.ggml.merges`: pairs joined by one space, best first.
  public var merges: [String]
  /// `tokenizer.ggml.scores`: how early a token merges, the highest first; only SentencePiece's have any.
  public var scores: [Float]?
  /// `tokenizer.ggml.add_space_prefix`: whether a space is put before texts.
  public var addSpacePrefix: Bool?
  /// `tokenizer.ggml.token_type`: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
  public var tokenTypes: [Int32]?
  /// `tokenizer.ggml.bos_token_id`.
  public var beginningOfSequence: Int32?
  /// `tokenizer.ggml.eos_token_id`.
  public var endOfSequence: Int32?
  /// `tokenizer.ggml.padding_token_id`.
  public var padding: Int32?
  /// `tokenizer.ggml.unknown_token_id`.
  public var unknown: Int32?
  /// `tokenizer.ggml.add_bos_token`.
  public var addBeginningOfSequence: Bool?
  /// `tokenizer.ggml.add_eos_token`.
  public var addEndOfSequence: Bool?
  /// `tokenizer.ggml.eot_token_id` and `eom_token_id`: ids besides end of sequence that end a turn.
  public var endOfTurn: [Int32]

  /// Gathers what a GGUF file says about its vocabulary.
  public init(
    model: String, pre: String?, tokens: [String], merges: [String], scores: [Float]? = nil,
    addSpacePrefix: Bool? = nil, tokenTypes: [Int32]? = nil,
    beginningOfSequence: Int32? = nil, endOfSequence: Int32? = nil, padding: Int32? = nil,
    unknown: Int32? = nil, addBeginningOfSequence: Bool? = nil, addEndOfSequence: Bool? = nil,
    endOfTurn: [Int32] = []
  ) {
    self.model = model
    self.pre = pre
    self.tokens = tokens
    self.merges = merges
    self.scores = scores
    self.addSpacePrefix = addSpacePrefix
    self.tokenTypes = tokenTypes
    self.beginningOfSequence = beginningOfSequence
    self.endOfSequence = endOfSequence
    self.padding = padding
    self.unknown = unknown
    self.addBeginningOfSequence = addBeginningOfSequence
    self.addEndOfSequence = addEndOfSequence
    self.endOfTurn = endOfTurn
  }
}
