/// A binary heap of merges: lowest rank first, and among equals the leftmost place.
struct MergeHeap {
  private struct Entry {
    var merge: MergeTable.Merge
    var place: Int32

    @inline(__always)
    func precedes(_ other: Entry) -> Bool {
      merge >> 32 != other.merge >> 32 ? merge < other.merge : place < other.place
    }
  }

  private var entries: [Entry] = []

  mutating func removeAll() { entries.removeAll(keepingCapacity: true) }

  mutating func push(_ merge: MergeTable.Merge, at place: Int32) {
    let entry = Entry(merge: merge, place: place)
    var index = entries.count
    entries.append(entry)
    while index > 0 {
      let parent = (index - 1) / 2
      guard entry.precedes(entries[parent]) else { break }
      entries[index] = entries[parent]
      index = parent
    }
    entries[index] = entry
  }

  mutating func pop() -> (merge: MergeTable.Merge, place: Int32)? {
    guard let first = entries.first, let last = entries.popLast() else { return nil }
    if !entries.isEmpty {
      var index = 0
      while true {
        var child = 2 * index + 1
        guard child < entries.count else { break }
        if child + 1 < entries.count, entries[child + 1].precedes(entries[child]) { child += 1 }
        guard entries[child].precedes(last) else { break }
        entries[index] = entries[child]
        index = child
      }
      entries[index] = last
    }
    return (first.merge, first.place)
  }
}
