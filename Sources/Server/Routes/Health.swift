internal import Chat
internal import HTTPTypes
internal import Hummingbird
internal import NIOCore

// Whether the server lives, whether it takes requests, and how it fares.
extension RouteTable {
  mutating func addHealth(_ state: ServerState) {
    // Ollama's clients, and many that look whether something listens, ask here. They learn that and nothing else.
    on(.get, "/", .open) { _, _ in
      Response(
        status: .ok, headers: [.contentType: "text/plain; charset=utf-8"],
        body: .init(byteBuffer: ByteBuffer(string: "Hearth is running")))
    }
    // Says nothing of models, so that a long step is no reason to restart the process.
    on(.get, "/health", .open) { _, _ in .json(["status": "ok"]) }
    on(.get, "/ready", .open) { _, _ in
      let isReady = !state.isDraining && !state.room.models.isEmpty
      return .json(["status": isReady ? "ready" : "not ready"], status: isReady ? .ok : .serviceUnavailable)
    }
    on(.get, "/metrics", .scope(.metrics)) { _, _ in
      let status = state.room.currentStatus
      let text = state.metrics.text(gauges: [
        (.running, Double(status.running)), (.waiting, Double(status.waiting)),
        (.cacheUse, status.cacheByteLimit > 0 ? Double(status.cacheBytes) / Double(status.cacheByteLimit) : 0),
        (.passes, Double(status.passCount)), (.modelsLoaded, Double(state.room.models.count)),
        (.ready, state.isDraining ? 0 : 1), (.droppedLines, Double(LineQueue.standardError.droppedCount)),
      ])
      return Response(
        status: .ok, headers: [.contentType: "text/plain; version=0.0.4; charset=utf-8"],
        body: .init(byteBuffer: ByteBuffer(string: text)))
    }
  }
}
