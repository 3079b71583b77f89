import Crypto
import Foundation
import Synchronization
import TestSupport
import Testing

@testable import Chat

/// `hearth pull hf:…` against a small Hub and the separate host that holds its large files.
@Suite struct PullHuggingFaceTests {
  static let commit = "0123456789abcdef0123456789abcdef01234567"

  static func read(_ name: String) throws -> [UInt8] {
    [UInt8](try Data(contentsOf: URL(filePath: Fixtures.path("models/llama/" + name))))
  }

  static func gitHash(_ bytes: [UInt8]) -> String {
    Insecure.SHA1.hash(data: Data("blob \(bytes.count)\0".utf8) + Data(bytes)).map { String(format: "%02x", $0) }
      .joined()
  }

  /// The Hub, and where its large files lie.
  struct Hub {
    let endpoint: LoopbackServer
    let storage: LoopbackServer

    /// - Parameters:
    ///   - large: Files that lie in the storage, by name; the other files lie in the Hub.
    ///   - damage: Changes an answer of the storage.
    init(
      small: [String: [UInt8]], large: [String: [UInt8]], listing: [String]? = nil, token: String? = nil,
      damage: @escaping @Sendable (inout LoopbackServer.Response, LoopbackServer.Request) -> Void = { _, _ in }
    ) throws {
      let storage = try LoopbackServer { request in
        guard let bytes = large[String(request.path.dropFirst(5))] else { return .init(status: 404) }
        var response = LoopbackServer.Response.file(bytes, tag: "\"storage\"", request)
        damage(&response, request)
        return response
      }
      self.storage = storage
      let address = storage.url
      let names = listing ?? (Array(small.keys) + Array(large.keys)).sorted()
      endpoint = try LoopbackServer { request in
        if let token, request.headers["authorization"] != "Bearer \(token)" {
          return .init(status: 401, headers: ["X-Error-Code": "GatedRepo"])
        }
        if request.path == "/api/models/org/tiny/revision/main" {
          let files = names.map { #"{"rfilename":"\#($0)"}"# }.joined(separator: ",")
          return .init(body: Array(#"{"sha":"\#(PullHuggingFaceTests.commit)","siblings":[\#(files)]}"#.utf8))
        }
        let parts = request.path.split(separator: "/").map(String.init)
        guard parts.count == 5, parts[0] == "org", parts[1] == "tiny" else { return .init(status: 404) }
        let commit = ["X-Repo-Commit": PullHuggingFaceTests.commit]
        if let bytes = small[parts[4]] {
          var response = LoopbackServer.Response.file(
            bytes, tag: "\"\(PullHuggingFaceTests.gitHash(bytes))\"", request)
          response.headers.merge(commit) { $1 }
          return response
        }
        guard let bytes = large[parts[4]] else { return .init(status: 404, headers: ["X-Error-Code": "EntryNotFound"]) }
        let headers = [
          "Location": "\(address)/big/\(parts[4])", "X-Linked-Size": "\(bytes.count)",
          "X-Linked-ETag": "\"\(PullAddressTests.hash(bytes))\"",
        ]
        return .init(status: 302, headers: headers.merging(commit) { $1 })
      }
    }
  }

  static func place(_ hub: Hub, token: String? = nil) throws -> PullAddressTests.Place {
    var place = try PullAddressTests.Place()
    place.options.endpoint = hub.endpoint.url
    place.options.token = token
    return place
  }

  static func repository() throws -> (small: [String: [UInt8]], large: [String: [UInt8]]) {
    (
      ["config.json": try read("config.json"), "tokenizer.json": Array("{}".utf8), "README.md": Array("hi".utf8)],
      ["model.safetensors": try read("model.safetensors"), "pytorch_model.bin": [1, 2, 3]]
    )
  }

  @Test func fetchesARepositoryIntoTheSharedCache() throws {
    let (small, large) = try Self.repository()
    let hub = try Hub(small: small, large: large, token: "secret")
    let place = try Self.place(hub, token: "secret")
    defer { place.remove() }
    let manifest = try place.store.pull("hf:org/tiny", options: place.options)
    #expect(manifest.name == "tiny")
    #expect(manifest.source == "hf:org/tiny")

    // The layout that huggingface_hub writes and reads.
    let cache = place.options.cache.appending(path: "models--org--tiny").path
    #expect(manifest.path == cache + "/snapshots/" + Self.commit)
    #expect(try String(contentsOfFile: cache + "/refs/main", encoding: .utf8) == Self.commit)
    let manager = FileManager.default
    #expect(
      try manager.contentsOfDirectory(atPath: manifest.path).sorted() == [
        "config.json", "model.safetensors", "tokenizer.json",
      ])
    for (name, bytes) in [("config.json", small["config.json"]), ("model.safetensors", large["model.safetensors"])] {
      let bytes = try #require(bytes)
      let tag = name == "config.json" ? Self.gitHash(bytes) : PullAddressTests.hash(bytes)
      #expect(try manager.destinationOfSymbolicLink(atPath: manifest.path + "/" + name) == "../../blobs/" + tag)
      #expect(manager.contents(atPath: cache + "/blobs/" + tag) == Data(bytes))
    }
    #expect(HuggingFaceCache(folder: place.options.cache).path(of: "hf:org/tiny") == manifest.path)

    // The token went to the Hub and nowhere else.
    #expect(hub.endpoint.requests.allSatisfy { $0.headers["authorization"] == "Bearer secret" })
    #expect(hub.storage.requests.count == 1)
    #expect(hub.storage.requests.allSatisfy { $0.headers["authorization"] == nil })

    // Nothing is fetched twice.
    _ = try place.store.pull("hf:org/tiny", options: place.options)
    #expect(hub.storage.requests.count == 1)
    #expect(!hub.endpoint.requests.contains { $0.method == "GET" && $0.path.hasSuffix("README.md") })
  }

  @Test func fetchesOneFile() throws {
    let hub = try Hub(small: [:], large: ["m-Q8_0.gguf": PullAddressTests.model])
    let place = try Self.place(hub)
    defer { place.remove() }
    let manifest = try place.store.pull("hf:org/tiny/m-Q8_0.gguf", name: "n", options: place.options)
    #expect(manifest.path.hasSuffix("/snapshots/\(Self.commit)/m-Q8_0.gguf"))
    #expect(try ModelFacts(place.store.locate("n")).architecture == "llama")
    PullAddressTests.expectFailure("no file b.gguf", "org/tiny") {
      _ = try place.store.pull("hf:org/tiny/b.gguf", options: place.options)
    }
  }

  @Test func goesOnWithWhatAnotherToolBegan() throws {
    let hub = try Hub(small: [:], large: ["m.gguf": PullAddressTests.model]) { response, request in
      if request.headers["range"] == "bytes=1000-" { response.cut = 5000 }
    }
    let place = try Self.place(hub)
    defer { place.remove() }
    let blobs = place.options.cache.appending(path: "models--org--tiny/blobs")
    try FileManager.default.createDirectory(at: blobs, withIntermediateDirectories: true)
    let partial = blobs.appending(path: PullAddressTests.hash(PullAddressTests.model) + ".incomplete")
    try Data(PullAddressTests.model.prefix(1000)).write(to: partial)
    _ = try place.store.pull("hf:org/tiny/m.gguf", options: place.options)
    #expect(hub.storage.requests.compactMap { $0.headers["range"] } == ["bytes=1000-", "bytes=6000-"])
    #expect(!FileManager.default.fileExists(atPath: partial.path))
  }

  @Test func refusesDamageOnTheWay() throws {
    let hub = try Hub(small: [:], large: ["m.gguf": PullAddressTests.model]) { response, _ in response.body[200] ^= 1 }
    let place = try Self.place(hub)
    defer { place.remove() }
    PullAddressTests.expectFailure("m.gguf was damaged", PullAddressTests.hash(PullAddressTests.model), "pull again") {
      _ = try place.store.pull("hf:org/tiny/m.gguf", options: place.options)
    }
    let short = try Hub(small: [:], large: ["m.gguf": PullAddressTests.model]) { response, _ in
      response.body.removeLast(10)
    }
    let other = try Self.place(short)
    defer { other.remove() }
    PullAddressTests.expectFailure("offers \(PullAddressTests.model.count - 10) bytes", "expected") {
      _ = try other.store.pull("hf:org/tiny/m.gguf", options: other.options)
    }
    #expect(try place.store.list().isEmpty && other.store.list().isEmpty)
  }

  @Test func saysWhichFilesThereAre() throws {
    let cases: [([String], [String])] = [
      (
        ["a.gguf", "b-Q4_0.gguf", "README.md"],
        ["hearth pull hf:org/tiny/a.gguf", "hearth pull hf:org/tiny/b-Q4_0.gguf"]
      ),
      (["config.json", "pytorch_model.bin"], ["pickles"]),
      (["adapter_config.json", "adapter_model.safetensors"], ["an adapter"]),
      ([], ["found nothing"]),
      (["../../etc/passwd", "x.txt"], ["found x.txt"]),
    ]
    for (listing, words) in cases {
      let hub = try Hub(small: [:], large: [:], listing: listing)
      let place = try Self.place(hub)
      defer { place.remove() }
      do {
        _ = try place.store.pull("hf:org/tiny", options: place.options)
        Issue.record("\(listing) was accepted")
      } catch {
        for word in words { #expect("\(error)".contains(word), "\(error)") }
      }
    }
  }

  @Test func fetchesTheShardsThatTheIndexNames() throws {
    func fixture(_ name: String) throws -> [UInt8] {
      [UInt8](try Data(contentsOf: URL(filePath: Fixtures.path("files/sharded/" + name))))
    }
    let shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    let large = Dictionary(uniqueKeysWithValues: try shards.map { ($0, try fixture($0)) })
    let index = "model.safetensors.index.json"
    let small = [index: try fixture(index), "config.json": try fixture("config.json")]
    let hub = try Hub(small: small, large: large)
    let place = try Self.place(hub)
    defer { place.remove() }
    let manifest = try place.store.pull("hf:org/tiny", options: place.options)
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: manifest.path).sorted()
        == (shards + [index, "config.json"]).sorted())

    let broken = try Hub(small: small, large: [shards[0]: large[shards[0]] ?? []])
    let other = try Self.place(broken)
    defer { other.remove() }
    PullAddressTests.expectFailure(index, shards[1], "incomplete") {
      _ = try other.store.pull("hf:org/tiny", options: other.options)
    }
    // Half a repository is not offered as a model.
    #expect(HuggingFaceCache(folder: other.options.cache).path(of: "hf:org/tiny") == nil)
  }

