/// Whole sequences as the rows of a pass: what several of them begin with is there once.
///
/// Causal attention lets a token see those before it and nothing else, so sequences that begin alike have the same activations there,
/// to the bit. Conversations under one system message, or two answers to one question, share that many rows; only attention, where
/// the rows after them look back, unfolds them again. A *place* is a token of a sequence, a *row* what is computed for it.
struct PackedRows {
  /// Of each row, `[rows]`.
  private(set) var tokens: [Int32] = []
  /// Of each row in its sequences, `[rows]`.
  private(set) var positions: [Int32] = []
  /// First place of each sequence and, last, the number of places.
  private(set) var starts: [Int32] = [0]
  /// The row of each place, `[places]`.
  private(set) var rowOfPlace: [Int32] = []
  /// The rows after each row, by token, and those that sequences begin with.
  private var next: [Edge: Int32] = [:]
  private let isSharing: Bool

  private struct Edge: Hashable {
    let row, token: Int32
  }

  /// - Parameter isSharing: Whether equal beginnings are computed once; otherwise each place has a row of its own.
  init(isSharing: Bool = true) { self.isSharing = isSharing }

  /// Sequences of some lengths whose tokens nobody looks up, each with rows of its own.
  init(lengths: [Int]) {
    self.init(isSharing: false)
    for length in lengths { append(repeatElement(0, count: length)) }
  }

  /// Adds a sequence.
  mutating func append(_ ids: some Collection<Int32>) {
    var before: Int32 = -1
    for (position, token) in ids.enumerated() {
      let edge = Edge(row: before, token: token)
      if isSharing, let row = next[edge] {
        before = row
      } else {
        before = Int32(tokens.count)
        if isSharing { next[edge] = before }
        tokens.append(token)
        positions.append(Int32(position))
      }
      rowOfPlace.append(before)
    }
    starts.append(Int32(rowOfPlace.count))
  }

  /// How many of the rows of a sequence are there already.
  func sharedCount(_ ids: some Collection<Int32>) -> Int {
    var (count, before): (Int, Int32) = (0, -1)
    for token in ids {
      guard let row = next[Edge(row: before, token: token)] else { break }
      (count, before) = (count + 1, row)
    }
    return count
  }

  /// How attention finds its way between rows and places; nil where they are the same.
  func folding() -> Folding? {
    tokens.count == rowOfPlace.count ? nil : Folding(rowOfPlace: rowOfPlace, rowCount: tokens.count, starts: starts)
  }

  /// Which places a row stands for.
  final class Folding {
    /// The row of each place, `[places]`.
    let rowOfPlace: [Int32]
    /// Likewise, but −1 for places whose row has been there before.
    let rowOfFirstPlace: [Int32]
    /// The places of row r are `places[offsets[r]..<offsets[r + 1]]`, in order.
    let places, offsets: [Int32]
    /// The first place of each row, `[rows]`.
    let firstPlaces: [Int32]
    /// For each sequence, at which of its places its own rows begin, `[sequences]`.
    let firstOwn: [Int32]

    init(rowOfPlace: [Int32], rowCount: Int, starts: [Int32]) {
      self.rowOfPlace = rowOfPlace
      var counts = [Int32](repeating: 0, count: rowCount + 1)
      let rowOfFirstPlace = rowOfPlace.map { row in
        counts[Int(row) + 1] += 1
        return counts[Int(row) + 1] == 1 ? row : -1
      }
      self.rowOfFirstPlace = rowOfFirstPlace
      firstOwn = zip(starts, starts.dropFirst()).map { start, end in
        Int32(rowOfFirstPlace[Int(start)..<Int(end)].prefix { $0 < 0 }.count)
      }
      for row in 0..<rowCount { counts[row + 1] += counts[row] }
      offsets = counts
      var places = [Int32](repeating: 0, count: rowOfPlace.count)
      for (place, row) in rowOfPlace.enumerated() {
        places[Int(counts[Int(row)])] = Int32(place)
        counts[Int(row)] += 1
      }
      self.places = places
      firstPlaces = offsets.dropLast().map { places[Int($0)] }
    }
  }
}

/// A batch, or a part of one, as a pass computes it.
struct PackedBatch {
  var rows: PackedRows
  /// The row before each target.
  var wanted: [Int] = []
  var targets: [Int32] = []
}

extension TrainingBatch {
  /// The rows that supervised ones depend on, in parts of whole sequences; sequences in which nothing counts have none.
  ///
  /// - Parameters:
  ///   - isSharing: Whether equal beginnings are computed once.
  ///   - limit: Rows of a part; where a sequence has more, a quarter more than it.
  /// - Returns: All targets in the order of `targets`.
  func packed(isSharing: Bool, limit: Int = .max) -> [PackedBatch] {
    var (parts, part): ([PackedBatch], PackedBatch) = ([], PackedBatch(rows: PackedRows(isSharing: isSharing)))
    var (counted, most) = (0, 0)
    for (start, end) in zip(starts, starts.dropFirst()) {
      let own = supervisedRows[counted...].prefix { $0 < Int(end) }
      // What comes after the last token that counts is looked at by nobody.
      guard let last = own.last else { continue }
      let ids = tokens[Int(start)...last]
      if !part.targets.isEmpty, part.rows.tokens.count + ids.count - part.rows.sharedCount(ids) > most {
        parts.append(part)
        part = PackedBatch(rows: PackedRows(isSharing: isSharing))
      }
      // So that a long beginning finds others that share it.
      if part.targets.isEmpty { most = ids.count > limit ? ids.count + ids.count / 4 : limit }
      let place = part.rows.rowOfPlace.count
      part.rows.append(ids)
      part.wanted += own.map { Int(part.rows.rowOfPlace[place + $0 - Int(start)]) }
      part.targets += targets[counted..<counted + own.count]
      counted += own.count
    }
    if !part.targets.isEmpty { parts.append(part) }
    return parts
  }
}
