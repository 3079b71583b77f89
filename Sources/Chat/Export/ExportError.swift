/// Why a model cannot be exported as asked.
public struct ExportError: Error, Sendable, Equatable, CustomStringConvertible {
  public let description: String
  init(_ description: String) { self.description = description }
}