  @Test func explainsWhoMayNotRead() throws {
    let (small, large) = try Self.repository()
    let hub = try Hub(small: small, large: large, token: "secret")
    let place = try Self.place(hub)
    defer { place.remove() }
    PullAddressTests.expectFailure("hf:org/tiny", "accepted its terms", "HF_TOKEN") {
      _ = try place.store.pull("hf:org/tiny", options: place.options)
    }
    let plain = try Hub(small: [:], large: [:])
    let open = try Self.place(plain)
    defer { open.remove() }
    PullAddressTests.expectFailure("hf:org/absent", "no such repository") {
      _ = try place.store.pull("hf:org/absent", options: open.options)
    }
    let stranger = try LoopbackServer { _ in .init(body: Array("<html>Welcome to the hotel's network".utf8)) }
    var options = place.options
    options.endpoint = stranger.url
    PullAddressTests.expectFailure("HF_ENDPOINT") { _ = try place.store.pull("hf:org/tiny", options: options) }
  }

  @Test func readsTheEnvironment() {
    let options = PullOptions(environment: [
      "HF_ENDPOINT": "http://mirror.example:8080", "HF_TOKEN": " t\n", "HF_HUB_CACHE": "/a/b", "HF_HOME": "/c",
    ])
    #expect(options.endpoint.absoluteString == "http://mirror.example:8080")
    #expect(options.token == "t")
    #expect(options.cache.path == "/a/b")
    let home = PullOptions(environment: ["HF_HOME": "/c", "HF_TOKEN": "a\r\nX: b"])
    #expect(home.cache.path == "/c/hub")
    #expect(home.token == nil)
    #expect(home.endpoint.absoluteString == "https://huggingface.co")
  }
}
