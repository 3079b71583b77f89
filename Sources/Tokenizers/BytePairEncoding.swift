/// Byte-pair encoding of single words: the best-ranked pair merges, leftmost first, until none is
/// left.
///
/// Sennrich, Haddow and Birch, "Neural Machine Translation of Rare Words with Subword Units"
/// (arXiv:1508.07909), section 3.2, over bytes or characters. SentencePiece's way differs only in that pairs are ranked by
/// the token that they make, so several pairs share a rank.
struct BytePairEncoding: Sendable {
  /// Words up to this many bytes scan for the best pair; longer ones keep a heap. Scanning is
  /// quadratic, yet quicker while everything stays in a few cache lines.
  static let longestScannedWord = 48

  /// What is merged.
  let alphabet: Alphabet
  let merges: MergeTable
  /// The id for symbols without a token.
  let unknown: Int32?
  /// Whether neighbouring unknown symbols are one token.
  let fusesUnknown: Bool

  /// Room that is used anew for each word.
  struct Scratch {
    var symbols: [Int32] = []
    var pairs: [MergeTable.Merge] = []
    var next: [Int32] = []
    var previous: [Int32] = []
    var heap = MergeHeap()
  }

  /// Appends the tokens of `text[start..<end]` to `ids`.
  func encode(
    _ text: Span<UInt8>, _ start: Int, _ end: Int, scratch: inout Scratch, into ids: inout [Int32]
  ) {
    scratch.symbols.removeAll(keepingCapacity: true)
    alphabet.symbols(text, start, end, unknown: unknown, fuses: fusesUnknown, into: &scratch.symbols)
    let first = ids.count
    let count = scratch.symbols.count
    if count < 2 {
      ids.append(contentsOf: scratch.symbols)
    } else if count <= Self.longestScannedWord {
      mergeByScanning(&scratch, into: &ids)
    } else {
      mergeByHeap(&scratch, into: &ids)
    }
    if case .characters(let characters) = alphabet, !characters.spares.isEmpty {
      spellSpares(characters, from: first, in: &ids)
    }
  }

  /// Replaces symbols that are no tokens by those of their bytes.
  private func spellSpares(_ characters: CharacterAlphabet, from first: Int, in ids: inout [Int32]) {
    guard ids[first...].contains(where: { $0 >= characters.firstSpare }) else { return }
    let symbols = Array(ids[first...])
    ids.removeSubrange(first...)
    for symbol in symbols {
      if symbol < characters.firstSpare {
        ids.append(symbol)
      } else {
        characters.appendSpelled(symbol, unknown: unknown, to: &ids)
      }
    }
  }

  /// Quadratic in the word, without any structure to keep.
  private func mergeByScanning(_ scratch: inout Scratch, into ids: inout [Int32]) {
    var count = scratch.symbols.count
    scratch.pairs.removeAll(keepingCapacity: true)
    for index in 0..<count - 1 {
      scratch.pairs.append(merges.merge(scratch.symbols[index], scratch.symbols[index + 1]))
    }
    while count > 1 {
      var best = MergeTable.none
      var position = 0
      for index in 0..<count - 1 where MergeTable.precedes(scratch.pairs[index], best) {
        best = scratch.pairs[index]
        position = index
      }
      guard best != MergeTable.none else { break }
      scratch.symbols[position] = MergeTable.merged(best)
      count -= 1
      if position + 1 < count {
        for index in position + 1..<count { scratch.symbols[index] = scratch.symbols[index + 1] }
        for index in position..<count - 1 { scratch.pairs[index] = scratch.pairs[index + 1] }
        scratch.pairs[position] = merges.merge(
          scratch.symbols[position], scratch.symbols[position + 1])
      }
      if position > 0 {
        scratch.pairs[position - 1] = merges.merge(
          scratch.symbols[position - 1], scratch.symbols[position])
      }
    }
    ids.append(contentsOf: scratch.symbols[..<count])
  }

  /// O(n log n): a linked list of symbols and a heap of the pairs that may merge. A pair in the heap
  /// is stale if its place has changed since, and is then passed over.
  private func mergeByHeap(_ scratch: inout Scratch, into ids: inout [Int32]) {
    let count = scratch.symbols.count
    scratch.next = (0..<count).map { Int32($0 + 1) }
    scratch.previous = (0..<count).map { Int32($0 - 1) }
    scratch.heap.removeAll()
    for index in 0..<count - 1 {
      let merge = merges.merge(scratch.symbols[index], scratch.symbols[index + 1])
      if merge != MergeTable.none { scratch.heap.push(merge, at: Int32(index)) }
    }
    while let (merge, place) = scratch.heap.pop() {
      let left = Int(place)
      let right = Int(scratch.next[left])
      // A symbol that was merged away is −1 and merges with nothing.
      guard scratch.symbols[left] >= 0, right < count,
        merges.merge(scratch.symbols[left], scratch.symbols[right]) == merge
      else { continue }
      scratch.symbols[left] = MergeTable.merged(merge)
      scratch.symbols[right] = -1
      let after = Int(scratch.next[right])
      scratch.next[left] = Int32(after)
      if after < count {
        scratch.previous[after] = Int32(left)
        let merge = merges.merge(scratch.symbols[left], scratch.symbols[after])
        if merge != MergeTable.none { scratch.heap.push(merge, at: Int32(left)) }
      }
      let before = Int(scratch.previous[left])
      if before >= 0 {
        let merge = merges.merge(scratch.symbols[before], scratch.symbols[left])
        if merge != MergeTable.none { scratch.heap.push(merge, at: Int32(before)) }
      }
    }
    for symbol in scratch.symbols where symbol >= 0 { ids.append(symbol) }
  }
}
