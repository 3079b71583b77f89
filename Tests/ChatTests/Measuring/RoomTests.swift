import Engine
import Foundation
import TestSupport
import Testing

@testable import Chat

/// What fits and what is refused, and how.
@Suite struct RoomTests {
  /// A model of eight billion weights in BF16, with 128 KB of keys and values a token.
  private let large = Footprint(
    weightBytes: 16_000_000_000, cacheBytesPerToken: 131_072, workspaceBytes: 100_000_000,
    parameterCount: 8_000_000_000, contextLength: 131_072)

  private func refusal(_ room: Room, gigabytes: Double) -> String? {
    let memory = AvailableMemory(bytes: Int(gigabytes * 1e9), totalBytes: 32_000_000_000, limit: .machine)
    do { try room.require(large, name: "big", memory: memory) } catch { return "\(error)" }
    return nil
  }

  @Test func whatFitsIsNotRefused() {
    #expect(refusal(Room(), gigabytes: 17) == nil)
    #expect(refusal(Room(contextLength: 131_072), gigabytes: 34) == nil)
    #expect(refusal(Room(isChecked: false), gigabytes: 1) == nil)
  }

  @Test func aSmallerContextIsNamedWhenItFits() throws {
    let text = try #require(refusal(Room(contextLength: 32_768), gigabytes: 19))
    #expect(text.contains("needs 20.5 GB") && text.contains("19.0 GB are available"), "\(text)")
    let context = try #require(
      text.split(separator: " ").firstIndex(of: "fits.").map { index in
        text.split(separator: " ")[index - 1]
      }.flatMap { Int($0) })
    #expect(refusal(Room(contextLength: context), gigabytes: 19) == nil)
  }

  @Test func aSmallerFormatIsNamedWhenThatFits() throws {
    #expect(try #require(refusal(Room(), gigabytes: 12)).contains("in Q8_0"))
    #expect(try #require(refusal(Room(), gigabytes: 7)).contains("in Q4_0"))
    #expect(try #require(refusal(Room(), gigabytes: 2)).contains("million parameters"))
  }

  @Test func aContextBeyondTheModelsIsRefusedBeforeLoading() throws {
    let folder = try TinyChatFolder.make()
    defer { try? FileManager.default.removeItem(at: folder) }
    #expect(
      throws: ChatModelError.contextTooLong(model: "tiny", asked: 129, most: TinyChatFolder.contextLength)
    ) {
      _ = try ChatModel.open(path: folder.path, name: "tiny", room: Room(contextLength: 129))
    }
  }

  @Test func theForecastIsWhatLoadingTakes() throws {
    let folder = try TinyChatFolder.make()
    defer { try? FileManager.default.removeItem(at: folder) }
    for precision in Precision.allCases {
      let forecast = try Footprint(Checkpoint.open(folder.path), precision: precision)
      #expect(try ChatModel.open(path: folder.path, precision: precision).engine.footprint == forecast)
    }
  }
}
