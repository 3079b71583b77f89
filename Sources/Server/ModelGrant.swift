internal import Chat

/// Which models somebody may ask: all, or those that the key names and those that the key's own jobs make. Whoever may ask a tuned
/// model may ask its checkpoints.
struct ModelGrant: Sendable {
  /// nil is all.
  private let names: Set<String>?

  /// - Parameter own: What their jobs make; only looked up where it counts.
  init(_ principal: Principal?, own: () throws -> Set<String>) rethrows {
    names = try principal?.models.map { try $0.union(own()) }
  }

  func covers(_ name: String) -> Bool {
    guard let names else { return true }
    return names.contains(name) || TunedCheckpoints.Name(name).map { names.contains($0.tuned) } ?? false
  }
}

extension ServerState {
  func grant(_ context: ServerContext) throws -> ModelGrant {
    try ModelGrant(context.principal) { try storage.tunedNames(of: context.owner) }
  }

  /// The models that a request may ask, of those that are loaded.
  func models(_ context: ServerContext) throws -> [ServedModel] {
    let grant = try grant(context)
    return room.models.filter { grant.covers($0.name) }
  }

  /// The model of a request, checkpoints of jobs included.
  ///
  /// - Throws: `APIError` with the names that there are for whoever asks; the same whether there is no such model, or it is not for them.
  func model(_ name: String, _ context: ServerContext) async throws -> ServedModel {
    if let checkpoint = TunedCheckpoints.Name(name), try grant(context).covers(name),
      let model = try await checkpoints.model(checkpoint, self)
    {
      return model
    }
    return try loadedModel(name, context)
  }

  /// A model that is loaded.
  ///
  /// - Throws: As `model`.
  func loadedModel(_ name: String, _ context: ServerContext) throws -> ServedModel {
    if try grant(context).covers(name), let model = room.model(name) { return model }
    let names = try models(context).map(\.name).joined(separator: ", ")
    let place = context.principal?.models == nil ? "here: this server" : "for this key, which"
    throw APIError(
      .notFound, "there is no model \"\(name.prefix(100))\" \(place) has \(names.isEmpty ? "none" : names)",
      parameter: "model", code: "model_not_found")
  }
}
