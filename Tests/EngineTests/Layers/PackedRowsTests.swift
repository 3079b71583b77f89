import Testing

@testable import Engine

/// Which rows sequences share, and how attention finds them again.
@Suite struct PackedRowsTests {
  private func rows(_ texts: [[Int32]], isSharing: Bool = true) -> PackedRows {
    var rows = PackedRows(isSharing: isSharing)
    for text in texts { rows.append(text) }
    return rows
  }

  @Test func beginningsAreThereOnce() {
    let packed = rows([[5, 6, 7], [5, 6, 8, 9], [6], [5, 6, 8, 9, 1]])
    #expect(packed.tokens == [5, 6, 7, 8, 9, 6, 1])
    #expect(packed.positions == [0, 1, 2, 2, 3, 0, 4])
    #expect(packed.starts == [0, 3, 7, 8, 13])
    #expect(packed.rowOfPlace == [0, 1, 2, 0, 1, 3, 4, 5, 0, 1, 3, 4, 6])
  }

  @Test func equalTokensAfterDifferentBeginningsAreNotShared() {
    #expect(rows([[1, 2, 3], [4, 2, 3]]).tokens == [1, 2, 3, 4, 2, 3])
  }

  @Test func withoutSharingEachPlaceIsARow() {
    let packed = rows([[5, 6], [5, 6, 7]], isSharing: false)
    #expect(packed.tokens == [5, 6, 5, 6, 7])
    #expect(packed.positions == [0, 1, 0, 1, 2])
    #expect(packed.folding() == nil)
  }

  @Test func whatIsSharedCanBeAskedBefore() {
    let packed = rows([[5, 6, 7], [5, 8]])
    #expect(packed.sharedCount([5, 6, 9, 7] as [Int32]) == 2)
    #expect(packed.sharedCount([5, 8, 1] as [Int32]) == 2)
    #expect(packed.sharedCount([6] as [Int32]) == 0)
  }

  @Test func placesLeadBackToRows() throws {
    let folding = try #require(rows([[5, 6, 7], [5, 6], [5, 6, 7]]).folding())
    #expect(folding.rowOfPlace == [0, 1, 2, 0, 1, 0, 1, 2])
    #expect(folding.rowOfFirstPlace == [0, 1, 2, -1, -1, -1, -1, -1])
    #expect(folding.offsets == [0, 3, 6, 8])
    #expect(folding.places == [0, 3, 5, 1, 4, 6, 2, 7])
    #expect(folding.firstPlaces == [0, 1, 2])
    #expect(folding.firstOwn == [0, 2, 3])
  }

  @Test func partsHoldWholeSequencesAndWhatTheyShareCountsOnce() {
    var batch = TrainingBatch()
    func add(_ ids: [Int32], _ supervised: [Int]) {
      batch.append(ids, supervised: ids.indices.map { supervised.contains($0) })
    }
    add([1, 2, 3, 4], [3])
    add([1, 2, 3, 5, 6], [3, 4])
    add([9, 9], [])
    add([7, 8, 7, 8], [1])
    let one = batch.packed(isSharing: true)
    #expect(one.count == 1)
    // Tokens after the last that counts are left out, and so is a sequence in which none does.
    #expect(one[0].rows.tokens == [1, 2, 3, 5, 7])
    #expect(one[0].wanted == [2, 2, 3, 4])
    #expect(one[0].targets == [4, 5, 6, 8])
    let parts = batch.packed(isSharing: true, limit: 4)
    #expect(parts.map(\.rows.tokens) == [[1, 2, 3, 5], [7]])
    #expect(parts.map(\.targets) == [[4, 5, 6], [8]])
    #expect(batch.packed(isSharing: false, limit: 4).map(\.rows.tokens) == [[1, 2, 3], [1, 2, 3, 5], [7]])
    #expect(batch.packed(isSharing: true, limit: 1).map(\.targets) == [[4], [5, 6, 8]])
    // Where one sequence is longer than the limit, others that share most of it still join it.
    var long = TrainingBatch()
    for last in [Int32(9), 8, 7, 6] {
      long.append([1, 2, 3, 4, 5, 6, 7, 8, last, 0], supervised: (0..<10).map { $0 == 9 })
    }
    #expect(long.packed(isSharing: true, limit: 5).map(\.rows.tokens.count) == [11, 9])
    #expect(TrainingBatch().packed(isSharing: true).isEmpty)
  }
}
