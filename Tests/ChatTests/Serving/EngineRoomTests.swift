import Chat
import Engine
import Foundation
import TestSupport
import Testing
import Tokenizers

@Suite struct EngineRoomTests {
  private func withRoom(
    _ change: (inout EngineRoom.Settings) -> Void = { _ in },
    _ body: (EngineRoom, ServedModel, String) async throws -> Void
  ) async throws {
    let folder = try TinyChatFolder.make()
    defer { try? FileManager.default.removeItem(at: folder) }
    var settings = EngineRoom.Settings()
    change(&settings)
    let room = EngineRoom(settings)
    let location = try ModelStore(home: folder).locate(folder.path)
    let model = try await room.load(location, as: "tiny", threads: 1, isChecked: false)
    try await body(room, model, folder.path)
  }

  private func endless(_ seed: UInt64, _ model: ServedModel) -> AnswerOptions {
    var options = AnswerOptions(sampling: SamplingOptions(seed: seed))
    for token in model.text.endTokens { options.sampling.penalties.logitBias[token] = -.infinity }
    return options
  }

  @Test func answersInCompanyAreThoseAlone() async throws {
    try await withRoom { room, model, path in
      let calls = (0..<24).map { number -> AnswerCall in
        var options = AnswerOptions(sampling: SamplingOptions(seed: UInt64(number)), maximumTokenCount: 10 + number)
        options.listedTokenCount = number % 3 == 0 ? 2 : nil
        let prompt = model.text.tokenizer.encode(String(repeating: "who is number \(number)? ", count: 1 + number % 3))
        return AnswerCall(model, prompt, options, count: 1 + number % 2, key: "key \(number % 4)")
      }
      let found = try await withThrowingTaskGroup(of: (Int, [Int: String], [Int: Answer]).self) { group in
        for (number, call) in calls.enumerated() {
          group.addTask {
            var (texts, answers): ([Int: String], [Int: Answer]) = ([:], [:])
            for try await piece in try room.answer(call) {
              texts[piece.choice, default: ""] += piece.text
              if let answer = piece.answer { answers[piece.choice] = answer }
            }
            return (number, texts, answers)
          }
        }
        var all: [Int: ([Int: String], [Int: Answer])] = [:]
        for try await (number, texts, answers) in group { all[number] = (texts, answers) }
        return all
      }
      let alone = try ChatModel.open(path: path, pool: WorkerPool(threadCount: 1))
      for (number, call) in calls.enumerated() {
        let (texts, answers) = try #require(found[number])
        for choice in 0..<call.count {
          var options = call.options
          options.sampling.seed &+= UInt64(choice)
          let expected = try alone.answer(call.prompt, options)
          #expect(answers[choice]?.tokens == expected.tokens)
          #expect(answers[choice]?.logProbabilities == expected.logProbabilities)
          #expect(texts[choice, default: ""] == expected.text)
        }
      }
      #expect(room.answerCount == 0)
    }
  }

  @Test func loadsAtOnceAndAnswersMeanwhileAllComeToTheirEnd() async throws {
    let folder = try TinyChatFolder.make()
    defer { try? FileManager.default.removeItem(at: folder) }
    try await withRoom { room, model, _ in
      let location = try ModelStore(home: folder).locate(folder.path)
      try await withThrowingTaskGroup { group in
        for number in 0..<6 {
          group.addTask {
            _ = try await room.load(location, as: "other \(number % 2)", threads: 1, isChecked: false)
            return 1
          }
          group.addTask {
            var count = 0
            for try await piece in try room.answer(AnswerCall(model, [40, 41], endless(1, model))) {
              count = piece.answer?.tokens.count ?? count
            }
            return count
          }
        }
        var answered = 0
        for try await count in group where count > 1 { answered += 1 }
        #expect(answered == 6)
      }
      #expect(room.models.map(\.name) == ["other 0", "other 1", "tiny"])
    }
  }

