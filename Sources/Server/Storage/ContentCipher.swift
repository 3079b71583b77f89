internal import Chat
internal import Crypto
internal import Foundation

/// What stored conversations are encrypted with: 256 bits from a file of the owner's, or from the environment.
public struct StorageKey: Sendable {
  /// The environment variable that may hold the key.
  public static let variable = "HEARTH_ENCRYPTION_KEY"

  /// Names the key in the rows that it encrypted, and tells nothing about it.
  public let id: String
  fileprivate let material: SymmetricKey

  /// Reads the key from a file: 64 hexadecimal digits or 32 bytes in base64, as `openssl rand -hex 32` writes them.
  ///
  /// - Throws: `ServerError` when the file is missing, is no key, or others can read it.
  public init(file path: String) throws(ServerError) {
    guard let attributes = FileManager.default.attributes(behind: path),
      let data = FileManager.default.contents(atPath: path)
    else { throw ServerError("\(path): cannot be read: expected a file with the encryption key") }
    let mode = attributes[.posixPermissions] as? Int ?? 0o777
    guard mode & 0o077 == 0 else {
      throw ServerError("\(path): others on this machine can read the key: chmod 600 \(path)")
    }
    try self.init(text: String(decoding: data, as: UTF8.self), place: path)
  }

  /// Takes the key from the environment, if it is there.
  public static func fromEnvironment() throws(ServerError) -> StorageKey? {
    guard let text = ProcessInfo.processInfo.environment[variable] else { return nil }
    return try StorageKey(text: text, place: "$" + variable)
  }

  /// - Parameter place: Where the text comes from, for messages.
  init(text: String, place: String) throws(ServerError) {
    let text = text.trimmingCharacters(in: .whitespacesAndNewlines)
    guard let bytes = StorageKey.hexadecimal(text) ?? Data(base64Encoded: text), bytes.count == 32 else {
      throw ServerError(
        "\(place): is no encryption key: expected 64 hexadecimal digits or 32 bytes in base64; make one with (umask 077; "
          + "openssl rand -hex 32 > FILE)")
    }
    let master = SymmetricKey(data: bytes)
    // Two independent keys from one, so that the name tells nothing about what encrypts.
    material = StorageKey.derive(master, "hearth stored conversations")
    id = StorageKey.derive(master, "hearth key id").withUnsafeBytes { Data($0.prefix(8)) }.hexadecimal
  }

  private static func derive(_ master: SymmetricKey, _ purpose: String) -> SymmetricKey {
    HKDF<SHA256>.deriveKey(inputKeyMaterial: master, info: Data(purpose.utf8), outputByteCount: 32)
  }

  private static func hexadecimal(_ text: String) -> Data? {
    let digits = text.utf8.map { Character(UnicodeScalar($0)).hexDigitValue }
    guard digits.count == 64 else { return nil }
    var bytes = Data()
    for index in stride(from: 0, to: 64, by: 2) {
      guard let high = digits[index], let low = digits[index + 1] else { return nil }
      bytes.append(UInt8(high << 4 | low))
    }
    return bytes
  }
}

/// Encrypts and decrypts the contents of rows, each bound to its row: AES-256-GCM (NIST SP 800-38D) with a random nonce.
struct ContentCipher: Sendable {
  let keyID: String
  private let key: SymmetricKey

  init(_ key: StorageKey) { (keyID, self.key) = (key.id, key.material) }

  /// Nonce, ciphertext and tag of `content`.
  ///
  /// - Parameter place: What the row says of itself, which cannot be changed without the content becoming unreadable: contents
  ///   cannot change places, owners or dates.
  func seal(_ content: Data, _ place: [String]) throws -> Data {
    let box = try AES.GCM.seal(content, using: key, authenticating: associated(place))
    guard let combined = box.combined else { throw ServerError("AES-GCM gave no nonce of its own") }
    return combined
  }

  /// - Throws: `ServerError` when the content is not what was sealed with this key at this place.
  func open(_ sealed: Data, _ place: [String]) throws(ServerError) -> Data {
    do {
      return try AES.GCM.open(try AES.GCM.SealedBox(combined: sealed), using: key, authenticating: associated(place))
    } catch {
      throw ServerError(
        "\(place.prefix(2).joined(separator: " ")): cannot be decrypted: it was changed, moved here from another row, or "
          + "encrypted with another key")
    }
  }

  private func associated(_ place: [String]) -> Data {
    Data(JSON.array((["hearth", keyID] + place).map { .string($0) }).bytes)
  }
}
