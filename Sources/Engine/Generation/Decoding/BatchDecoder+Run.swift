// One pass of the model, and what follows from its logits.
extension BatchDecoder {
  /// What a request has in a pass.
  private struct Part {
    let job: DecodingJob
    let isReading: Bool
    /// One a beam; else one.
    var inputs: [(sequence: TokenSequence, tokens: [Int32], logitCount: Int)]
    /// Guesses at the end of its tokens.
    var drafts: [Int32] = []
  }

  func run(_ shares: [Scheduler.Share]) -> [Event] {
    var parts: [Part] = []
    lastPromptTokenCount = shares.reduce(0) { $0 + $1.promptTokenCount }
    // Requests of one adapter side by side: its products are then computed together.
    for share in shares.sorted(by: { place(of: $0) < place(of: $1) }) {
      guard let job = jobs[share.id] else { continue }
      let part = Part(job: job, isReading: share.promptTokenCount > 0, inputs: inputs(job, share))
      if part.inputs.allSatisfy({ reserve($0.sequence, $0.tokens.count) }) {
        parts.append(part)
      } else {
        fail(job, .cacheFull(tokens: job.tokens.count, limit: cache.tokenLimit))
      }
    }
    guard !parts.isEmpty else { return [] }
    addDrafts(to: &parts)
    let logits = model.step(parts.flatMap(\.inputs))
    var events: [Event] = []
    var row = 0
    for part in parts {
      let rows = row..<row + part.inputs.reduce(0) { $0 + $1.logitCount }
      row = rows.upperBound
      guard !rows.isEmpty, let logits else { continue }
      do throws(SamplingError) {
        if part.job.search == nil {
          try choose(part, rows, of: logits, &events)
        } else {
          try advanceSearch(part.job, logits.span(ofRows: rows))
        }
      } catch {
        fail(part.job, .sampling(error))
      }
    }
    let order = events.enumerated().sorted { ($0.element.request, $0.offset) < ($1.element.request, $1.offset) }
    return order.map(\.element)
  }

  /// Where a share stands in the batch: first those of the base model, then adapter by adapter.
  private func place(of share: Scheduler.Share) -> (Int, Int) {
    let adapter = jobs[share.id]?.adapter.map { Int(bitPattern: ObjectIdentifier($0)) }
    return (adapter ?? .min, share.id)
  }

  private func inputs(
    _ job: DecodingJob, _ share: Scheduler.Share
  ) -> [(sequence: TokenSequence, tokens: [Int32], logitCount: Int)] {
    if let beams = job.search?.beams, !beams.isEmpty { return beams.map { ($0.sequence, [$0.token], 1) } }
    guard let sequence = job.sequence else { return [] }
    let tokens = job.tokens[sequence.tokens.count...].prefix(max(1, share.promptTokenCount))
    return [(sequence, Array(tokens), share.answers ? 1 : 0)]
  }

  /// Fills the pass up with guesses, as far as there is room for them.
  private func addDrafts(to parts: inout [Part]) {
    var room = settings.draftRowLimit - parts.reduce(0) { $0 + ($1.isReading ? 0 : $1.inputs.count) }
    for index in parts.indices where room > 0 && !parts[index].isReading && parts[index].job.search == nil {
      let drafts = parts[index].job.drafts(room)
      guard !drafts.isEmpty, reserve(parts[index].inputs[0].sequence, 1 + drafts.count) else { continue }
      room -= drafts.count
      parts[index].drafts = drafts
      parts[index].inputs[0].tokens += drafts
      parts[index].inputs[0].logitCount += drafts.count
    }
  }

  private func reserve(_ sequence: TokenSequence, _ count: Int) -> Bool {
    cache.makeRoom(for: sequence.cache.pagesNeeded(adding: count))
    return sequence.cache.reserve(adding: count)
  }

  /// Chooses a token from each row as long as the guess that the next row was computed with turns out right.
  private func choose(
    _ part: Part, _ rows: Range<Int>, of logits: Tensor, _ events: inout [Event]
  ) throws(SamplingError) {
    let job = part.job
    if part.isReading { releaseFollowers(of: job) }
    var accepted = 0
    for place in 0..<rows.count {
      let event = try logits.withMutableRow(rows.lowerBound + place) { row throws(SamplingError) in
        try choose(job, &row)
      }
      events.append(event)
      job.append(event.token.chosen.id)
      if event.finishReason != nil { break }
      guard place < part.drafts.count, event.token.chosen.id == part.drafts[place] else { break }
      accepted += 1
    }
    if !part.isReading { job.draftLength.record(drafted: part.drafts.count, accepted: accepted) }
    if let sequence = job.sequence {
      // What was computed for wrong guesses is void.
      sequence.truncate(to: sequence.tokens.count - part.drafts.count + accepted)
    }
    scheduler.charge(job.id, accepted)
    if job.isOver { end(job) }
  }

  private func choose(_ job: DecodingJob, _ logits: inout MutableSpan<Float>) throws(SamplingError) -> Event {
    let token: SampledToken
    do throws(SamplingError) {
      if let count = job.request.listedTokenCount {
        token = try job.sampler.sample(&logits, listing: count) { job.constraint?.restrict(&$0) }
      } else {
        job.constraint?.restrict(&logits)
        let id = try job.sampler.sample(&logits)
        token = SampledToken(chosen: TokenLogProbability(id: id, logProbability: .nan), likeliest: [])
      }
    } catch {
      throw job.constraint != nil && error == .nothingPossible ? .nothingAllowed : error
    }
    job.constraint?.accept(token.chosen.id)
    job.remaining -= 1
    var reason: FinishReason?
    if job.request.endTokens.contains(token.chosen.id) {
      reason = .stop
    } else if job.remaining == 0 {
      reason = .length
    }
    job.isOver = reason != nil
    return Event(
      request: job.id, token: token, finishReason: reason, cachedTokenCount: job.cachedTokenCount ?? 0)
  }
}
