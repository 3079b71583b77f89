import Foundation
import TestSupport
import Testing

@testable import Chat

@Suite struct ModelStoreTests {
  @Test func namesPathsWhereTheyLie() throws {
    let place = try PullAddressTests.Place()
    defer { place.remove() }
    let folder = Fixtures.path("models/llama")
    let manifest = try place.store.pull(folder, options: place.options)
    #expect(manifest.name == "llama" && manifest.path == folder && manifest.source == folder)
    let facts = try ModelFacts(place.store.locate("llama"))
    #expect(facts.format == "safetensors F32" && facts.architecture == "llama" && facts.context_length == 128)
    #expect(facts.parameters > 0 && facts.size_bytes == facts.parameters * 4)
    try place.store.remove("llama")
    #expect(FileManager.default.fileExists(atPath: folder + "/config.json"))
    PullAddressTests.expectFailure("llama", "no model of this name") { try place.store.remove("llama") }
    PullAddressTests.expectFailure("../llama", "no model of this name") { try place.store.remove("../llama") }
  }

  /// One damaged record must not make the others useless, and can be removed by the command that is for it.
  @Test func getsRidOfADamagedRecord() throws {
    let place = try PullAddressTests.Place()
    defer { place.remove() }
    try place.store.record(ModelManifest(name: "good", path: Fixtures.path("models/llama"), source: "x"))
    for damage in ["", "{", "[]", "{\"name\": 3}", "\u{0}\u{1}", "{\"name\":\"bad\"}"] {
      try Data(damage.utf8).write(to: place.store.manifests.appending(path: "bad.json"))
      PullAddressTests.expectFailure("bad.json", "damaged", "hearth remove bad") { _ = try place.store.locate("bad") }
      PullAddressTests.expectFailure("bad.json", "damaged") { _ = try place.store.list() }
      #expect(try place.store.locate("good").name == "good")
      try place.store.remove("bad")
      #expect(try place.store.list().map(\.name) == ["good"])
    }
  }

  @Test func namesWhatWasProbablyMeant() throws {
    let place = try PullAddressTests.Place()
    defer { place.remove() }
    func expect(_ written: String, _ words: String...) {
      for word in words {
        PullAddressTests.expectFailure(written, word) { _ = try place.store.pull(written, options: place.options) }
      }
    }
    expect("smolm2", "Did you mean smollm2?")
    expect("SmolLM2", "Did you mean smollm2?")
    expect("org/repo", "hf:org/repo")
    PullAddressTests.expectFailure("smolm2", "Did you mean smollm2?", "hearth pull smollm2") {
      _ = try place.store.locate("smolm2")
    }
    try place.store.record(ModelManifest(name: "help-desk", path: Fixtures.path("models/llama"), source: "x"))
    PullAddressTests.expectFailure("helpdesk", "Did you mean help-desk?") { _ = try place.store.locate("helpdesk") }
    PullAddressTests.expectFailure("mistral", "The store has help-desk") { _ = try place.store.locate("mistral") }
  }

  @Test func onlyWhatIsNearIsMeant() {
    let names = ["smollm2", "help-desk", "tiny"]
    #expect(NearestName.of("smollm2", among: names) == "smollm2" && NearestName.of("tniy", among: names) == "tiny")
    #expect(NearestName.of("hlep-dsek", among: names) == "help-desk")
    for other in ["", "x", "ab", "qwen3", "llama-3-8b"] {
      #expect(NearestName.of(other, among: names) == nil, "\(other)")
    }
    #expect(NearestName.of("tiny", among: []) == nil)
    #expect(NearestName.distance("", "abc") == 3 && NearestName.distance("abcd", "abdc") == 1)
    #expect(NearestName.distance("kitten", "sitting") == 3)
  }

  @Test func saysWhenFilesHaveGone() throws {
    let place = try PullAddressTests.Place()
    defer { place.remove() }
    try place.store.record(ModelManifest(name: "gone", path: "/nowhere/x.gguf", source: "x"))
    PullAddressTests.expectFailure("gone", "/nowhere/x.gguf", "hearth remove gone") {
      _ = try place.store.locate("gone")
    }
    try place.store.remove("gone")
  }
}
