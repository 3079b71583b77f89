/// A held-out example that the training data gives away.
public struct Leak: Sendable, Equatable, CustomStringConvertible {
  /// How alike the two prompts are.
  public enum Likeness: Sendable, Equatable {
    /// The same characters.
    case exact
    /// The same after folding case, white space and Unicode composition.
    case normalized
    /// This share of their character 5-grams in common (Jaccard index).
    case near(Double)
  }

  /// Index of the held-out example.
  public let validation: Int
  /// Index of the training example most like it.
  public let training: Int
  /// How alike they are.
  public let likeness: Likeness
  /// `file:line` of both.
  public let places: (validation: String, training: String)

  /// Two leaks are the same when they name the same examples.
  public static func == (a: Leak, b: Leak) -> Bool {
    a.validation == b.validation && a.training == b.training && a.likeness == b.likeness
  }

  /// One line for the user.
  public var description: String {
    let how =
      switch likeness {
      case .exact: "asks the same as"
      case .normalized: "asks the same, but for case and spaces, as"
      case .near(let share): "asks nearly the same (\(Int(share * 100)) %) as"
      }
    return "\(places.validation) \(how) \(places.training)"
  }
}

/// Finds held-out prompts that occur in the training data, letter for letter or nearly.
///
/// Two prompts are near when at least `threshold` of their character 5-grams are shared:
///
///     J(a, b) = |a ∩ b| / |a ∪ b|
///
/// The search is exact. Of two sets that reach the threshold, the rarest 5-grams of each must meet (Xiao et al.,
/// "Efficient Similarity Joins for Near Duplicate Detection", WWW 2008, prefix filtering), so only those are indexed, and
/// the few candidates are then compared in full.
public struct LeakFinder: Sendable {
  private static let gramLength = 5
  private let training: [Example]
  private let threshold: Double
  private let byExact: [String: Int]
  private let byFolded: [String: Int]
  /// The 5-grams of each training prompt, rarest first.
  private let grams: [[UInt64]]
  private let frequency: [UInt64: Int32]
  private let index: [UInt64: [Int32]]

  /// Indexes the training examples.
  ///
  /// - Parameter threshold: Jaccard index from which prompts count as near, above 0 and at most 1.
  public init(training: [Example], threshold: Double = 0.8) {
    self.training = training
    self.threshold = min(max(threshold, 0.05), 1)
    var byExact: [String: Int] = [:]
    var byFolded: [String: Int] = [:]
    var frequency: [UInt64: Int32] = [:]
    var grams: [[UInt64]] = []
    grams.reserveCapacity(training.count)
    for (position, example) in training.enumerated() {
      let prompt = example.prompt
      let folded = prompt.folded
      if byExact[prompt] == nil { byExact[prompt] = position }
      // One of each set of duplicates stands for all of them.
      if byFolded[folded] == nil {
        byFolded[folded] = position
        let set = Self.grams(of: folded)
        for gram in set { frequency[gram, default: 0] &+= 1 }
        grams.append(Array(set))
      } else {
        grams.append([])
      }
    }
    var index: [UInt64: [Int32]] = [:]
    for position in grams.indices {
      let sorted = Self.rarestFirst(grams[position], frequency)
      grams[position] = sorted
      for gram in sorted.prefix(Self.prefixLength(sorted.count, self.threshold)) {
        index[gram, default: []].append(Int32(clamping: position))
      }
    }
    self.byExact = byExact
    self.byFolded = byFolded
    self.frequency = frequency
    self.grams = grams
    self.index = index
  }

  /// The leaks into `validation`, at most one for each held-out example: the most alike.
  public func leaks(into validation: [Example]) -> [Leak] {
    validation.enumerated().compactMap { position, example in
      let prompt = example.prompt
      let folded = prompt.folded
      let found: (Int, Leak.Likeness)? =
        // Dictionaries take canonically equivalent text for equal; exact means the same characters.
        if let match = byExact[prompt], training[match].prompt.utf8.elementsEqual(prompt.utf8) {
          (match, .exact)
        } else if let match = byFolded[folded] {
          (match, .normalized)
        } else {
          nearest(to: folded).map { ($0.position, .near($0.share)) }
        }
      return found.map { match, likeness in
        Leak(
          validation: position, training: match, likeness: likeness,
          places: (example.place, training[match].place))
      }
    }
  }

  private func nearest(to folded: String) -> (position: Int, share: Double)? {
    let set = Self.grams(of: folded)
    let sorted = Self.rarestFirst(Array(set), frequency)
    var candidates: Set<Int32> = []
    for gram in sorted.prefix(Self.prefixLength(sorted.count, threshold)) {
      candidates.formUnion(index[gram] ?? [])
    }
    var best: (position: Int, share: Double)?
    for candidate in candidates.sorted() {
      let other = grams[Int(candidate)]
      let (fewer, more) = (min(other.count, set.count), max(other.count, set.count))
      guard Double(fewer) >= threshold * Double(more) else { continue }
      let shared = other.count { set.contains($0) }
      let share = Double(shared) / Double(other.count + set.count - shared)
      if share >= threshold, share > best?.share ?? 0 { best = (Int(candidate), share) }
    }
    return best
  }

  /// How many of the rarest grams must be looked at so that no pair above the threshold is missed.
  private static func prefixLength(_ count: Int, _ threshold: Double) -> Int {
    count - Int((Double(count) * threshold).rounded(.up)) + 1
  }

  /// One order for all sets: by frequency in the training data, then by value.
  private static func rarestFirst(_ grams: [UInt64], _ frequency: [UInt64: Int32]) -> [UInt64] {
    grams.map { (frequency[$0] ?? 0, $0) }.sorted { $0 < $1 }.map(\.1)
  }

  /// Hashes (FNV-1a) of every run of five characters; a shorter text is one run.
  private static func grams(of text: String) -> Set<UInt64> {
    let scalars = text.unicodeScalars.map(\.value)
    guard !scalars.isEmpty else { return [] }
    var grams: Set<UInt64> = []
    for start in 0...max(scalars.count - gramLength, 0) {
      var hash: UInt64 = 0xCBF2_9CE4_8422_2325
      for scalar in scalars[start..<min(start + gramLength, scalars.count)] {
        hash = (hash ^ UInt64(scalar)) &* 0x100_0000_01B3
      }
      grams.insert(hash)
    }
    return grams
  }
}
