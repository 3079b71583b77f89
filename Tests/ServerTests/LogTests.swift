import Chat
import Foundation
import Logging
import Synchronization
import Testing

@testable import Server

@Suite struct LogTests {
  /// A pipe and a queue that writes into it.
  private static func queue(byteLimit: Int = 1 << 16) throws -> (
    queue: LineQueue, reader: FileHandle, writer: FileHandle
  ) {
    let pipe = Pipe()
    return (
      LineQueue(descriptor: pipe.fileHandleForWriting.fileDescriptor, byteLimit: byteLimit),
      pipe.fileHandleForReading, pipe.fileHandleForWriting
    )
  }

  @Test func numbersAreNumbers() throws {
    let metadata: Logger.Metadata = [
      "status": .stringConvertible(404), "seconds": .stringConvertible(0.0312), "complete": .stringConvertible(true),
      "path": "/v1/12", "key": "7", "odd": .stringConvertible(Double.nan),
    ]
    let line = JSONLog.line(.info, "request", "hearth", metadata, isJSON: true)
    let object = try JSON(parsing: Array(line.utf8))
    #expect(object["status"]?.number == 404 && object["seconds"]?.number == 0.0312 && object["complete"] == true)
    #expect(object["path"] == "/v1/12" && object["key"] == "7" && object["odd"] == .null && object["level"] == "info")
    #expect(line.hasSuffix("}\n") && line.filter { $0 == "\n" }.count == 1)
    let plain = JSONLog.line(.info, "request", "hearth", metadata, isJSON: false)
    #expect(plain.contains(" seconds=0.0312 status=404\n"), "\(plain)")
  }

  @Test func whatIsReadIsWholeAndInOrder() throws {
    let (queue, reader, writer) = try LogTests.queue(byteLimit: 1 << 20)
    for number in 0..<1000 { queue.put("line \(number)\n") }
    #expect(queue.flush(seconds: 600))
    try writer.close()
    let lines = String(decoding: try reader.readToEnd() ?? Data(), as: UTF8.self).split(separator: "\n")
    #expect(lines == (0..<1000).map { "line \($0)" })
    #expect(queue.droppedCount == 0)
  }

  @Test func nobodyWaitsForAReaderThatDoesNotRead() throws {
    let (queue, reader, writer) = try LogTests.queue()
    queue.report { "\($0) are missing\n" }
    let text = String(repeating: "x", count: 100)
    // Far more than a pipe and the queue hold together.
    let count = 20_000
    // If it waited, this would never end: the reader reads only after it.
    for number in 0..<count { queue.put("\(number) \(text)\n") }
    #expect(queue.droppedCount > 0)
    #expect(!queue.flush(seconds: 0.05))
    // The reader comes back: it gets what was kept, and is told what is missing.
    let read = Mutex<[UInt8]>([])
    let isDone = DispatchSemaphore(value: 0)
    Thread {
      while let data = try? reader.read(upToCount: 1 << 16), !data.isEmpty { read.withLock { $0 += data } }
      isDone.signal()
    }.start()
    #expect(queue.flush(seconds: 600))
    queue.put("last\n")
    #expect(queue.flush(seconds: 600))
    try writer.close()
    isDone.wait()
    let lines = String(decoding: read.withLock { $0 }, as: UTF8.self).split(separator: "\n")
    #expect(lines.last == "last")
    let missing = lines.filter { $0.hasSuffix("are missing") }.compactMap { Int($0.prefix { $0 != " " }) }
    #expect(missing.reduce(0, +) == queue.droppedCount)
    #expect(lines.filter { $0.hasSuffix(text) }.count + queue.droppedCount == count)
  }

  @Test func aReaderThatHasGoneStopsNobody() throws {
    // As the command line does; a test runner may have another opinion.
    signal(SIGPIPE, SIG_IGN)
    let (queue, reader, writer) = try LogTests.queue()
    try reader.close()
    for number in 0..<10_000 { queue.put("line \(number)\n") }
    #expect(queue.flush(seconds: 600))
    // Not before the last line: the next file to be opened gets the number of a descriptor that was closed, and its lines.
    try writer.close()
  }
}
