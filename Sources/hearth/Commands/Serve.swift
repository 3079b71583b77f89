internal import ArgumentParser
internal import Chat
internal import Engine
internal import Foundation
internal import Server

/// Serves models over HTTP.
struct Serve: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Serve models to programs that speak OpenAI's, Ollama's or Anthropic's API.",
    discussion: """
      Examples:
        hearth serve
        hearth serve smollm2 help-desk --port 8123
        hearth serve --host 0.0.0.0 --tls self-signed

      Then, for a program that speaks OpenAI's API: base URL http://127.0.0.1:\(ServerSettings.defaultPort)/v1, any key. \
      The server listens to this machine only unless --host says otherwise, and then wants keys and TLS. SIGTERM and Ctrl-C \
      let answers under way finish.
      """)

  @Argument(help: "Models by name or path; an adapter shares its base.") var models = [ModelCatalog.defaultName]
  @Option(help: "The address to listen at.") var host = ServerSettings().host
  @Option(help: "The port; 0 takes any that is free.") var port = ServerSettings.defaultPort
  @Option(help: "Encrypt with a certificate made on the spot: self-signed.") var tls: SelfSigned?
  @Option(help: "Encrypt with the certificate chain in this PEM file, read again when it changes.") var tlsCertificate:
    String?
  @Option(help: "The certificate's private key, a PEM file.") var tlsKey: String?
  @Flag(help: "Serve an address that others reach without TLS, and without keys as long as there are none.")
  var insecure = false
  @Flag(help: "On loopback, ask for no key even when there are some.") var noKeys = false
  @OptionGroup(title: "Bearer tokens") var tokens: TokenOptions
  @Flag(help: "Store conversations whose requests say \"store\": true.") var storeConversations = false
  @Flag(help: "Keep what is asked and answered in the audit log, too (hearth audit show --contents).")
  var auditContents = false
  @Option(help: "Encrypt what is stored of both with the key in this file (default: $\(StorageKey.variable)).")
  var encryptionKey: String?
  @Option(help: "A further name that clients may call this host.") var allowHost: [String] = []
  @Option(help: "Web pages of this origin (https://app.example.org) may use the server.") var allowOrigin: [String] = []
  @Option(help: "Answers computed together.") var parallel = EngineRoom.Settings().laneCount
  @Option(help: "Answers that may wait beside them; what comes then is refused with 503.") var queue =
    EngineRoom.Settings().queueLimit
  @Option(help: "Memory for keys and values of each base, in megabytes (default: for the answers, at most a quarter).")
  var cacheMegabytes: Int?
  @Option(help: "Seconds that answers under way get to finish at the end.") var drainSeconds = ServerSettings()
    .drainSeconds
  @Flag(help: "Log one JSON object a line.") var logJson = false
  @Flag(help: "Print JSON when the server listens.") var json = false
  @OptionGroup var options: ModelOptions

  /// What `--tls` takes.
  enum SelfSigned: String, ExpressibleByArgument { case selfSigned = "self-signed" }

  func validate() throws {
    if port < 0 || port > 65_535 { throw ValidationError("--port \(port): expected 0 to 65535") }
    if parallel < 1 || parallel > 256 { throw ValidationError("--parallel \(parallel): expected 1 to 256") }
    if queue < 0 || queue > 100_000 { throw ValidationError("--queue \(queue): expected 0 to 100000") }
    if let cacheMegabytes, cacheMegabytes < 1 {
      throw ValidationError("--cache-megabytes \(cacheMegabytes): expected at least 1")
    }
    if drainSeconds < 0 { throw ValidationError("--drain-seconds \(drainSeconds): expected at least 0") }
    if (tlsCertificate == nil) != (tlsKey == nil) {
      throw ValidationError("--tls-certificate and --tls-key: give both or neither")
    }
    if tls != nil, tlsCertificate != nil {
      throw ValidationError("--tls self-signed: drop it, or the certificate's files")
    }
  }

  func run() async throws {
    let server = try HearthServer(try settings(), logsJSON: logJson, isQuiet: options.quiet)
    do {
      try await run(server)
    } catch {
      // As the command line says it, except that nobody is waited for.
      HearthServer.sayLast("\(error)", asJSON: logJson)
      throw SilentFailure()
    }
  }

  private func run(_ server: HearthServer) async throws {
    let (json, isQuiet, models, host) = (json, options.quiet || logJson, models, host)
    @Sendable func access(_ listening: HearthServer.Listening) -> String {
      if listening.needsKey { return ", with a key (hearth key create)" }
      var settings = ServerSettings()
      settings.host = host
      return settings.isLoopback ? "; no key needed on this machine" : "; everybody who reaches it is let in"
    }
    try await server.run(models) { listening in
      if json {
        try? JSONOutput.write(["address": listening.address, "models": models.joined(separator: " ")])
        try? StandardOutput.finish()
      } else if !isQuiet {
        StandardError.write(
          "\(models.joined(separator: ", ")): \(listening.address)"
            + access(listening) + "\n")
      }
    }
  }

  private func settings() throws -> ServerSettings {
    var settings = ServerSettings()
    settings.openID = try tokens.settings()
    (settings.storesConversations, settings.auditsContents) = (storeConversations, auditContents)
    settings.storageKey = try encryptionKey.map { try StorageKey(file: $0) } ?? StorageKey.fromEnvironment()
    (settings.host, settings.port) = (host, port)
    if tls != nil { settings.encryption = .selfSigned }
    if let tlsCertificate, let tlsKey { settings.encryption = .files(certificate: tlsCertificate, key: tlsKey) }
    (settings.allowsExposure, settings.isOpenOnLoopback) = (insecure, noKeys)
    (settings.allowedHosts, settings.allowedOrigins) = (allowHost, allowOrigin)
    (settings.engine.laneCount, settings.engine.queueLimit) = (parallel, queue)
    (settings.engine.contextLength, settings.engine.cacheType) = (options.context, options.cacheType)
    settings.engine.cacheBytes = cacheMegabytes.map { $0 << 20 }
    (settings.precision, settings.threads) = (options.precision, options.threads)
    settings.checksMemory = !options.ignoreMemory
    settings.drainSeconds = drainSeconds
    return settings
  }
}
