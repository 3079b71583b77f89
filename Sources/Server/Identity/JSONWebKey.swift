internal import Chat
internal import Crypto
internal import CryptoExtras
internal import Foundation

/// How tokens may be signed: with key pairs only, so that what verifies cannot sign. Neither `none` nor an HMAC is among them.
enum SignatureAlgorithm: String, Sendable, CaseIterable {
  /// RSASSA-PKCS1-v1_5 with SHA-256.
  case rs256 = "RS256"
  /// ECDSA over P-256 with SHA-256.
  case es256 = "ES256"
  /// Ed25519, under its older and its newer name (RFC 9864).
  case edDSA = "EdDSA"
  case ed25519 = "Ed25519"
}

/// A public key that verifies signatures of one kind (RFC 7517).
struct JSONWebKey: Sendable {
  private enum Material: Sendable {
    case rsa(_RSA.Signing.PublicKey)
    case p256(P256.Signing.PublicKey)
    case ed25519(Curve25519.Signing.PublicKey)
  }

  /// Bits of an RSA modulus: fewer are too weak, more take too long.
  static let rsaBits = 2048...8192

  /// What tokens call it.
  let id: String?
  private let material: Material
  /// The one algorithm that it is for, if it says so.
  private let algorithm: SignatureAlgorithm?

  /// Why an entry of a key set is no key to verify with.
  struct Unusable: Error, CustomStringConvertible {
    let description: String
    /// Whether it should not lie where it was found.
    var isSecret = false
  }

  /// - Throws: `Unusable`, also for keys that are for something else.
  init(_ entry: JSON) throws(Unusable) {
    guard let type = entry["kty"]?.text else { throw Unusable(description: "kty is missing") }
    if entry["d"] != nil || entry["k"] != nil {
      throw Unusable(
        description: "it is a private or a shared key: put the public key in its place", isSecret: true)
    }
    if let use = entry["use"]?.text, use != "sig" { throw Unusable(description: "its use is \(use), not sig") }
    if let operations = entry["key_ops"], operations.elements?.contains(.string("verify")) != true {
      throw Unusable(description: "its key_ops do not have verify")
    }
    id = entry["kid"]?.text
    if let name = entry["alg"]?.text {
      guard let algorithm = SignatureAlgorithm(rawValue: name) else {
        throw Unusable(
          description:
            "its alg is \(name): expected \(SignatureAlgorithm.allCases.map(\.rawValue).joined(separator: ", "))")
      }
      self.algorithm = algorithm
    } else {
      algorithm = nil
    }
    do { material = try JSONWebKey.material(entry, type) } catch let error as Unusable { throw error } catch {
      throw Unusable(description: "it is no valid key of kty \(type): \(error)")
    }
    if let algorithm, !fits(algorithm) {
      throw Unusable(description: "its alg is \(algorithm.rawValue), which does not go with kty \(type)")
    }
  }

  private static func material(_ entry: JSON, _ type: String) throws -> Material {
    func number(_ name: String) throws -> Data {
      guard let text = entry[name]?.text, let bytes = Base64URL.decode(text), !bytes.isEmpty else {
        throw Unusable(description: "\(name) is missing or no base64url")
      }
      return bytes
    }
    switch (type, entry["crv"]?.text) {
    case ("RSA", _):
      let key = try _RSA.Signing.PublicKey(n: try number("n"), e: try number("e"))
      guard rsaBits.contains(key.keySizeInBits) else {
        throw Unusable(
          description:
            "its modulus has \(key.keySizeInBits) bits: expected \(rsaBits.lowerBound) to \(rsaBits.upperBound)")
      }
      return .rsa(key)
    case ("EC", "P-256"):
      let (x, y) = (try number("x"), try number("y"))
      guard x.count == 32, y.count == 32 else {
        throw Unusable(description: "x and y have other lengths than 32 bytes")
      }
      return .p256(try P256.Signing.PublicKey(rawRepresentation: x + y))
    case ("OKP", "Ed25519"): return .ed25519(try Curve25519.Signing.PublicKey(rawRepresentation: try number("x")))
    case (_, let curve):
      throw Unusable(
        description: "kty \(type)\(curve.map { " on \($0)" } ?? ""): expected RSA, EC on P-256, or OKP on Ed25519")
    }
  }

  /// Whether the key is for signatures of this kind.
  func fits(_ algorithm: SignatureAlgorithm) -> Bool {
    switch (material, algorithm) {
    case (.rsa, .rs256), (.p256, .es256): self.algorithm == nil || self.algorithm == algorithm
    // Two names of one thing.
    case (.ed25519, .edDSA), (.ed25519, .ed25519): true
    default: false
    }
  }

  /// Whether a signature is this key's. False for a kind that the key is not for.
  func verifies(_ signature: Data, of message: Data, _ algorithm: SignatureAlgorithm) -> Bool {
    guard fits(algorithm) else { return false }
    switch material {
    case .rsa(let key):
      return key.isValidSignature(
        _RSA.Signing.RSASignature(rawRepresentation: signature), for: message, padding: .insecurePKCS1v1_5)
    case .p256(let key):
      guard signature.count == 64, let signature = try? P256.Signing.ECDSASignature(rawRepresentation: signature) else {
        return false
      }
      return key.isValidSignature(signature, for: message)
    case .ed25519(let key): return key.isValidSignature(signature, for: message)
    }
  }
}

/// The keys that an issuer signs with.
struct JSONWebKeySet: Sendable {
  let keys: [JSONWebKey]
  /// Why others are none to verify with.
  let unusable: [String]
  /// The first key that only the issuer should have.
  let secret: String?

  /// Keys that are looked at; no issuer has as many.
  static let most = 100

  /// Why a document is no key set.
  struct Unreadable: Error, CustomStringConvertible { let description: String }

  /// - Throws: `Unreadable` when there is no key to verify with.
  init(_ bytes: [UInt8]) throws(Unreadable) {
    let document: JSON
    do { document = try JSON(parsing: bytes) } catch {
      throw Unreadable(
        description: "is no JSON at byte \(error.offset): expected \(error.expected), found \(error.found)")
    }
    guard let entries = document["keys"]?.elements else {
      throw Unreadable(description: "is no key set: expected {\"keys\": […]}")
    }
    guard entries.count <= JSONWebKeySet.most else {
      throw Unreadable(description: "has \(entries.count) keys: expected at most \(JSONWebKeySet.most)")
    }
    var (keys, unusable, secret): ([JSONWebKey], [String], String?) = ([], [], nil)
    for (index, entry) in entries.enumerated() {
      do throws(JSONWebKey.Unusable) { keys.append(try JSONWebKey(entry)) } catch {
        unusable.append("keys[\(index)]: \(error.description)")
        if error.isSecret { secret = secret ?? unusable.last }
      }
    }
    guard !keys.isEmpty else {
      throw Unreadable(
        description: "has no key that verifies signatures"
          + (unusable.isEmpty ? "" : ": " + unusable.joined(separator: "; ")))
    }
    (self.keys, self.unusable, self.secret) = (keys, unusable, secret)
  }

  /// The keys that may have made a signature: those of the id that it names, or the only one of its kind.
  func keys(_ id: String?, _ algorithm: SignatureAlgorithm) -> [JSONWebKey] {
    let fitting = keys.filter { $0.fits(algorithm) }
    guard let id else { return fitting.count == 1 ? fitting : [] }
    return fitting.filter { $0.id == id }
  }

  /// Whether some key has this id, of whatever kind.
  func has(_ id: String?) -> Bool { id == nil || keys.contains { $0.id == id } }
}
