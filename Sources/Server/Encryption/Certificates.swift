internal import Chat
internal import Crypto
internal import Engine
internal import Foundation
internal import Logging
internal import NIOCore
internal import NIOSSL
internal import Synchronization

/// The certificate that the server shows, read again when its file changes: renewed certificates need no restart.
final class Certificates: Sendable {
  private struct State: Sendable {
    var chain: [NIOSSLCertificateSource]
    var key: NIOSSLPrivateKeySource
    var changed: Date
    var checked: ContinuousClock.Instant
    /// When files changed that could not be used.
    var refused: Date?
  }

  private let certificatePath: String
  private let keyPath: String
  private let logger: Logger
  private let state: Mutex<State>

  /// - Throws: `ServerError` when a file is missing, no PEM, or does not fit the other.
  init(certificate: String, key: String, _ logger: Logger) throws(ServerError) {
    certificatePath = certificate
    keyPath = key
    self.logger = logger
    state = Mutex(try Certificates.read(certificate, key))
  }

  /// A self-signed certificate kept in the home folder; made when there is none, when it expires within a month, or when it
  /// is not for these hosts.
  static func selfSigned(_ settings: ServerSettings, _ logger: Logger) throws(ServerError) -> Certificates {
    let folder = settings.store.home.appending(path: "tls").path
    let (certificate, key, note) = (folder + "/certificate.pem", folder + "/key.pem", folder + "/hosts.txt")
    var hosts = ["localhost", "127.0.0.1", "::1"] + settings.allowedHosts
    if settings.host != "0.0.0.0", settings.host != "::" { hosts.insert(settings.host, at: 0) }
    hosts.insert(ProcessInfo.processInfo.hostName, at: 0)
    // Addresses too: an office server is mostly called by its own.
    for device in (try? System.enumerateDevices()) ?? [] {
      if let address = device.address?.ipAddress, !hosts.contains(address) { hosts.append(address) }
    }
    do {
      try FileManager.default.createDirectory(
        atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
      let known = (try? String(contentsOfFile: note, encoding: .utf8))?.split(separator: "\n") ?? []
      let until = known.first.flatMap { Double($0) } ?? 0
      let covers = Set(hosts).isSubset(of: Set(known.dropFirst().map(String.init)))
      if !covers || until < Date().timeIntervalSince1970 + 30 * 86_400 {
        let made = try SelfSignedCertificate(hosts: hosts)
        // The note last: without it both are made anew.
        try? FileManager.default.removeItem(atPath: note)
        try AtomicFile.write(Array(made.keyPEM.utf8), to: key)
        try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: key)
        try AtomicFile.write(Array(made.pem.utf8), to: certificate)
        let text = "\(Date().timeIntervalSince1970 + 730 * 86_400)\n" + hosts.joined(separator: "\n")
        try AtomicFile.write(Array(text.utf8), to: note)
      }
    } catch {
      throw ServerError("\(folder): a certificate cannot be made there: \(error)")
    }
    return try Certificates(certificate: certificate, key: key, logger)
  }

  /// What to hand to TLS: today's certificate at each handshake.
  var configuration: TLSConfiguration {
    let first = state.withLock { $0 }
    var configuration = TLSConfiguration.makeServerConfiguration(certificateChain: first.chain, privateKey: first.key)
    configuration.minimumTLSVersion = .tlsv12
    configuration.applicationProtocols = ["http/1.1"]
    configuration.sslContextCallback = { [self] _, promise in
      let current = current
      var override = NIOSSLContextConfigurationOverride()
      override.certificateChain = current.chain
      override.privateKey = current.key
      promise.succeed(override)
    }
    return configuration
  }

  /// The certificate's path and its SHA-256, by which people recognise it.
  var description: String { describe(state.withLock { $0 }) }

  private func describe(_ state: State) -> String {
    let digest = state.chain.first.flatMap { source -> String? in
      guard case .certificate(let certificate) = source, let bytes = try? certificate.toDERBytes() else { return nil }
      return Data(SHA256.hash(data: bytes)).hexadecimal
    }
    return "\(certificatePath), SHA-256 \(digest ?? "?")"
  }

  /// Looks at the files at most once a second. While they do not fit each other, as between writing one and the other, the
  /// former pair stays.
  private var current: State {
    state.withLock { state in
      guard ContinuousClock.now - state.checked > .seconds(1) else { return state }
      state.checked = .now
      let changed = Certificates.changed(certificatePath, keyPath)
      guard changed != state.changed else { return state }
      do throws(ServerError) {
        state = try Certificates.read(certificatePath, keyPath)
        logger.info("encrypting with a new certificate", metadata: ["certificate": "\(describe(state))"])
      } catch {
        // Said once: who renews certificates hears of it before the former one expires.
        if state.refused != changed {
          logger.warning("the new certificate cannot be used, the former one stays", metadata: ["error": "\(error)"])
        }
        state.refused = changed
      }
      return state
    }
  }

  private static func changed(_ paths: String...) -> Date {
    paths.compactMap { FileManager.default.attributes(behind: $0)?[.modificationDate] as? Date }.max()
      ?? .distantPast
  }

  private static func read(_ certificate: String, _ key: String) throws(ServerError) -> State {
    let changed = changed(certificate, key)
    let mode = FileManager.default.attributes(behind: key)?[.posixPermissions] as? Int ?? 0
    guard mode & 0o004 == 0 else {
      throw ServerError("\(key): everybody on this machine can read it: chmod 600 \(key)")
    }
    do {
      let chain = try NIOSSLCertificate.fromPEMFile(certificate)
      let privateKey = try NIOSSLPrivateKey(file: key, format: .pem)
      let state = State(
        chain: chain.map { .certificate($0) }, key: .privateKey(privateKey), changed: changed, checked: .now)
      // A pair that does not belong together is found here and not at the first handshake.
      _ = try NIOSSLContext(
        configuration: .makeServerConfiguration(certificateChain: state.chain, privateKey: state.key))
      return state
    } catch {
      throw ServerError("\(certificate), \(key): expected a PEM certificate chain and its private key: \(error)")
    }
  }
}