  @Test func loadingHoldsUpNobody() async throws {
    let folder = try TinyChatFolder.make()
    defer { try? FileManager.default.removeItem(at: folder) }
    // Loading stands still from when its files are opened for as long as this test wants.
    let (hasBegun, mayGoOn) = (Flag(), DispatchSemaphore(value: 0))
    try await withRoom {
      $0.onOpening = { path in
        guard path == folder.path else { return }
        hasBegun.set()
        mayGoOn.wait()
      }
    } _: { room, model, _ in
      let location = try ModelStore(home: folder).locate(folder.path)
      let isOver = Flag()
      let loading = Task {
        defer { isOver.set() }
        return try await room.load(location, as: "other", threads: 1, isChecked: false)
      }
      while !hasBegun.isSet { try await Task.sleep(for: .milliseconds(2)) }
      for seed in 0..<5 {
        var last: Answer?
        for try await piece in try room.answer(AnswerCall(model, [40, 41], endless(UInt64(seed), model))) {
          last = piece.answer ?? last
        }
        #expect(last?.finishReason == .length)
        #expect(try await room.scores(model, [40, 41, 42], listing: 0).count == 3)
      }
      #expect(!isOver.isSet && room.models.map(\.name) == ["tiny"])
      mayGoOn.signal()
      _ = try await loading.value
      #expect(room.models.map(\.name) == ["other", "tiny"])
    }
  }

  @Test func anAnswerWithoutALimitEndsWithTheContext() async throws {
    try await withRoom { room, model, _ in
      for promptCount in [2, 50, TinyChatFolder.contextLength - 1] {
        let prompt = (0..<Int32(promptCount)).map { 40 + $0 % 20 }
        var last: Answer?
        for try await piece in try room.answer(AnswerCall(model, prompt, endless(1, model))) {
          last = piece.answer ?? last
        }
        let answer = try #require(last)
        #expect(answer.finishReason == .length)
        // The last token needs no place: nothing is computed from it.
        #expect(TinyChatFolder.contextLength...(TinyChatFolder.contextLength + 1) ~= promptCount + answer.tokens.count)
      }
    }
  }

  @Test func whoStopsListeningGivesUpTheirPlace() async throws {
    try await withRoom { room, model, _ in
      for seed in 0..<10 {
        for try await _ in try room.answer(AnswerCall(model, [40, 41], endless(UInt64(seed), model))) { break }
        // Also those who never listen.
        _ = try room.answer(AnswerCall(model, [40, 41], endless(UInt64(seed), model)))
      }
      let deadline = ContinuousClock.now + .seconds(5)
      while room.answerCount > 0, ContinuousClock.now < deadline { try await Task.sleep(for: .milliseconds(5)) }
      #expect(room.answerCount == 0)
      #expect(room.currentStatus.running == 0)
    }
  }

