import Crypto
import Foundation
import Synchronization
import Testing

@testable import Chat

/// `hearth pull http://…` against a server that misbehaves in every way that servers do.
@Suite struct PullAddressTests {
  static let model: [UInt8] = smallGGUF()

  /// The smallest file that opens: an architecture and one F32 vector of 4,096 numbers.
  static func smallGGUF() -> [UInt8] {
    func integer<T: FixedWidthInteger>(_ value: T) -> [UInt8] { withUnsafeBytes(of: value.littleEndian) { Array($0) } }
    func string(_ text: String) -> [UInt8] { integer(UInt64(text.utf8.count)) + Array(text.utf8) }
    var bytes: [UInt8] = Array("GGUF".utf8) + integer(UInt32(3)) + integer(UInt64(1)) + integer(UInt64(1))
    bytes += string("general.architecture") + integer(UInt32(8)) + string("llama")
    bytes += string("norm") + integer(UInt32(1)) + integer(UInt64(4096)) + integer(UInt32(0)) + integer(UInt64(0))
    while bytes.count % 32 != 0 { bytes.append(0) }
    return bytes + (0..<4096 * 4).map { UInt8(truncatingIfNeeded: $0 / 4 * 7 % 64) }
  }

  static func hash(_ bytes: [UInt8]) -> String {
    SHA256.hash(data: Data(bytes)).map { String(format: "%02x", $0) }.joined()
  }

  /// A store of one test, and options that do not make it wait.
  struct Place {
    let folder: URL
    var store: ModelStore { ModelStore(home: folder) }
    var options: PullOptions

    init() throws {
      folder = FileManager.default.temporaryDirectory.appending(path: "hearth-pull-\(UUID().uuidString)")
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
      options = PullOptions(environment: ["HF_HOME": folder.appending(path: "hf").path])
      options.retries = HTTPClient.Retries(limit: 3, delay: 0.01, longestDelay: 0.02)
    }

    /// What lies in the store's folder of blobs, hidden files included.
    var blobs: [String] {
      ((try? FileManager.default.contentsOfDirectory(atPath: store.blobs.path)) ?? []).sorted()
    }

    func remove() { try? FileManager.default.removeItem(at: folder) }
  }

