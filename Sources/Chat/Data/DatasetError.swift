/// Why a data file, or one line of it, cannot be used: where, what was expected, what was found, what to do.
public struct DatasetError: Error, Sendable, Equatable, CustomStringConvertible {
  /// What went wrong, for code that must tell problems apart.
  public enum Kind: String, Sendable, CaseIterable {
    case cannotOpen, isFolder, cannotRead, emptyFile, wrongEncoding, compressed, fileTooLong
    case lineTooLong, invalidUTF8, nulCharacter, loneSurrogate, malformedJSON, truncated, tooDeep
    case duplicateKey, notAnObject, unknownShape, ambiguousShape, mixedShapes, unsupportedKey
    case missingKey, notText, notAList, emptyConversation, unknownRole, noAssistantTurn, emptyAnswer
    case invalidSettings
    case templateFailed, templateNotPrefixStable, tokenizerFailed
  }

  /// What went wrong.
  public let kind: Kind
  /// The data file, as the user named it.
  public let file: String
  /// The line, counted from 1; nil when the whole file is meant.
  public let line: Int?
  /// What the reader was looking for, as it follows "expected".
  public let expected: String
  /// What was there instead.
  public let found: String
  /// What the user can do about it.
  public let remedy: String

  /// Describes one problem.
  public init(
    _ kind: Kind, file: String, line: Int? = nil, expected: String, found: String, remedy: String
  ) {
    self.kind = kind
    self.file = file
    self.line = line
    self.expected = expected
    self.found = found
    self.remedy = remedy
  }

  /// `chats.jsonl:12: expected …, found …; …`, one line.
  public var description: String {
    let place = line.map { "\(file):\($0)" } ?? file
    return "\(place): expected \(expected), found \(found); \(remedy)"
  }
}
