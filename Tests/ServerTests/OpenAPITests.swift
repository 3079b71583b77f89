import Chat
import Foundation
import HTTPTypes
import Logging
import Testing

@testable import Server

@Suite struct OpenAPITests {
  @Test func theDocumentHasEveryRouteAndWhoMayUseIt() throws {
    let path = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../Docs/openapi.json")
    let document = try JSON(parsing: Array(Data(contentsOf: path)))
    var documented: [String: String] = [:]
    for (path, operations) in (document["paths"]?.members ?? []).map({ ($0.key, $0.value) }) {
      for method in operations.keys {
        documented[method.uppercased() + " " + path] = operations[method]?["x-scope"]?.text
      }
    }
    let home = FileManager.default.temporaryDirectory.appending(path: "hearth-home-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: home) }
    let state = ServerState(
      ServerSettings(), storage: try Storage(home: home), room: EngineRoom(), logger: Logger(label: "test"), started: 0)
    var served: [String: String] = [:]
    for endpoint in HearthServer.routes(state).endpoints {
      let scope: String
      switch endpoint.access {
      case .open: scope = "none"
      case .scope(let needed): scope = needed.rawValue
      }
      served[endpoint.method.rawValue + " " + endpoint.path] = scope
    }
    #expect(documented == served)
  }
}