  @Test func aFullRoomSaysSoAtOnce() async throws {
    try await withRoom { settings in
      (settings.laneCount, settings.queueLimit, settings.keyLimit) = (2, 2, 3)
    } _: { room, model, _ in
      let options = endless(1, model)
      let kept = [try room.answer(AnswerCall(model, [40], options, count: 3, key: "a"))]
      #expect(throws: EngineRoomError.keyFull(limit: 3, retryAfterSeconds: 3)) {
        _ = try room.answer(AnswerCall(model, [40], options, key: "a"))
      }
      let other = try room.answer(AnswerCall(model, [40], options, key: "b"))
      #expect(throws: EngineRoomError.full(waiting: 2, retryAfterSeconds: 4)) {
        _ = try room.answer(AnswerCall(model, [40], options, key: "c"))
      }
      room.close()
      #expect(throws: EngineRoomError.closing) { _ = try room.answer(AnswerCall(model, [40], options, key: "c")) }
      withExtendedLifetime((kept, other)) {}
    }
  }

  @Test func nobodySeesWhatOthersHaveCached() async throws {
    try await withRoom { room, model, _ in
      let prompt = model.text.tokenizer.encode(String(repeating: "a long secret ", count: 6))
      func cached(_ key: String) async throws -> Int {
        var count = -1
        for try await piece in try room.answer(
          AnswerCall(model, prompt, AnswerOptions(maximumTokenCount: 2), key: key))
        {
          if let answer = piece.answer { count = answer.cachedTokenCount }
        }
        return count
      }
      let counts = [try await cached("a"), try await cached("a"), try await cached("b")]
      #expect(counts == [0, prompt.count - 1, 0])
    }
  }

  @Test func memoryForKeysAndValuesKeepsToItsLimit() async throws {
    try await withRoom {
      $0.cacheBytes = 100_000
    } _: { room, model, _ in
      for seed in 0..<8 {
        let prompt = model.text.tokenizer.encode(String(repeating: "number \(seed) ", count: 6))
        for try await _ in try room.answer(AnswerCall(model, prompt, endless(UInt64(seed), model))) {}
      }
      let status = room.currentStatus
      #expect(status.cacheByteLimit <= 100_000 && status.cacheByteLimit > 0)
      #expect(status.cacheBytes <= status.cacheByteLimit)
    }
  }

  @Test func scoresAndMeansDoNotDependOnPieces() async throws {
    try await withRoom { settings in
      settings.stepSeconds = 1e-9
    } _: { room, model, path in
      let tokens = model.text.tokenizer.encode(String(repeating: "one two three ", count: 8))
      let scores = try await room.scores(model, tokens, listing: 1)
      let whole = try ChatModel.open(path: path, pool: WorkerPool(threadCount: 1))
      let reader = try PromptReader(whole.engine, tokens, for: .scores(listing: 1))
      try reader.advance(by: tokens.count)
      #expect(scores == reader.scores)
      #expect(scores.count == tokens.count)
      let mean = try PromptReader(whole.engine, tokens, for: .mean)
      try mean.advance(by: tokens.count)
      #expect(try await room.embeddings(model, [tokens, tokens]) == [mean.mean, mean.mean])
    }
  }

  @Test func scoresAreThoseOfTheCommandLine() async throws {
    try await withRoom { room, model, path in
      let alone = try ChatModel.open(path: path, pool: WorkerPool(threadCount: 1))
      for count in [2, 33, 100, TinyChatFolder.contextLength] {
        let ids = (0..<Int32(count)).map { 40 + $0 * 7 % 90 }
        let served = try await room.scores(model, ids, listing: 3)
        let score = try Scorer(alone, listed: 3).score(ids)
        #expect(served.count == count && score.logprobs.count == count)
        for (found, expected) in zip(served, zip(score.logprobs, score.top ?? [])).dropFirst() {
          // The same logits to the bit; one sums their exponentials in f64, the other in f32.
          let value = try #require(expected.0)
          #expect(abs(Double(try #require(found).chosen.logProbability) - value) < 1e-5)
          #expect(found?.likeliest.map { Int32($0.id) } == expected.1.map { Int32($0.id) })
        }
      }
    }
  }

  @Test func modelsComeAndGo() async throws {
    try await withRoom { room, model, path in
      let location = try ModelStore(home: URL(filePath: path)).locate(path)
      let again = try await room.load(location, as: "tiny", threads: 1, isChecked: false)
      // Who had the former one in hand is still answered.
      var pieces = 0
      for try await piece in try room.answer(AnswerCall(model, [40], AnswerOptions(maximumTokenCount: 3))) {
        pieces += piece.answer == nil ? 0 : 1
      }
      #expect(pieces == 1)
      #expect(await room.unload("tiny"))
      #expect(room.model("tiny") == nil)
      #expect(await room.unload("tiny") == false)
      #expect(again.contextLength == 128)
    }
  }
}
