internal import NIOCore
internal import NIOHTTP1

/// Of a request whose target says which host it means (`GET http://NAME/ HTTP/1.1`), lets that name be its Host, as RFC 9112,
/// section 3.2.2, has it: what is judged is the name that was asked for.
///
/// The library leaves the name out of the target before anybody else sees it, so this sits right behind the reader of bytes.
final class TargetNames: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = NIOAny

  func handlerAdded(context: ChannelHandlerContext) {
    context.addBehindDecoder(Renaming())
  }

  private final class Renaming: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = HTTPServerRequestPart

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      guard case .head(var head) = unwrapInboundIn(data), let name = TargetNames.name(of: head.uri) else {
        return context.fireChannelRead(data)
      }
      // Of several hosts, one too many stays one too many.
      let others = head.headers["Host"].dropFirst()
      head.headers.replaceOrAdd(name: "Host", value: name)
      for other in others { head.headers.add(name: "Host", value: other) }
      context.fireChannelRead(wrapInboundOut(.head(head)))
    }
  }

  /// The authority that a target names, userinfo and port included; nil of a path and of `*`. Of what is neither, nor has an
  /// authority, all of it, which is no host of anybody.
  static func name(of target: String) -> String? {
    guard target.utf8.first != UInt8(ascii: "/"), target != "*" else { return nil }
    guard let mark = target.firstRange(of: "://") else { return target }
    return String(target[mark.upperBound...].prefix { $0 != "/" && $0 != "?" && $0 != "#" })
  }
}

extension ChannelHandlerContext {
  /// Puts a handler right behind the reader of bytes, where requests are still as they were sent.
  func addBehindDecoder(_ handler: some ChannelHandler) {
    do {
      let pipeline = pipeline.syncOperations
      let decoder = try pipeline.handler(type: ByteToMessageHandler<HTTPRequestDecoder>.self)
      try pipeline.addHandler(handler, position: .after(decoder))
    } catch {
      // Nothing is served that nobody has judged.
      close(promise: nil)
    }
  }
}
