internal import HTTPTypes
internal import NIOCore
internal import NIOHTTPTypes
internal import Synchronization

/// Notices at once when a client has gone, also while nothing is read from or written to it.
final class ConnectionWatch: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = NIOAny

  let presence = ClientPresence()

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    // A client that will send no more may in principle still read; those that talk HTTP do not do that.
    if case ChannelEvent.inputClosed? = event as? ChannelEvent { presence.end() }
    context.fireUserInboundEventTriggered(event)
  }

  func channelInactive(context: ChannelHandlerContext) {
    presence.end()
    context.fireChannelInactive()
  }
}

/// Whether a client is still there.
final class ClientPresence: Sendable {
  private struct State: Sendable {
    var isGone = false
    var next = 0
    var actions: [Int: @Sendable () -> Void] = [:]
  }

  private let state = Mutex(State())

  /// Whether it has gone.
  var isGone: Bool { state.withLock { $0.isGone } }

  /// Calls `action` when the client goes, at once if it has gone already.
  ///
  /// - Returns: A number to take the request back with.
  func onGone(_ action: @escaping @Sendable () -> Void) -> Int {
    let (number, isGone) = state.withLock { state in
      state.next += 1
      if !state.isGone { state.actions[state.next] = action }
      return (state.next, state.isGone)
    }
    if isGone { action() }
    return number
  }

  /// Takes a request of `onGone` back.
  func forget(_ number: Int) { state.withLock { $0.actions[number] = nil } }

  fileprivate func end() {
    let actions = state.withLock { state in
      defer { state.actions = [:] }
      state.isGone = true
      return Array(state.actions.values)
    }
    for action in actions { action() }
  }
}

extension ServerContext {
  /// Says that the body may come, to a client that waits for that (RFC 9110, section 10.1.1). From the watch's place on, as an answer
  /// of its own would count as the request's.
  func sayContinue() {
    channel.pipeline.context(handlerType: ConnectionWatch.self).whenSuccess {
      $0.writeAndFlush(NIOAny(HTTPResponsePart.head(HTTPResponse(status: .continue))), promise: nil)
    }
  }

  /// Whether the client is still there; nil for requests that came by no connection.
  var presence: ClientPresence? {
    get async {
      let watch = try? await channel.pipeline.handler(type: ConnectionWatch.self).map { $0.presence }.get()
      return watch
    }
  }
}
