extension TokenizerDefinition {
  /// A merge of a vocabulary whose tokens have scores.
  struct ScoredMerge {
    /// The two parts, as ids; those from the vocabulary's end on are `spares`.
    var left: Int32
    var right: Int32
    /// What they make.
    var merged: Int32
    /// 0 for the highest score; pairs that make equally good tokens share it.
    var rank: Int
  }

  /// The longest token, in bytes, that is looked through for its parts. Real ones have fewer than 200.
  private static let longestMerged = 2_048

  /// All merges of a SentencePiece vocabulary: of any two tokens that make a third, the better its score, the earlier.
  ///
  /// Kudo and Richardson, "SentencePiece" (arXiv:1808.06226); `bpe_model.cc` of its source. Only tokens of text take part,
  /// as there. (llama.cpp would let the characters of `<s>` grow to that control token.)
  ///
  /// - Parameters:
  ///   - scores: of each id.
  ///   - isText: whether an id may come about by merging.
  /// - Returns: by rank, and within one by id.
  mutating func mergesByScore(_ scores: [Float], isText: (Int) -> Bool) -> [ScoredMerge] {
    var ranks: [Float: Int] = [:]
    for (rank, score) in Set(scores).sorted(by: >).enumerated() { ranks[score] = rank }
    var spareIDs: [[UInt8]: Int32] = [:]
    func part(_ bytes: ArraySlice<UInt8>, isCharacter: Bool) -> Int32? {
      let bytes = Array(bytes)
      if let id = id(ofSpelling: bytes), isText(Int(id)) { return id }
      guard isCharacter else { return nil }
      if let id = spareIDs[bytes] { return id }
      let id = Int32(vocabulary.count + spares.count)
      spares.append(bytes)
      spareIDs[bytes] = id
      return id
    }
    var merges: [ScoredMerge] = []
    for (id, spelling) in vocabulary.enumerated() where isText(id) {
      let bytes = Array((spelling ?? "").utf8)
      guard bytes.count <= Self.longestMerged else { continue }
      let starts = bytes.indices.dropFirst().filter { bytes[$0] & 0xC0 != 0x80 }
      guard let second = starts.first, let last = starts.last else { continue }
      for start in starts {
        guard let left = part(bytes[..<start], isCharacter: start == second),
          let right = part(bytes[start...], isCharacter: start == last)
        else { continue }
        merges.append(
          ScoredMerge(left: left, right: right, merged: Int32(id), rank: ranks[scores[id]] ?? 0))
      }
    }
    return merges.sorted { ($0.rank, $0.merged) < ($1.rank, $1.merged) }
  }
}
