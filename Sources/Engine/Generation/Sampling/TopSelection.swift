/// The best `capacity` of many scored indices, in one pass and without sorting the rest.
///
/// Higher scores are better; among equal scores the lower index is. A binary heap keeps the worst of
/// the chosen at its root, so an index that does not make it costs one comparison: n + k·log k·log(n/k)
/// steps on random input.
struct TopSelection {
  /// A score and where it was.
  struct Entry: Equatable {
    var score: Float
    var index: Int

    func isBetter(than other: Entry) -> Bool {
      score > other.score || (score == other.score && index < other.index)
    }
  }

  let capacity: Int
  /// Heap order: no parent is better than its children.
  private var heap: [Entry] = []

  /// Room for `capacity` entries; at most `expected` of them are reserved.
  init(capacity: Int, expected: Int = 0) {
    self.capacity = max(0, capacity)
    heap.reserveCapacity(min(self.capacity, expected))
  }

  /// The worst entry that still makes it, if there is one.
  var worst: Entry? { heap.first }

  /// Considers an entry. The score must be a number.
  mutating func offer(_ score: Float, at index: Int) {
    let entry = Entry(score: score, index: index)
    if heap.count < capacity {
      heap.append(entry)
      siftUp()
    } else if let worst = heap.first, entry.isBetter(than: worst) {
      heap[0] = entry
      siftDown()
    }
  }

  /// The chosen entries, best first.
  func sorted() -> [Entry] { heap.sorted { $0.isBetter(than: $1) } }

  private mutating func siftUp() {
    var child = heap.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      guard heap[parent].isBetter(than: heap[child]) else { return }
      heap.swapAt(parent, child)
      child = parent
    }
  }

  private mutating func siftDown() {
    var parent = 0
    while true {
      var worst = parent
      for child in [2 * parent + 1, 2 * parent + 2]
      where child < heap.count && heap[worst].isBetter(than: heap[child]) {
        worst = child
      }
      guard worst != parent else { return }
      heap.swapAt(parent, worst)
      parent = worst
    }
  }
}
