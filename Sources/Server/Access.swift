internal import Chat
internal import Foundation
internal import HTTPTypes
internal import Hummingbird
internal import Synchronization

/// Who asks.
struct Principal: Sendable {
  /// Of the key; salts caches and names queues.
  let id: String
  let name: String
  let scopes: Set<Scope>
  var requestsPerMinute: Int?
  var tokensPerDay: Int?
  /// The models that it may ask, beside what its own jobs make; nil is any.
  var models: Set<String>?
  /// Whether an issuer's token said so, and not one of the server's own keys.
  var isToken = false

  /// Whoever is on this machine, where that is enough.
  static let local = Principal(id: "local", name: "local", scopes: Set(Scope.allCases))
  /// Nobody in particular.
  static let nobody = Principal(id: "nobody", name: "nobody", scopes: [])
}

extension Principal {
  /// What metrics call it. Subjects of an issuer come without end, and series must not: usage by subject is in the file.
  var label: String { isToken ? "oidc" : name }

  init(_ record: KeyRecord) {
    self.init(
      id: record.id, name: record.name, scopes: Set(record.scopes.compactMap(Scope.init)),
      requestsPerMinute: record.requests_per_minute, tokensPerDay: record.tokens_per_day,
      models: record.models.map { Set($0) })
  }
}

/// Says who asks, and whether it is their turn.
final class AccessControl: Sendable {
  private struct Bucket: Sendable {
    var level: Double
    var time: ContinuousClock.Instant
  }

  private struct State: Sendable {
    var buckets: [String: Bucket] = [:]
    /// Tokens of today by key, those of the file included.
    var day = ""
    var tokens: [String: Int] = [:]
    /// Not yet in the file.
    var usage: [UsageKey: UsageCount] = [:]
    var entries: [AuditEntry] = []
    /// Of these, and of those that are being written.
    var entryBytes = 0
    var attempts: FailedAttempts
  }

  private let storage: Storage
  private let auditBytes: Int
  /// Whether whoever reaches the server may be trusted: this machine only, or the owner said so.
  private let isTrusting: Bool
  /// Whether keys are asked for where there are some.
  private let asksForKeys: Bool
  private let tokens: TokenVerifier?
  /// Of whoever issues tokens; nil when no tokens are taken.
  let signingKeys: SigningKeys?
  private let state: Mutex<State>

  init(_ storage: Storage, _ settings: ServerSettings, signingKeys: SigningKeys? = nil) {
    self.storage = storage
    self.signingKeys = signingKeys
    tokens = settings.openID.map { TokenVerifier(settings: $0) }
    state = Mutex(State(attempts: FailedAttempts(burst: settings.limits.failedKeys)))
    auditBytes = settings.limits.auditBytes
    isTrusting = settings.isLoopback || settings.allowsExposure
    asksForKeys = !settings.isOpenOnLoopback
  }

  /// Whether no key is needed. On loopback, or where the owner lets everybody in: as long as there are neither keys nor tokens, or
  /// when none are asked for. On an address that others reach, never.
  func isOpen() throws(ServerError) -> Bool {
    guard isTrusting else { return false }
    guard asksForKeys else { return true }
    guard tokens == nil else { return false }
    return try !storage.hasKeys()
  }

  /// Who asks; nil when a key is needed and none was sent.
  ///
  /// - Parameter address: Where the request comes from.
  /// - Throws: `APIError` when the key is wrong, or has made too many requests, or too many wrong ones came from there.
  func authenticate(_ headers: HTTPFields, from address: String) async throws -> Principal? {
    guard let secret = AccessControl.secret(headers) else { return try isOpen() ? .local : nil }
    let visitor = FailedAttempts.name(address)
    var (principal, refusal): (Principal?, TokenError?) = (nil, nil)
    if tokens != nil, JSONWebToken.isOne(secret) {
      do { principal = try await self.principal(token: secret) } catch let error as TokenError { refusal = error }
    } else {
      principal = try await storage.key(secret: secret).map { Principal($0) }
      // A secret of ours that is valid no more opens nothing, not even what is open.
      if principal == nil, try isOpen(), !secret.hasPrefix("hearth_") { return .local }
    }
    let wait = state.withLock { state -> Double in
      let wait = state.attempts.wait(visitor)
      if let principal, wait == 0 || state.attempts.isWelcome(visitor, principal.id) {
        state.attempts.succeed(visitor, principal.id)
        return 0
      }
      // A token whose time is over was right once, and is nobody's guess.
      if wait == 0, refusal?.kind != .expired { state.attempts.fail(visitor) }
      return wait
    }
    // Right or wrong: who guesses does not learn which.
    guard wait == 0 else {
      throw APIError(
        .rateLimited, "too many wrong keys came from \(visitor): try again in a while", code: "too_many_failures",
        retryAfterSeconds: max(1, Int(wait.rounded(.up))))
    }
    if let refusal {
      throw APIError(.unauthorized, refusal.message, code: refusal.kind == .expired ? "token_expired" : "invalid_token")
    }
    guard let principal else {
      throw APIError(.unauthorized, "this key is not valid, or not any more", code: "invalid_api_key")
    }
    try admit(principal)
    return principal
  }

  /// Who sent an issuer's token.
  ///
  /// - Throws: `TokenError`, or `APIError` while nothing can be verified.
  private func principal(token text: String) async throws -> Principal? {
    guard let tokens, let signingKeys else { return nil }
    let token = try JSONWebToken(text)
    let keys = try signingKeys.current()
    do throws(TokenError) { return try tokens.principal(token, keys, now: Date()) } catch {
      // Issuers change their keys now and then; the newest may be younger than what is known here.
      guard error.kind == .unknownKey else { throw error }
    }
    await signingKeys.renew()
    return try tokens.principal(token, try signingKeys.current(), now: Date())
  }

