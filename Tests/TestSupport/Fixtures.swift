public import Foundation

/// The committed golden data, found from the place of this file.
public enum Fixtures {
  /// `Tests/Fixtures`.
  public static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "Fixtures")

  /// The path of a fixture, "models/llama/config.json".
  public static func path(_ name: String) -> String { folder.appending(path: name).path }
}
