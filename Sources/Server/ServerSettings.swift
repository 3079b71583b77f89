public import Chat
public import Engine

/// What a server is told when it starts.
public struct ServerSettings: Sendable {
  /// Whom it listens to.
  public enum Encryption: Sendable, Equatable {
    /// None; right on loopback, or behind a proxy that encrypts.
    case none
    /// A certificate made on the spot, kept in the home folder.
    case selfSigned
    /// PEM files, read again when they change.
    case files(certificate: String, key: String)
  }

  /// What one request may ask for. All of it is checked before anything is computed.
  public struct Limits: Sendable {
    /// Bytes of a body, and of an uploaded file.
    public var bodyBytes = 4 << 20, fileBytes = 256 << 20
    /// Headers: bytes of one, bytes of all, number.
    public var headerBytes = 8 << 10, headerListBytes = 32 << 10, headerCount = 100
    /// Seconds in which a request must have arrived.
    public var arrivalSeconds = 30
    /// Seconds that a connection may be idle.
    public var idleSeconds = 75
    /// Seconds that an answer may take.
    public var answerSeconds = 600
    /// Connections at a time.
    public var connections = 1024
    /// Answers to one prompt (`n`), prompts of one request, texts to make vectors of: as many as OpenAI takes, and libraries send.
    public var answers = 8, prompts = 64, embeddings = 2048
    /// Messages, and parts of a message.
    public var messages = 2048, contentParts = 64
    /// Stop strings, and bytes of one.
    public var stops = 16, stopBytes = 256
    /// Tokens with a bias.
    public var logitBiases = 1024
    /// Alternatives listed beside a token.
    public var listedTokens = 20
    /// Wrong keys that may come from an address at once; after that, one every six seconds.
    public var failedKeys = 20
    /// Bytes of the conversations that are stored for a key, and of a text of feedback.
    public var storedBytes = 1 << 30, feedbackBytes = 64 << 10
    /// Bytes of the audit log that may wait to be written; more is not done while they cannot be.
    public var auditBytes = 64 << 20
    /// Descriptions of tools, and bytes of a schema.
    public var tools = 128, schemaBytes = 64 << 10

    /// The usual limits.
    public init() {}
  }

  /// The address to listen at.
  public var host = "127.0.0.1"
  /// 0 takes any that is free.
  public var port = ServerSettings.defaultPort
  /// Whether to encrypt.
  public var encryption = Encryption.none
  /// Whether an address that others reach is served without encryption, and without keys as long as there are none.
  public var allowsExposure = false
  /// Whether loopback needs no key even when there are keys.
  public var isOpenOnLoopback = false
  /// Whose bearer tokens are believed beside keys; nil for nobody's.
  public var openID: OpenIDSettings?
  /// Whether conversations are stored when their requests ask for it.
  public var storesConversations = false
  /// Whether the audit log keeps what was asked and answered, too.
  public var auditsContents = false
  /// What stored conversations and the audit log's contents are encrypted with; nil when they are not.
  public var storageKey: StorageKey?
  /// Further names that clients may call this host, against DNS rebinding.
  public var allowedHosts: [String] = []
  /// Web pages of these origins may call.
  public var allowedOrigins: [String] = []
  /// How much is done at once.
  public var engine = EngineRoom.Settings()
  /// Kernels that multiply.
  public var precision = Precision.serving
  /// Threads to compute with; nil is as many as this process may use.
  public var threads: Int?
  /// Whether a model for which memory is short is refused.
  public var checksMemory = true
  /// What a request may ask for.
  public var limits = Limits()
  /// Seconds that answers under way get to finish when the server is told to end.
  public var drainSeconds = 30
  /// Where keys, usage and models are recorded.
  public var store = ModelStore()

  /// No other program that serves models uses it.
  public static let defaultPort = 4327

  /// The usual settings: loopback, nothing encrypted.
  public init() {}

  /// Whether only this machine reaches the address.
  public var isLoopback: Bool { host == "localhost" || host == "::1" || host.hasPrefix("127.") }
}

/// Why a server does not start.
public struct ServerError: Error, Sendable, Equatable, CustomStringConvertible {
  /// What is wrong and what to do about it.
  public let description: String
  /// The file system that had no room, if that was it.
  let fullDisk: FullDisk?

  /// An error with this message.
  public init(_ description: String) { (self.description, fullDisk) = (description, nil) }

  /// There is no room for a file.
  init(_ path: String, _ fullDisk: FullDisk) {
    description = "\(path): \(fullDisk)"
    self.fullDisk = fullDisk
  }
}