  private static func secret(_ headers: HTTPFields) -> String? {
    if let header = headers[.authorization] {
      let parts = header.split(separator: " ", maxSplits: 1)
      return parts.count == 2 && parts[0].lowercased() == "bearer" ? String(parts[1]) : ""
    }
    return headers[.apiKey]
  }

  /// Takes one request from a key's bucket, which holds a minute's requests and fills up steadily.
  private func admit(_ principal: Principal) throws(APIError) {
    guard let limit = principal.requestsPerMinute else { return }
    let wait = state.withLock { state -> Double in
      let (now, rate) = (ContinuousClock.now, Double(limit) / 60)
      // Subjects of an issuer can be many; who has not asked for a minute has a full bucket again.
      if state.buckets.count >= 4096 { state.buckets = state.buckets.filter { now - $0.value.time < .seconds(60) } }
      var bucket = state.buckets[principal.id] ?? Bucket(level: Double(limit), time: now)
      bucket.level = min(Double(limit), bucket.level + (now - bucket.time).seconds * rate)
      bucket.time = now
      defer { state.buckets[principal.id] = bucket }
      guard bucket.level >= 1 else { return (1 - bucket.level) / rate }
      bucket.level -= 1
      return 0
    }
    guard wait > 0 else { return }
    throw APIError(
      .rateLimited, "the key \"\(principal.name)\" may make \(limit) requests a minute", code: "rate_limit_exceeded",
      retryAfterSeconds: max(1, Int(wait.rounded(.up))))
  }

  /// - Throws: `APIError` when a key has used its tokens of today.
  func requireTokens(_ principal: Principal) throws {
    guard let limit = principal.tokensPerDay else { return }
    let day = UsageKey.day()
    var used = state.withLock { $0.day == day ? $0.tokens[principal.id] : nil }
    if used == nil {
      let stored = try storage.tokens(of: principal.id, day: day)
      used = state.withLock { state in
        if state.day != day { (state.day, state.tokens) = (day, [:]) }
        // What is not in the file yet.
        let pending = state.usage.filter { $0.key.key == principal.id && $0.key.day == day }.values.reduce(0) {
          $0 + $1.tokens
        }
        let known = state.tokens[principal.id] ?? stored + pending
        state.tokens[principal.id] = known
        return known
      }
    }
    guard used ?? 0 >= limit else { return }
    let rest = 86_400 - Int(Date().timeIntervalSince1970) % 86_400
    throw APIError(
      .quotaExceeded, "the key \"\(principal.name)\" has used its \(limit) tokens of today (UTC)",
      code: "insufficient_quota",
      retryAfterSeconds: rest)
  }

  /// Counts what a request used.
  func charge(_ principal: Principal, model: String, promptTokens: Int, completionTokens: Int) {
    let key = UsageKey(key: principal.id, day: UsageKey.day(), model: model)
    state.withLock { state in
      var count = state.usage[key, default: UsageCount()]
      count.requests += 1
      count.promptTokens += promptTokens
      count.completionTokens += completionTokens
      state.usage[key] = count
      if state.day == key.day, let known = state.tokens[principal.id] {
        state.tokens[principal.id] = known + promptTokens + completionTokens
      }
    }
  }

  /// Notes what was done; it is in the file within a second.
  func note(_ entry: AuditEntry) {
    state.withLock { state in
      state.entries.append(entry)
      state.entryBytes += entry.weight
    }
  }

  /// - Throws: `APIError` when the audit log cannot be written, and as much waits for it as may.
  func requireLog() throws(APIError) {
    guard state.withLock({ $0.entryBytes }) > auditBytes else { return }
    throw APIError(
      .unavailable, "the audit log cannot be written, and nothing is done without it: the server's log says why",
      code: "audit_log_full", retryAfterSeconds: 10)
  }

  /// Writes what is not in the file yet.
  ///
  /// - Parameter isLast: Whether there is no next time: then entries whose contents cannot be kept are written without them, and say
  ///   so.
  /// - Throws: `ServerError`; nothing is lost then, and tried again next time.
  func flush(isLast: Bool = false) throws(ServerError) {
    let (usage, entries) = state.withLock { state in
      defer { (state.usage, state.entries) = ([:], []) }
      return (state.usage, state.entries)
    }
    do throws(ServerError) { try storage.record(usage, entries) } catch {
      if isLast, entries.contains(where: { $0.content != nil }) {
        let rest = entries.map { entry in
          var entry = entry
          if entry.content != nil { (entry.content, entry.outcome) = (nil, entry.outcome + ", contents lost") }
          return entry
        }
        try storage.record(usage, rest)
        forget(entries)
        throw ServerError("contents of the audit log could not be kept: \(error)")
      }
      state.withLock { state in
        state.entries = entries + state.entries
        for (key, count) in usage {
          var sum = state.usage[key, default: UsageCount()]
          sum.requests += count.requests
          sum.promptTokens += count.promptTokens
          sum.completionTokens += count.completionTokens
          state.usage[key] = sum
        }
      }
      throw error
    }
    forget(entries)
    // Other servers may have written down what they used of the same keys: it is looked up anew.
    state.withLock { $0.tokens = [:] }
  }

  private func forget(_ entries: [AuditEntry]) {
    state.withLock { $0.entryBytes -= entries.reduce(0) { $0 + $1.weight } }
  }
}

extension HTTPField.Name {
  /// Where Anthropic's clients put the key.
  static let apiKey = HTTPField.Name("X-Api-Key") ?? .authorization
}
