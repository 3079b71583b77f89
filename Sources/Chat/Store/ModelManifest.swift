internal import Engine
public import Foundation

/// What a name in the store stands for.
public struct ModelManifest: Codable, Sendable, Equatable {
  /// What the model is called.
  public var name: String
  /// A GGUF file, a Hugging Face folder or a run folder.
  public var path: String
  /// Where it came from.
  public var source: String
  /// The base of a fine-tuned model.
  public var parent: String?
  /// When it was recorded, seconds since 1970.
  public var date: Double
  /// Of a fine-tuned model: SHA-256 of the tokens it was trained and measured on.
  public var dataHash: String?
  /// Of a fine-tuned model: the lowest held-out loss of its run.
  public var bestLoss: Double?
  /// Of an alias: the model that was put behind it, as it was named then.
  public var target: String?
  /// Of an alias: what that was decided by.
  public var promotion: Promotion?
  /// Of an alias: what it stood for before, the latest last.
  public var history: [ModelManifest]?

  private enum CodingKeys: String, CodingKey {
    case name, path, source, parent, date, dataHash = "data_hash", bestLoss = "best_loss", target, promotion, history
  }

  /// Whether it is an alias, which `hearth promote` moves from model to model.
  public var isAlias: Bool { target != nil }

  /// A record; the date is now unless given.
  public init(
    name: String, path: String, source: String, parent: String? = nil, date: Double = Date().timeIntervalSince1970
  ) {
    self.name = name
    self.path = path
    self.source = source
    self.parent = parent
    self.date = date
  }

  /// - Throws: `StoreError` when `text` cannot name a model.
  static func requireName(_ text: String) throws(StoreError) {
    guard !isName(text) else { return }
    throw StoreError(
      "\(text): is not a name: use letters, digits, dots, dashes and underscores, beginning with a letter or digit")
  }

  /// Whether `text` can name a model: nothing that a file system or a shell could mistake.
  public static func isName(_ text: String) -> Bool {
    guard let first = text.unicodeScalars.first, text.utf8.count <= 100 else { return false }
    func isPlain(_ scalar: Unicode.Scalar) -> Bool {
      ("a"..."z").contains(scalar) || ("A"..."Z").contains(scalar) || ("0"..."9").contains(scalar)
    }
    return isPlain(first) && text.unicodeScalars.allSatisfy { isPlain($0) || "._-".unicodeScalars.contains($0) }
  }
}

/// Why the store cannot do what was asked.
public struct StoreError: Error, Sendable, Equatable, CustomStringConvertible {
  /// What is wrong and what to do about it.
  public let description: String
  init(_ description: String) { self.description = description }
}
