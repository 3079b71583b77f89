internal import Chat
internal import HTTPTypes
internal import Hummingbird

// Models come and go while the server runs.
extension RouteTable {
  mutating func addLoading(_ state: ServerState) {
    on(.post, "/models/load", .scope(.admin)) { request, context in
      var fields = try await request.fields(state, context)
      let name = try fields.requiredString("model")
      try fields.finish()
      // Names only: a client that may load models may not look around in the file system.
      guard ModelManifest.isName(name), try state.grant(context).covers(name),
        let manifest = try state.settings.store.manifest(of: name)
      else {
        throw APIError(
          .notFound, "there is no model \"\(name.prefix(100))\" in the store", parameter: "model",
          code: "model_not_found")
      }
      let model: ServedModel
      do {
        model = try await state.room.load(
          try state.settings.store.locate(manifest.name), precision: state.settings.precision,
          threads: state.settings.threads, isChecked: state.settings.checksMemory)
      } catch {
        throw APIError(.unavailable, "\(name) cannot be loaded: \(error)", parameter: "model", code: "load_failed")
      }
      return .json(model.entry(state))
    }
    on(.post, "/models/unload", .scope(.admin)) { request, context in
      var fields = try await request.fields(state, context)
      let model = try state.loadedModel(try fields.requiredString("model"), context)
      try fields.finish()
      await state.room.unload(model.name)
      return .json(["model": .string(model.name), "unloaded": true])
    }
  }
}
