import Chat
import Foundation
import TestSupport

@testable import Server

/// A server with a tiny model on a free port of loopback, in this process.
struct TestServer: Sendable {
  let client: HTTPClient
  let storage: Storage
  /// The folder of the model, which goes by this path.
  let model: String
  let home: URL

  /// Runs `body` beside a server, which is ended and forgotten afterwards.
  ///
  /// - Parameter disk: Where its home lies.
  static func run(
    contextLength: Int = TinyChatFolder.contextLength, on disk: URL = FileManager.default.temporaryDirectory,
    _ change: (inout ServerSettings) -> Void = { _ in },
    prepare: (Storage) throws -> Void = { _ in },
    _ body: @escaping @Sendable (TestServer) async throws -> Void
  ) async throws {
    let folder = try TinyChatFolder.make()
    let home = disk.appending(path: "hearth-home-\(UUID().uuidString)")
    defer {
      try? FileManager.default.removeItem(at: folder)
      try? FileManager.default.removeItem(at: home)
    }
    let configuration = folder.appending(path: "config.json")
    let text = try String(contentsOf: configuration, encoding: .utf8)
    try text.replacing("\(TinyChatFolder.contextLength)", with: "\(contextLength)").write(
      to: configuration, atomically: false, encoding: .utf8)
    var settings = ServerSettings()
    settings.port = 0
    settings.threads = 1
    settings.store = ModelStore(home: home)
    settings.checksMemory = false
    change(&settings)
    let storage = try Storage(home: home)
    try prepare(storage)
    try await run(HearthServer(settings, isQuiet: true), storage, folder.path, home, body)
  }

  private static func run(
    _ server: HearthServer, _ storage: Storage, _ model: String, _ home: URL,
    _ body: @escaping @Sendable (TestServer) async throws -> Void
  ) async throws {
    let (listening, continuation) = AsyncStream<Int>.makeStream()
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        try await server.run([model]) { continuation.yield($0.port) }
        continuation.finish()
      }
      group.addTask {
        for await port in listening {
          try await body(TestServer(client: HTTPClient(port: port), storage: storage, model: model, home: home))
          return
        }
        throw ClientError(text: "the server ended before it listened")
      }
      try await group.next()
      group.cancelAll()
      // The server ends with an error, because it was cancelled.
      while let result = await group.nextResult() { _ = result }
    }
  }

  /// Messages with one question.
  static func question(_ text: String) -> JSON { [["role": "user", "content": .string(text)]] }

  func chat(_ members: KeyValuePairs<String, JSON?>) async throws -> HTTPClient.Reply {
    guard case .object(let given) = JSON.object(members) else { throw ClientError(text: "no object") }
    var all: [JSONElement.Member] = [.init(key: "model", value: .string(model))]
    if !given.contains(where: { $0.key == "messages" }) {
      all.append(.init(key: "messages", value: TestServer.question("Hello there")))
    }
    return try await client.post("/v1/chat/completions", .object(all + given))
  }
}

extension JSONElement {
  /// The element of a list.
  subscript(index: Int) -> JSON? { elements.flatMap { $0.indices.contains(index) ? $0[index] : nil } }
  var number: Double? {
    if case .number(let text) = self { return Double(text) }
    return nil
  }
}