  static func expectFailure(_ words: String..., from pull: () throws -> Void) {
    do {
      try pull()
      Issue.record("was accepted")
    } catch {
      for word in words { #expect("\(error)".contains(word), "\(error)") }
    }
  }

  @Test func fetchesNamesAndFindsAgain() throws {
    let place = try Place()
    defer { place.remove() }
    let server = try LoopbackServer { .file(Self.model, tag: "\"a\"", $0) }
    let url = server.url.appending(path: "x/Tiny Model.gguf").absoluteString
    let manifest = try place.store.pull(url, options: place.options)
    #expect(manifest.name == "tiny-model")
    #expect(manifest.source == url)
    #expect(FileManager.default.contents(atPath: manifest.path) == Data(Self.model))
    #expect(place.blobs == ["sha256-" + Self.hash(Self.model)])
    #expect(try place.store.locate("tiny-model").path == manifest.path)
    #expect(try place.store.pull(url, name: "b", options: place.options).name == "b")
    // The file stays while any name needs it.
    try place.store.remove("tiny-model")
    #expect(place.blobs.count == 1)
    try place.store.remove("b")
    #expect(place.blobs.isEmpty)
  }

  @Test func goesOnWhereAConnectionWasCut() throws {
    let place = try Place()
    defer { place.remove() }
    let server = try LoopbackServer { .file(Self.model, tag: "\"a\"", $0, cut: 3000) }
    let manifest = try place.store.pull("\(server.url)/m.gguf", options: place.options)
    #expect(FileManager.default.contents(atPath: manifest.path) == Data(Self.model))
    let starts = server.requests.compactMap { $0.headers["range"] }
    #expect(starts.first == "bytes=3000-")
    #expect(starts.count == Self.model.count / 3000)
    #expect(server.requests.dropFirst().allSatisfy { $0.headers["if-range"] == "\"a\"" })
  }

  @Test func goesOnInAnotherProcessAndNoticesAnotherFile() throws {
    let place = try Place()
    defer { place.remove() }
    let state = Mutex((tag: "\"a\"", isCut: true))
    let server = try LoopbackServer { request in
      let (tag, isCut) = state.withLock { ($0.tag, $0.isCut) }
      if isCut, request.headers["range"] != nil { return .init(status: 404) }
      return .file(Self.model, tag: tag, request, cut: isCut ? 5000 : nil)
    }
    let address = "\(server.url)/m.gguf"
    Self.expectFailure("404", "no such file") { _ = try place.store.pull(address, options: place.options) }
    // Half a file is no model: nothing is recorded, the piece is kept.
    #expect(try place.store.list().isEmpty)
    #expect(place.blobs.contains { $0.hasPrefix(".partial-") })
    state.withLock { $0.isCut = false }
    _ = try place.store.pull(address, options: place.options)
    #expect(server.requests.last?.headers["range"] == "bytes=5000-")
    #expect(place.blobs == ["sha256-" + Self.hash(Self.model)])

    // A piece of a file that has changed since is thrown away.
    try place.store.remove("m")
    state.withLock { $0.isCut = true }
    Self.expectFailure("404") { _ = try place.store.pull(address, options: place.options) }
    state.withLock { $0 = ("\"b\"", false) }
    let manifest = try place.store.pull(address, options: place.options)
    #expect(FileManager.default.contents(atPath: manifest.path) == Data(Self.model))
  }

  @Test func worksWithoutRanges() throws {
    let place = try Place()
    defer { place.remove() }
    let count = Mutex(0)
    let server = try LoopbackServer { _ in
      let number = count.withLock { count in
        count += 1
        return count
      }
      return .init(body: Self.model, cut: number < 3 ? 4000 * number : nil)
    }
    let manifest = try place.store.pull("\(server.url)/m.gguf", options: place.options)
    #expect(FileManager.default.contents(atPath: manifest.path) == Data(Self.model))
    #expect(server.requests.allSatisfy { $0.headers["range"] == nil })
  }

  @Test func worksWithoutALength() throws {
    let place = try Place()
    defer { place.remove() }
    let server = try LoopbackServer { _ in .init(body: Self.model, length: 0) }
    let manifest = try place.store.pull("\(server.url)/m.gguf", options: place.options)
    #expect(FileManager.default.contents(atPath: manifest.path) == Data(Self.model))
  }

  @Test func checksThePinnedHash() throws {
    let place = try Place()
    defer { place.remove() }
    let server = try LoopbackServer { .file(Self.model, tag: "\"a\"", $0) }
    let wrong = String(repeating: "0", count: 64)
    Self.expectFailure("has the SHA-256 " + Self.hash(Self.model), "expected " + wrong, "not used") {
      _ = try place.store.pull("\(server.url)/m.gguf#sha256=\(wrong)", options: place.options)
    }
    #expect(place.blobs.isEmpty)
    Self.expectFailure("64 hexadecimal digits") {
      _ = try place.store.pull("\(server.url)/m.gguf#sha256=12", options: place.options)
    }
    _ = try place.store.pull("\(server.url)/m.gguf#sha256=\(Self.hash(Self.model))", options: place.options)
  }

  @Test(arguments: [401, 403, 404, 410]) func saysWhatARefusalMeans(_ status: Int) throws {
    let place = try Place()
    defer { place.remove() }
    let server = try LoopbackServer { _ in .init(status: status) }
    Self.expectFailure("\(server.url)/m.gguf", "answers \(status)") {
      _ = try place.store.pull("\(server.url)/m.gguf", options: place.options)
    }
    #expect(server.requests.count == 1)
    #expect(try place.store.list().isEmpty)
  }

  @Test(arguments: [408, 429, 500, 503]) func triesAgainWhatMayPass(_ status: Int) throws {
    let place = try Place()
    defer { place.remove() }
    let count = Mutex(0)
    let server = try LoopbackServer { request in
      let number = count.withLock { count in
        count += 1
        return count
      }
      return number < 3
        ? .init(status: status, headers: ["Retry-After": "0"]) : .file(Self.model, tag: "\"a\"", request)
    }
    let notes = Mutex<[String]>([])
    _ = try place.store.pull("\(server.url)/m.gguf", options: place.options) { event in
      if case .note(let text) = event { notes.withLock { $0.append(text) } }
    }
    #expect(notes.withLock { $0.filter { $0.contains("answers \(status)") && $0.contains("trying again") }.count } == 2)
  }

  @Test func givesUpAtLast() throws {
    let place = try Place()
    defer { place.remove() }
    let server = try LoopbackServer { _ in .init(status: 500) }
    Self.expectFailure("answers 500", "after 3 tries") {
      _ = try place.store.pull("\(server.url)/m.gguf", options: place.options)
    }
    #expect(server.requests.count == 3)
    let silent = try LoopbackServer { _ in .init(body: Self.model, cut: 0) }
    Self.expectFailure("127.0.0.1", "after 3 tries") {
      _ = try place.store.pull("\(silent.url)/m.gguf", options: place.options)
    }
  }

  @Test func followsRedirectsButNotForEver() throws {
    let place = try Place()
    defer { place.remove() }
    let server = try LoopbackServer { request in
      switch request.path {
      case "/a.gguf": .init(status: 302, headers: ["Location": "/b.gguf"])
      case "/b.gguf": .file(Self.model, tag: "\"a\"", request)
      default: .init(status: 302, headers: ["Location": "/round.gguf"])
      }
    }
    _ = try place.store.pull("\(server.url)/a.gguf", options: place.options)
    Self.expectFailure("without end") { _ = try place.store.pull("\(server.url)/round.gguf", options: place.options) }
  }

  @Test func refusesWhatIsNoModel() throws {
    let place = try Place()
    defer { place.remove() }
    let server = try LoopbackServer { request in
      switch request.path {
      case "/page.gguf": .init(body: Array("<!DOCTYPE html><html>Sign in</html>".utf8))
      case "/empty.gguf": .init(body: [])
      default: .init(body: Array(Self.model.dropLast(100)))
      }
    }
    Self.expectFailure("page.gguf", "a web page") {
      _ = try place.store.pull("\(server.url)/page.gguf", options: place.options)
    }
    Self.expectFailure("empty.gguf", "empty") {
      _ = try place.store.pull("\(server.url)/empty.gguf", options: place.options)
    }
    Self.expectFailure("short.gguf", "norm") {
      _ = try place.store.pull("\(server.url)/short.gguf", options: place.options)
    }
    #expect(place.blobs.isEmpty)
    for (source, word) in [
      ("ftp://example.org/m.gguf", "https://"), ("https://", "address"), ("hf:only", "organisation/repository"),
      ("hf:a/../b", "organisation/repository"), ("nowhere", "neither"),
    ] {
      Self.expectFailure(source, word) { _ = try place.store.pull(source, options: place.options) }
    }
    Self.expectFailure("../x", "not a name") {
      _ = try place.store.pull("\(server.url)/m.gguf", name: "../x", options: place.options)
    }
  }

  @Test func stopsWhenAskedTo() throws {
    let place = try Place()
    defer { place.remove() }
    let server = try LoopbackServer { .file(Self.model, tag: "\"a\"", $0, cut: 2000) }
    var options = place.options
    options.retries = HTTPClient.Retries(limit: 100, delay: 5, longestDelay: 5)
    let flag = Flag()
    options.isInterrupted = { flag.isSet }
    Self.expectFailure("stopped", "goes on from there") {
      _ = try place.store.pull("\(server.url)/m.gguf", options: options) { event in
        if case .progress(_, let received, _) = event, received > 0 { flag.set() }
      }
    }
    #expect(place.blobs.contains { $0.hasPrefix(".partial-") && !$0.hasSuffix(".json") })
  }

  @Test func doesNotTakeANameThatIsTaken() throws {
    let place = try Place()
    defer { place.remove() }
    try place.store.record(ModelManifest(name: "m", path: "/nowhere", source: "hearth finetune"))
    let server = try LoopbackServer { .file(Self.model, tag: "\"a\"", $0) }
    Self.expectFailure("m", "hearth finetune", "--name") {
      _ = try place.store.pull("\(server.url)/m.gguf", options: place.options)
    }
    #expect(try place.store.pull("\(server.url)/m.gguf", name: "m", options: place.options).name == "m")
  }
}

/// A truth value that two threads share.
final class Flag: Sendable {
  private let value = Mutex(false)
  var isSet: Bool { value.withLock { $0 } }
  func set() { value.withLock { $0 = true } }
}
