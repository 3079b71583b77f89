internal import Crypto
internal import Foundation

/// What a file's content must hash to.
enum ContentHash: Sendable, Equatable {
  /// Hexadecimal.
  case sha256(String)
  /// As git names a file: SHA-1 of "blob LENGTH\0" and the content, hexadecimal.
  case gitBlob(String)

  /// The hash that an ETag of the Hugging Face Hub is; nil when it is neither kind.
  init?(eTag: String) {
    guard eTag.allSatisfy({ $0.isASCII && $0.isHexDigit }) else { return nil }
    switch eTag.count {
    case 64: self = .sha256(eTag.lowercased())
    case 40: self = .gitBlob(eTag.lowercased())
    default: return nil
    }
  }

  var text: String {
    switch self {
    case .sha256(let text), .gitBlob(let text): text
    }
  }

  /// The hash of the same kind that the file at `path` has.
  func ofFile(_ path: String) throws(StoreError) -> ContentHash {
    switch self {
    case .sha256: return .sha256(try ContentHash.sha256(ofFile: path))
    case .gitBlob:
      var hash = Insecure.SHA1()
      let length = (try? FileManager.default.attributesOfItem(atPath: path)[.size] as? Int) ?? 0
      hash.update(data: Data("blob \(length)\0".utf8))
      try ContentHash.read(path) { hash.update(data: $0) }
      return .gitBlob(ContentHash.hexadecimal(hash.finalize()))
    }
  }

  /// SHA-256 of the file at `path`, hexadecimal.
  static func sha256(ofFile path: String) throws(StoreError) -> String {
    var hash = SHA256()
    try read(path) { hash.update(data: $0) }
    return hexadecimal(hash.finalize())
  }

  /// SHA-256 of a text, hexadecimal.
  static func sha256(of text: String) -> String { hexadecimal(SHA256.hash(data: Data(text.utf8))) }

  private static func read(_ path: String, _ use: (Data) -> Void) throws(StoreError) {
    do {
      let handle = try FileHandle(forReadingFrom: URL(filePath: path))
      defer { try? handle.close() }
      while let piece = try handle.read(upToCount: 1 << 22), !piece.isEmpty { use(piece) }
    } catch {
      throw StoreError("\(path): cannot be read: \(error.localizedDescription)")
    }
  }

  private static func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }
}
