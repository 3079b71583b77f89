// Beam search as one request among others.
extension BatchDecoder {
  /// Answers one request by beam search. Other requests go on meanwhile; the next `step` has what came of them.
  ///
  /// Beams share the pages of their common past.
  ///
  /// - Returns: The best hypotheses, best first.
  /// - Throws: When the prompt does not fit, an option makes no sense, the model gives no usable logits, or the beams outgrow
  ///   the memory for keys and values.
  public func search(
    _ request: GenerationRequest, _ options: BeamSearchOptions, adapter: Adapter? = nil, salt: String = "",
    key: String = ""
  ) throws(GenerationError) -> [BeamSearch.Hypothesis] {
    let id = try add(search: options, request, adapter: adapter, salt: salt, key: key)
    while true {
      undelivered += advance()
      if let hypotheses = found.removeValue(forKey: id) { return hypotheses }
      if let place = failed.firstIndex(where: { $0.id == id }) {
        let failure = failed.remove(at: place)
        throw failure.error
      }
      precondition(jobs[id] != nil, "a beam search got lost")
    }
  }

  /// Takes the logits of all running beams, `[beams, vocabulary]`, and goes on or ends.
  func advanceSearch(_ job: DecodingJob, _ logits: Span<Float>) throws(SamplingError) {
    guard var search = job.search else { return }
    if search.beams.isEmpty { releaseFollowers(of: job) }
    switch try search.state.advance(logits) {
    case .finished:
      found[job.id] = search.state.results
      job.search = search
      end(job)
    case .continue(let parents, let tokens):
      let former = search.beams.isEmpty ? [job.sequence].compactMap { $0 } : search.beams.map(\.sequence)
      search.beams = zip(parents, tokens).map { (former[$0].fork(), $1) }
      job.search = search
    }
  }
}
