import Foundation
import Testing

@testable import hearth

@Suite struct LineInputTests {
  /// The lines of a pipe that holds `bytes`.
  private func lines(_ bytes: [UInt8], limit: Int = 1000) throws -> [LineInput.Line] {
    let pipe = Pipe()
    let writer = Thread {
      try? pipe.fileHandleForWriting.write(contentsOf: Data(bytes))
      try? pipe.fileHandleForWriting.close()
    }
    writer.start()
    var input = LineInput(descriptor: pipe.fileHandleForReading.fileDescriptor, limit: limit)
    var lines: [LineInput.Line] = []
    while let line = try input.next() { lines.append(line) }
    return lines
  }

  @Test func keepsEveryLine() throws {
    #expect(try lines(Array("a\n\nb\r\n\r\n c".utf8)) == ["a", "", "b", "", " c"].map { .bytes(Data($0.utf8)) })
    #expect(try lines(Array("a\n".utf8)) == [.bytes(Data("a".utf8))])
    #expect(try lines([]) == [])
    #expect(try lines([0x0A]) == [.bytes(Data())])
  }

  @Test func repairsNothing() throws {
    #expect(try lines([0xFF, 0x00, 0x0A, 0xC3]) == [.bytes(Data([0xFF, 0x00])), .bytes(Data([0xC3]))])
  }

  @Test(arguments: [999, 1000, 1001, 70_000, 200_000])
  func saysHowLongALineWasThatItDropped(count: Int) throws {
    let long = [UInt8](repeating: 0x78, count: count)
    let expected: LineInput.Line = count > 1000 ? .tooLong(bytes: count) : .bytes(Data(long))
    #expect(try lines(long + [0x0A] + Array("after".utf8)) == [expected, .bytes(Data("after".utf8))])
    #expect(try lines(long) == [expected])
  }

  @Test func joinsPieces() throws {
    let long = [UInt8](repeating: 0x78, count: 300_000)
    #expect(try lines(long + [0x0A] + long, limit: 1 << 20) == [.bytes(Data(long)), .bytes(Data(long))])
  }
}
