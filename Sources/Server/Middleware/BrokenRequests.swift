internal import Chat
internal import HTTPTypes
internal import NIOCore
internal import NIOHTTP1
internal import NIOHTTPTypes

/// Says what is wrong with bytes that are no request. No route is reached by them, so nothing else does: the library answers 400 without
/// a body, and closes.
///
/// Which API was meant is in what could not be read, so the words are OpenAI's.
final class BrokenRequests: ChannelDuplexHandler, RemovableChannelHandler {
  typealias InboundIn = NIOAny
  typealias OutboundIn = HTTPResponsePart
  typealias OutboundOut = HTTPResponsePart

  private var failure: HTTPParserError?

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    failure = error as? HTTPParserError ?? failure
    context.fireErrorCaught(error)
  }

  func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
    // Requests that came whole before are answered first, and none of their answers has no body.
    guard let failure, case .head(let head) = unwrapOutboundIn(data), head.status == .badRequest,
      head.headerFields[.contentLength] == "0"
    else { return context.write(data, promise: promise) }
    let error = BrokenRequests.error(failure)
    let id = Identifier.make("req")
    let body = Dialect.openAI.body(of: error, requestID: id).bytes
    let response = HTTPResponse(
      status: error.status,
      headerFields: [
        .connection: "close", .contentType: "application/json", .contentLength: String(body.count), .requestID: id,
        .contentTypeOptions: "nosniff",
      ])
    context.write(wrapOutboundOut(.head(response)), promise: promise)
    context.write(wrapOutboundOut(.body(context.channel.allocator.buffer(bytes: body))), promise: nil)
    // A client that still sends is not waited for; a moment, so that the answer is not lost on its way.
    let channel = context.channel
    context.eventLoop.scheduleTask(in: .seconds(2)) { channel.close(promise: nil) }
  }

  /// What the reader of bytes found.
  static func error(_ failure: HTTPParserError) -> APIError {
    if failure == .headerOverflow {
      return APIError(
        .invalidRequest, "the address or the headers of the request are longer, or more, than this server takes",
        code: "headers_too_large")
    }
    return APIError(.invalidRequest, "this is no HTTP request: \(failure)", code: "invalid_http")
  }
}
