internal import Engine

extension SplitMix64 {
  /// An index below `count`, without bias (Lemire, "Fast Random Integer Generation in an Interval", arXiv:1805.10941).
  ///
  /// Written out rather than left to the standard library, whose way from bits to indices may change between releases.
  mutating func index(below count: Int) -> Int {
    let bound = UInt64(max(count, 1))
    let threshold = (0 &- bound) % bound
    while true {
      let product = next().multipliedFullWidth(by: bound)
      if product.low >= threshold { return Int(product.high) }
    }
  }

  /// Shuffles `elements` (Fisher and Yates).
  mutating func shuffle<Element>(_ elements: inout [Element]) {
    for last in stride(from: elements.count - 1, to: 0, by: -1) {
      elements.swapAt(last, index(below: last + 1))
    }
  }
}
