internal import Crypto
internal import Foundation
internal import NIOCore

/// A certificate that vouches for itself, for networks without an authority: clients are told to trust this one file.
///
/// An X.509 v3 certificate over a P-256 key, signed with ECDSA and SHA-256 (RFC 5280, RFC 5480). It has what strict clients want
/// of one that is its own authority: critical basic constraints and key usage, and key identifiers.
struct SelfSignedCertificate {
  let pem: String
  let keyPEM: String

  /// - Parameters:
  ///   - hosts: Names and addresses that it is for.
  ///   - from: When its validity of `days` begins.
  init(hosts: [String], from start: Date = Date(), days: Int = 730) throws {
    let key = P256.Signing.PrivateKey()
    let algorithm = DER.sequence([DER.objectIdentifier([1, 2, 840, 10045, 4, 3, 2])])
    let name = DER.sequence([
      DER.set([
        DER.sequence([DER.objectIdentifier([2, 5, 4, 3]), DER.text("hearth on \(hosts.first ?? "localhost")")])
      ])
    ])
    let serial = [UInt8](SymmetricKey(size: .bits128).withUnsafeBytes { Data($0) })
    let identifier = [UInt8](Insecure.SHA1.hash(data: key.publicKey.x963Representation))
    let body = DER.sequence([
      DER.tagged(0, DER.integer([2])), DER.integer([0x40 | (serial[0] & 0x3F)] + serial.dropFirst()), algorithm, name,
      DER.sequence([DER.time(start - 3600), DER.time(start + Double(days) * 86_400)]), name,
      [UInt8](key.publicKey.derRepresentation),
      DER.tagged(
        3,
        DER.sequence([
          DER.ext([2, 5, 29, 19], isCritical: true, DER.sequence([DER.true])),
          // Signatures of handshakes, and of certificates: its own.
          DER.ext([2, 5, 29, 15], isCritical: true, [0x03, 0x02, 0x02, 0x84]),
          DER.ext([2, 5, 29, 37], DER.sequence([DER.objectIdentifier([1, 3, 6, 1, 5, 5, 7, 3, 1])])),
          DER.ext([2, 5, 29, 17], DER.sequence(hosts.map(SelfSignedCertificate.alternativeName))),
          DER.ext([2, 5, 29, 14], DER.value(0x04, identifier)),
          DER.ext([2, 5, 29, 35], DER.sequence([DER.value(0x80, identifier)])),
        ])),
    ])
    let signature = try key.signature(for: Data(body)).derRepresentation
    let certificate = DER.sequence([body, algorithm, DER.value(0x03, [0] + signature)])
    let lines = Data(certificate).base64EncodedString(options: [.lineLength64Characters, .endLineWithLineFeed])
    pem = "-----BEGIN CERTIFICATE-----\n\(lines)\n-----END CERTIFICATE-----\n"
    keyPEM = key.pemRepresentation + "\n"
  }

  private static func alternativeName(_ host: String) -> [UInt8] {
    switch try? SocketAddress(ipAddress: host, port: 0) {
    case .v4(let address)?: DER.value(0x87, withUnsafeBytes(of: address.address.sin_addr) { Array($0) })
    case .v6(let address)?: DER.value(0x87, withUnsafeBytes(of: address.address.sin6_addr) { Array($0) })
    default: DER.value(0x82, Array(host.utf8))
    }
  }
}

/// The little of ASN.1's distinguished encoding rules (ITU-T X.690) that a certificate takes.
private enum DER {
  static let `true`: [UInt8] = [0x01, 0x01, 0xFF]

  static func value(_ tag: UInt8, _ content: [UInt8]) -> [UInt8] {
    var length: [UInt8] = []
    if content.count < 128 {
      length = [UInt8(content.count)]
    } else {
      var rest = content.count
      while rest > 0 {
        length.insert(UInt8(rest & 0xFF), at: 0)
        rest >>= 8
      }
      length.insert(0x80 | UInt8(length.count), at: 0)
    }
    return [tag] + length + content
  }

  static func sequence(_ parts: [[UInt8]]) -> [UInt8] { value(0x30, parts.flatMap { $0 }) }
  static func set(_ parts: [[UInt8]]) -> [UInt8] { value(0x31, parts.flatMap { $0 }) }
  static func tagged(_ number: UInt8, _ content: [UInt8]) -> [UInt8] { value(0xA0 | number, content) }
  /// A whole number whose first byte is below 128, so that it is not negative.
  static func integer(_ bytes: [UInt8]) -> [UInt8] { value(0x02, bytes) }
  static func text(_ text: String) -> [UInt8] { value(0x0C, Array(text.utf8)) }

  static func objectIdentifier(_ numbers: [Int]) -> [UInt8] {
    var content = [UInt8(numbers[0] * 40 + numbers[1])]
    for number in numbers.dropFirst(2) {
      var septets = [UInt8(number & 0x7F)]
      var rest = number >> 7
      while rest > 0 {
        septets.insert(0x80 | UInt8(rest & 0x7F), at: 0)
        rest >>= 7
      }
      content += septets
    }
    return value(0x06, content)
  }

  static func ext(_ identifier: [Int], isCritical: Bool = false, _ content: [UInt8]) -> [UInt8] {
    sequence([objectIdentifier(identifier)] + (isCritical ? [`true`] : []) + [value(0x04, content)])
  }

  /// "YYMMDDhhmmssZ"; years to 2049.
  static func time(_ date: Date) -> [UInt8] {
    value(0x17, date.ISO8601Format().dropFirst(2).utf8.filter { (0x30...0x39).contains($0) } + [UInt8(ascii: "Z")])
  }
}
