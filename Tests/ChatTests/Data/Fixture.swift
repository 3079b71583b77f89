import Foundation

/// The golden fixtures of this target: JSON files with the versions that made them and a `content`.
enum Fixture {
  /// The path of `name` under Tests/Fixtures.
  static func url(_ name: String) -> URL {
    URL(fileURLWithPath: #filePath)
      .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("Fixtures").appendingPathComponent(name)
  }

  /// The content of `name`.
  static func content<Content: Decodable>(_ name: String, as type: Content.Type) throws -> Content {
    try JSONDecoder().decode(File<Content>.self, from: Data(contentsOf: url(name))).content
  }

  private struct File<Content: Decodable>: Decodable {
    let content: Content
  }
}
