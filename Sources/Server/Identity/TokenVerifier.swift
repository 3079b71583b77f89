internal import Chat
internal import Foundation

/// Why a bearer token opens nothing.
struct TokenError: Error, Sendable, Equatable {
  enum Kind: String, Sendable {
    case malformed, algorithm, unknownKey, signature, issuer, audience, expired, early, claims
  }

  let kind: Kind
  /// For whoever sent it. Nothing that the issuer has not told them already.
  let message: String

  init(_ kind: Kind, _ message: String) {
    self.kind = kind
    self.message = message
  }
}

/// A token in three parts, not yet believed: JSON Web Signature in its compact form (RFC 7515).
struct JSONWebToken: Sendable {
  let algorithm: SignatureAlgorithm
  let keyID: String?
  let claims: JSON
  /// What is signed: the first two parts as they came.
  let message: Data
  let signature: Data

  /// The longest that is looked at.
  static let mostBytes = 16 << 10

  /// Whether a text may be a token and not one of the server's own keys.
  static func isOne(_ text: String) -> Bool {
    text.utf8.count { $0 == UInt8(ascii: ".") } == 2 && !text.hasPrefix("hearth_")
  }

  /// - Throws: `TokenError`.
  init(_ text: String) throws(TokenError) {
    guard text.utf8.count <= JSONWebToken.mostBytes else {
      throw TokenError(.malformed, "the token has more than \(JSONWebToken.mostBytes) bytes")
    }
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 3, let head = Base64URL.decode(parts[0]), let body = Base64URL.decode(parts[1]),
      let signature = Base64URL.decode(parts[2])
    else { throw TokenError(.malformed, "the token is not three parts of base64url") }
    // The reader refuses repeated members: two readers of one token must not see different claims.
    guard let header = try? JSON(parsing: Array(head)), header.members != nil,
      let claims = try? JSON(parsing: Array(body)), claims.members != nil
    else { throw TokenError(.malformed, "the token's parts are no JSON objects") }
    guard let name = header["alg"]?.text, let algorithm = SignatureAlgorithm(rawValue: name) else {
      throw TokenError(
        .algorithm,
        "the token is signed with \"\((header["alg"]?.text ?? "").prefix(20))\": expected "
          + SignatureAlgorithm.allCases.map(\.rawValue).joined(separator: ", "))
    }
    guard header["crit"] == nil, header["b64"] == nil else {
      throw TokenError(.malformed, "the token's header asks for extensions that this server does not know")
    }
    if let type = header["typ"] {
      // Tokens for other purposes (the end of a session, proof of possession) are signed with the same keys.
      let known = ["jwt", "at+jwt", "application/at+jwt", "application/jwt"]
      guard let text = type.text?.lowercased(), known.contains(text) else {
        throw TokenError(.malformed, "the token's typ is neither JWT nor at+jwt")
      }
    }
    if let id = header["kid"], id.text == nil { throw TokenError(.malformed, "the token's kid is no string") }
    (self.algorithm, keyID, self.claims, self.signature) = (algorithm, header["kid"]?.text, claims, signature)
    message = Data(parts[0].utf8) + Data(".".utf8) + Data(parts[1].utf8)
  }
}

/// Decides what a token says and whether to believe it. A value that has neither clock nor network: its tests are tables.
struct TokenVerifier: Sendable {
  let settings: OpenIDSettings
  /// How far clocks may be apart, seconds.
  static let leeway = 30.0

  /// Who sent the token.
  ///
  /// - Throws: `TokenError`; one of kind `unknownKey` may be right with the issuer's newest keys.
  func principal(_ token: JSONWebToken, _ keys: JSONWebKeySet, now: Date) throws(TokenError) -> Principal {
    let candidates = keys.keys(token.keyID, token.algorithm)
    guard !candidates.isEmpty else {
      guard keys.has(token.keyID), token.keyID != nil else {
        throw TokenError(.unknownKey, "the token is signed with a key that its issuer does not have")
      }
      throw TokenError(.algorithm, "the token's key is not for \(token.algorithm.rawValue)")
    }
    guard candidates.contains(where: { $0.verifies(token.signature, of: token.message, token.algorithm) }) else {
      throw TokenError(.signature, "the token's signature is not its issuer's")
    }
    let claims = token.claims
    guard claims["iss"]?.text == settings.issuer else { throw TokenError(.issuer, "the token is of another issuer") }
    let audiences = claims["aud"]?.text.map { [JSON.string($0)] } ?? claims["aud"]?.elements ?? []
    guard audiences.contains(.string(settings.audience)) else {
      throw TokenError(.audience, "the token is for others: its aud is not \(settings.audience)")
    }
    try checkTimes(claims, now.timeIntervalSince1970)
    guard let subject = claims["sub"]?.text, TokenVerifier.isName(subject) else {
      throw TokenError(.claims, "the token's sub is missing or no line of 1 to 255 bytes")
    }
    return Principal(
      // The issuer has no spaces, so that no two pairs look alike; another issuer's subject of that name is somebody else.
      id: "oidc:\(subject) \(settings.issuer)", name: subject, scopes: settings.scopes(claims),
      requestsPerMinute: settings.requestsPerMinute, tokensPerDay: settings.tokensPerDay, models: settings.models,
      isToken: true)
  }

  private func checkTimes(_ claims: JSON, _ now: Double) throws(TokenError) {
    func time(_ name: String) throws(TokenError) -> Double? {
      guard let value = claims[name] else { return nil }
      guard case .number(let text) = value, let seconds = Double(text), seconds.isFinite else {
        throw TokenError(.claims, "the token's \(name) is no number")
      }
      return seconds
    }
    guard let end = try time("exp") else { throw TokenError(.claims, "the token has no exp, so it would never end") }
    guard now < end + TokenVerifier.leeway else { throw TokenError(.expired, "the token has expired") }
    if let start = try time("nbf"), now < start - TokenVerifier.leeway {
      throw TokenError(.early, "the token is not valid yet")
    }
    if let made = try time("iat"), now < made - TokenVerifier.leeway {
      throw TokenError(.early, "the token was made in the future")
    }
  }

  private static func isName(_ text: String) -> Bool {
    (1...255).contains(text.utf8.count)
      && text.unicodeScalars.allSatisfy {
        switch $0.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .unassigned, .privateUse: false
        default: true
        }
      }
  }
}
