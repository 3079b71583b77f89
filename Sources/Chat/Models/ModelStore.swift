public import Foundation

/// The models on this machine.
public struct ModelStore: Sendable {
  /// Where a model lies and what to call it.
  public struct Location: Sendable, Equatable {
    public let path: String
    public let name: String
  }

  /// `$HEARTH_HOME`, else `$XDG_DATA_HOME/hearth`, else `~/.local/share/hearth`.
  public let home: URL

  public init(home: URL? = nil) {
    let environment = ProcessInfo.processInfo.environment
    func folder(_ key: String) -> URL? {
      environment[key].flatMap { $0.isEmpty ? nil : URL(filePath: $0) }
    }
    self.home =
      home ?? folder("HEARTH_HOME") ?? folder("XDG_DATA_HOME")?.appending(path: "hearth")
      ?? FileManager.default.homeDirectoryForCurrentUser.appending(path: ".local/share/hearth")
  }

  /// Finds a model by its name in the store or its path.
  ///
  /// - Throws: `RunError` when there is neither.
  public func locate(_ model: String) throws -> Location {
    if FileManager.default.fileExists(atPath: model) { return Location(path: model, name: model) }
    throw RunError("\(model): there is no model of this name and no file or folder of this path")
  }
}
