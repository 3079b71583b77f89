internal import Chat
internal import Foundation

/// Whose tokens are believed, and what they allow.
public struct OpenIDSettings: Sendable, Equatable {
  /// Where the issuer's keys come from.
  public enum Keys: Sendable, Equatable {
    /// What the issuer says of itself at `/.well-known/openid-configuration`.
    case discovery
    /// A file with a JSON Web Key Set, read again when it changes.
    case file(String)
  }

  /// What tokens must have as `iss`.
  public let issuer: String
  /// What tokens must have among their `aud`.
  public let audience: String
  /// What verifies signatures.
  public let keys: Keys
  /// The claim that says what may be done; points lead into objects, as in `realm_access.roles`.
  public var scopeClaim = "scope"
  /// Which scopes a word of the claim gives; empty when words are scopes themselves, as they are or behind `hearth:`.
  public var scopeMap: [String: Set<String>] = [:]
  /// Requests that each subject may make in a minute.
  public var requestsPerMinute: Int?
  /// Tokens that each subject may read and write in a day.
  public var tokensPerDay: Int?
  /// The models that each subject may ask, beside what its own jobs make; nil is any.
  public private(set) var models: Set<String>?

  /// - Throws: `ServerError` when the issuer is no address that keys can be fetched from safely.
  public init(issuer: String, audience: String, keys: Keys) throws(ServerError) {
    guard let url = URL(string: issuer), let host = url.host, url.query == nil, url.fragment == nil, url.user == nil,
      !issuer.contains(where: \.isWhitespace)
    else { throw ServerError("--oidc-issuer \(issuer): expected an address like https://login.example.org/realm") }
    guard OpenIDSettings.isSafe(url) || keys != .discovery else {
      throw ServerError(
        "--oidc-issuer \(issuer): \(host) would be asked for its keys without encryption: expected https, or give --oidc-keys"
      )
    }
    guard !audience.isEmpty else {
      throw ServerError("--oidc-audience: expected what tokens for this server have as aud")
    }
    (self.issuer, self.audience, self.keys) = (issuer, audience, keys)
  }

  /// Lets subjects ask these models, and no others but what their own jobs make.
  ///
  /// - Throws: `ServerError` when one is no name.
  public mutating func limit(to models: [String]) throws(ServerError) {
    try ModelNames.require(models)
    self.models = Set(models)
  }

  /// Adds `WORD=SCOPE,SCOPE`.
  ///
  /// - Throws: `ServerError` when it is none, or a scope is unknown.
  public mutating func map(_ text: String) throws(ServerError) {
    guard let split = text.firstIndex(of: "="), split != text.startIndex else {
      throw ServerError("--oidc-map \(text): expected WORD=SCOPE,SCOPE, for example staff=chat,embed")
    }
    let scopes = text[text.index(after: split)...].split(separator: ",").map(String.init)
    for scope in scopes where Scope(rawValue: scope) == nil {
      throw ServerError(
        "--oidc-map \(text): \(scope) is no scope: expected \(Scope.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    guard !scopes.isEmpty else { throw ServerError("--oidc-map \(text): expected at least one scope behind =") }
    scopeMap[String(text[..<split]), default: []].formUnion(scopes)
  }

  /// Whether what comes from an address is its own: encrypted, or from this machine.
  static func isSafe(_ url: URL) -> Bool {
    let host = url.host?.lowercased() ?? ""
    let isLocal = host == "localhost" || host == "::1" || host == "[::1]" || host.hasPrefix("127.")
    return url.scheme?.lowercased() == "https" || (url.scheme?.lowercased() == "http" && isLocal)
  }

  /// What a token's claims allow; nothing when they do not say.
  func scopes(_ claims: JSON) -> Set<Scope> {
    // Some issuers name their claims like addresses, which have points of their own.
    var value = claims[scopeClaim]
    if value == nil {
      value = claims
      for name in scopeClaim.split(separator: ".") { value = value?[String(name)] }
    }
    let words =
      value?.text.map { $0.split(separator: " ").map(String.init) } ?? value?.elements?.compactMap(\.text) ?? []
    return Set(
      words.flatMap { word -> [Scope] in
        guard scopeMap.isEmpty else { return (scopeMap[word] ?? []).compactMap(Scope.init) }
        return Scope(rawValue: word.hasPrefix("hearth:") ? String(word.dropFirst(7)) : word).map { [$0] } ?? []
      })
  }
}
