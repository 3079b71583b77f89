internal import Foundation

/// Base64 with the alphabet of URLs and without padding, as JSON Web Signatures have it (RFC 7515, section 2).
enum Base64URL {
  /// The bytes of a text; nil when it is not exactly what encoding them gives, so that no two texts stand for the same bytes.
  static func decode(_ text: some StringProtocol) -> Data? {
    guard text.utf8.allSatisfy({ isDigit($0) }) else { return nil }
    var plain = String(text).replacing("-", with: "+").replacing("_", with: "/")
    plain += String(repeating: "=", count: (4 - plain.utf8.count % 4) % 4)
    guard let data = Data(base64Encoded: plain), encode(data) == text else { return nil }
    return data
  }

  /// The text of bytes.
  static func encode(_ data: Data) -> String {
    data.base64EncodedString().replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
  }

  private static func isDigit(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
      true
    default: false
    }
  }
}
