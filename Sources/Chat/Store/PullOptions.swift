public import Foundation

/// What `hearth pull` reports as it goes.
public enum PullEvent: Sendable {
  /// Something for people to read.
  case note(String)
  /// Bytes of a file that are here, and of the whole file where that is known.
  case progress(file: String, received: Int, total: Int?)
}

/// How to reach what is fetched. The defaults are those of Hugging Face's own tools.
public struct PullOptions: Sendable {
  /// `HF_ENDPOINT`, else the Hugging Face Hub.
  public var endpoint: URL
  /// `HF_TOKEN`, else what `hf auth login` left in `HF_HOME/token`. Only the endpoint ever sees it.
  public var token: String?
  /// `HF_HUB_CACHE`, else `HF_HOME/hub`, else `~/.cache/huggingface/hub`.
  public var cache: URL
  /// Asked while waiting; true stops the pull, what was fetched being kept.
  public var isInterrupted: @Sendable () -> Bool = { false }
  var retries = HTTPClient.Retries()

  /// Options from the environment.
  public init(environment: [String: String] = ProcessInfo.processInfo.environment) {
    let cache = HuggingFaceCache(environment: environment)
    self.cache = cache.folder
    endpoint =
      environment["HF_ENDPOINT"].flatMap { URL(string: $0) }.flatMap { $0.host == nil ? nil : $0 }
      ?? URL(string: "https://huggingface.co") ?? URL(filePath: "/")
    let file = FileManager.default.contents(atPath: cache.home.appending(path: "token").path)
    let text = environment["HF_TOKEN"] ?? file.map { String(decoding: $0, as: UTF8.self) } ?? ""
    let token = text.trimmingCharacters(in: .whitespacesAndNewlines)
    // A line break in a header would be another header.
    let isPlain = token.unicodeScalars.allSatisfy { ("!"..."~").contains($0) }
    self.token = token.isEmpty || !isPlain ? nil : token
  }
}
