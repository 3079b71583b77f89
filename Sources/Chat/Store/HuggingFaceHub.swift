internal import Foundation
internal import FoundationNetworking

/// The parts of the Hugging Face Hub's API that a pull needs.
///
/// huggingface.co/docs/hub/api: the list of a repository's files, and the address from which each is resolved.
struct HuggingFaceHub {
  let endpoint: URL
  let client: HTTPClient

  init(_ options: PullOptions) {
    endpoint = options.endpoint
    client = HTTPClient(
      token: options.token, tokenOrigin: options.endpoint, retries: options.retries,
      isInterrupted: options.isInterrupted)
  }

  /// A repository as it is at one commit.
  struct Listing: Sendable {
    let revision: String
    let files: [String]
  }

  /// What is known of a file before it is fetched.
  struct Description: Sendable {
    let revision: String
    /// Names the content: SHA-256 of large files, git's SHA-1 of small ones.
    let tag: String
    let byteCount: Int?
    /// Where its bytes are.
    let address: URL
  }

  /// The files of the branch main.
  func list(_ reference: HuggingFaceReference, report: (String) -> Void) throws(StoreError) -> Listing {
    struct Answer: Decodable {
      struct Sibling: Decodable { let rfilename: String }
      let sha: String
      let siblings: [Sibling]
    }
    let url = endpoint.appending(
      path: "api/models/\(reference.organisation)/\(reference.repository)/revision/main")
    let data: Data
    do { data = try client.data(url, limit: 64 << 20, report: report) } catch {
      throw HuggingFaceHub.explain(error, reference, endpoint)
    }
    guard let answer = try? JSONDecoder().decode(Answer.self, from: data),
      HuggingFaceReference.isPlainName(answer.sha)
    else {
      throw StoreError(
        "\(url.absoluteString): does not answer as the Hugging Face Hub does: check HF_ENDPOINT and the network's proxy"
      )
    }
    // A name that leads out of the folder is never written.
    let files = answer.siblings.map(\.rfilename).filter {
      $0.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        .allSatisfy(HuggingFaceReference.isPlainName)
    }
    return Listing(revision: answer.sha, files: files)
  }

  /// Asks for a file's hash, size and address.
  ///
  /// - Parameter revision: A commit, or `main`.
  func describe(
    _ file: String, of reference: HuggingFaceReference, revision: String, report: (String) -> Void
  ) throws(StoreError) -> Description {
    let url = endpoint.appending(
      path: "\(reference.organisation)/\(reference.repository)/resolve/\(revision)/\(file)")
    let response: HTTPURLResponse
    do {
      response = try client.retrying(report) { () throws(HTTPClient.Failure) in
        let (exchange, response) = try client.open(url, method: "HEAD", staysAtHost: true)
        exchange.cancel()
        return response
      }
    } catch { throw HuggingFaceHub.explain(error, reference, endpoint) }
    func header(_ name: String) -> String? { response.value(forHTTPHeaderField: name) }
    let tag = (header("X-Linked-ETag") ?? header("ETag")).map(HuggingFaceHub.bare) ?? ""
    guard HuggingFaceReference.isPlainName(tag) else {
      throw StoreError(
        "\(url.absoluteString): the server does not say which version of the file it has (ETag): check HF_ENDPOINT")
    }
    let commit = header("X-Repo-Commit").flatMap { HuggingFaceReference.isPlainName($0) ? $0 : nil }
    let here = response.url ?? url
    let location = header("Location").flatMap { URL(string: $0, relativeTo: here)?.absoluteURL }
    let length = header("X-Linked-Size") ?? (location == nil ? header("Content-Length") : nil)
    return Description(
      revision: commit ?? revision, tag: tag, byteCount: length.flatMap { Int($0) }, address: location ?? here)
  }

  /// An ETag without quotes and without the mark of a weak one.
  private static func bare(_ tag: String) -> String {
    (tag.hasPrefix("W/") ? String(tag.dropFirst(2)) : tag).trimmingCharacters(in: ["\""])
  }

  /// What a refusal means for somebody who wants a model.
  static func explain(
    _ failure: HTTPClient.Failure, _ reference: HuggingFaceReference, _ endpoint: URL
  ) -> StoreError {
    guard case .lasting(let text, let status, let code) = failure else { return StoreError(failure) }
    let page = "\(endpoint.absoluteString)/\(reference.organisation)/\(reference.repository)"
    switch (status, code) {
    case (_, "GatedRepo"?), (403, _):
      return StoreError(
        "\(reference): is open only to those who accepted its terms: accept them at \(page), then give your token as "
          + "HF_TOKEN (\(text))")
    case (401, _):
      return StoreError(
        "\(reference): there is no such repository, or it is private: check the name; for a private one give a token "
          + "that may read it as HF_TOKEN (\(text))")
    case (404, _):
      let missing =
        reference.file.map { "there is no file \($0) in it, or no such repository" } ?? "there is no such repository"
      return StoreError("\(reference): \(missing): look at \(page) (\(text))")
    default: return StoreError("\(reference): \(text)")
    }
  }
}

extension StoreError {
  init(_ failure: HTTPClient.Failure) {
    switch failure {
    case .interrupted: self = .interrupted
    case .passing(let text, _), .lasting(let text, _, _): self.init(text)
    }
  }

  /// The person asked for it.
  static let interrupted = StoreError(
    "stopped. What was fetched is kept: the same command goes on from there")
}
