internal import NIOCore
internal import NIOHTTP1

/// Ends a connection after a request that is its last: one that says `Connection: close`, however it spells it, and each of HTTP/1.0,
/// whose clients wait for the end and know no chunks (RFC 9112, sections 6.1, 9.3 and 9.6).
///
/// The library leaves the version out before anybody else sees a request, and knows one spelling only, so this sits right behind the
/// reader of bytes.
final class LastRequests: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = NIOAny

  func handlerAdded(context: ChannelHandlerContext) {
    context.addBehindDecoder(Ending())
  }

  private final class Ending: ChannelDuplexHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = HTTPServerRequestPart
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTPServerResponsePart

    /// Of each request that is not answered yet, the first of them first.
    private var requests: CircularBuffer<(version: HTTPVersion, isLast: Bool)> = []

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      guard case .head(var head) = unwrapInboundIn(data) else { return context.fireChannelRead(data) }
      let isLast = LastRequests.isLast(head)
      requests.append((head.version, isLast))
      if isLast { head.headers.replaceOrAdd(name: "Connection", value: "close") }
      context.fireChannelRead(wrapInboundOut(.head(head)))
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
      switch unwrapOutboundIn(data) {
      case .head(var head):
        guard let request = requests.first, request.isLast, !(100..<200).contains(head.status.code) else { break }
        head.version = request.version
        head.headers.replaceOrAdd(name: "Connection", value: "close")
        return context.write(wrapOutboundOut(.head(head)), promise: promise)
      case .end: _ = requests.popFirst()
      case .body: break
      }
      context.write(data, promise: promise)
    }
  }

  static func isLast(_ head: HTTPRequestHead) -> Bool {
    (head.version.major, head.version.minor) < (1, 1)
      || head.headers[canonicalForm: "Connection"].contains { $0.lowercased() == "close" }
  }
}
