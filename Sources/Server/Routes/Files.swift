internal import Chat
internal import Engine
internal import Foundation
internal import HTTPTypes
internal import Hummingbird
internal import NIOCore

// /v1/files: what to train on. A file is its key's own.
extension RouteTable {
  mutating func addFiles(_ state: ServerState) {
    on(.post, "/v1/files", .scope(.train)) { request, context in
      let bytes = try await request.bytes(upTo: state.settings.limits.fileBytes, state, context)
      let form = try Multipart(bytes, type: request.headers[.contentType] ?? "")
      var (purpose, file): (String?, Multipart.Part?)
      for part in form.parts {
        switch part.name {
        case "purpose": purpose = String(decoding: part.content, as: UTF8.self)
        case "file": file = part
        default:
          throw APIError.invalid(part.name, "unknown parameter: \(part.name.prefix(100))", code: "unknown_parameter")
        }
      }
      guard let file else { throw APIError.invalid("file", "file is missing", code: "missing_required_parameter") }
      guard purpose == "fine-tune" else {
        throw APIError.invalid("purpose", "purpose is \"\(purpose?.prefix(40) ?? "")\": expected fine-tune")
      }
      return .json(try UploadedFiles(state).add(file, owner: context.owner).entry)
    }
    on(.get, "/v1/files", .scope(.train), takesQuery: true) { request, context in
      var query = try request.query()
      let purpose = try query.string("purpose")
      let isAscending = try query.word("order", of: ["asc", "desc"]) == "asc"
      let files = try state.storage.files(of: context.owner).filter { $0.purpose == purpose ?? $0.purpose }
      let (part, hasMore) = try query.part(of: isAscending ? files.reversed() : files, id: \.id)
      try query.finish()
      return .json(["object": "list", "data": .array(part.map(\.entry)), "has_more": .bool(hasMore)])
    }
    on(.get, "/v1/files/{file}", .scope(.train)) { _, context in
      .json(try UploadedFiles(state).file(context.pathPart("file"), context).entry)
    }
    on(.get, "/v1/files/{file}/content", .scope(.train)) { _, context in
      let files = UploadedFiles(state)
      let file = try files.file(context.pathPart("file"), context)
      guard let bytes = FileManager.default.contents(atPath: files.path(file.id)) else {
        // As after a restored backup of a version that left them out.
        throw APIError(
          .notFound, "the bytes of \(file.id) are not here any more: upload them again", parameter: "file",
          code: "file_not_found")
      }
      return Response(
        status: .ok, headers: [.contentType: "application/octet-stream"],
        body: .init(byteBuffer: ByteBuffer(bytes: bytes)))
    }
    on(.delete, "/v1/files/{file}", .scope(.train)) { _, context in
      let files = UploadedFiles(state)
      let file = try files.file(context.pathPart("file"), context)
      if let job = try state.storage.removeFile(file.id) {
        // Not 409: OpenAI's libraries send that again.
        throw APIError.invalid(
          "file", "\(file.id) is what \(job) learns from: wait until it has ended, or cancel it", code: "file_in_use")
      }
      try? FileManager.default.removeItem(atPath: files.path(file.id))
      return .json(["id": .string(file.id), "object": "file", "deleted": true])
    }
  }
}

/// Where uploaded files lie.
struct UploadedFiles: Sendable {
  private let state: ServerState

  init(_ state: ServerState) { self.state = state }

  func path(_ id: String) -> String { state.storage.path(ofFile: id) }

  /// A file of whoever asks.
  ///
  /// - Throws: The same whether there is none, or it is another's.
  func file(_ id: String, _ context: ServerContext) throws -> FileRecord {
    if let file = try state.storage.file(id, of: context.owner) { return file }
    throw APIError(.notFound, "there is no file \"\(id.prefix(64))\"", parameter: "file", code: "file_not_found")
  }

  /// Keeps a file if it is data to train on.
  func add(_ part: Multipart.Part, owner: String) throws -> FileRecord {
    let record = FileRecord(
      id: Identifier.make("file"), owner: owner, name: String((part.fileName ?? "data.jsonl").prefix(200)),
      purpose: "fine-tune", bytes: part.content.count, created: Clock.seconds)
    let path = path(record.id)
    do {
      try state.storage.makeFolderOfFiles()
      try AtomicFile.write(part.content, to: path, permissions: 0o600)
    } catch { throw FullDisk(error, at: path) ?? error }
    do { _ = try Dataset(files: [path]) } catch {
      try? FileManager.default.removeItem(atPath: path)
      throw APIError.invalid(
        "file", "\(error)".replacing(path, with: record.name), code: "invalid_training_file")
    }
    do { try state.storage.add(record) } catch {
      // Bytes that no record knows would stay for ever.
      try? FileManager.default.removeItem(atPath: path)
      throw error
    }
    return record
  }
}

extension FileRecord {
  /// As OpenAI's API has it.
  var entry: JSON {
    [
      "id": .string(id), "object": "file", "bytes": .integer(bytes), "created_at": .integer(created),
      "filename": .string(name), "purpose": .string(purpose), "status": "processed", "expires_at": nil,
      "status_details": nil,
    ]
  }
}

extension ServerContext {
  /// Whose objects a request is about.
  var owner: String { principal?.id ?? Principal.nobody.id }
}
