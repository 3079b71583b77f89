/// Why something could not be written or read back: the file, what was tried, and what the system said.
public struct ReportingError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The file.
  public let file: String
  /// What was tried, such as "write".
  public let action: String
  /// What came of it.
  public let reason: String

  /// One line for the user.
  public var description: String { "\(file): could not \(action): \(reason)" }
}
