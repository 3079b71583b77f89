import Testing

@testable import hearth

/// What `hearth promote` says it did.
@Suite struct PromoteWordingTests {
  @Test func anAliasIsSaidToBeTheModelBehindTheOther() {
    #expect(Promote.outcome("desk", is: "desk-1", standingFor: nil, before: nil) == "desk is desk-1 now")
    #expect(
      Promote.outcome("desk", is: "desk-2", standingFor: nil, before: "desk-1")
        == "desk is desk-2 now; it was desk-1: hearth rollback desk undoes it")
    #expect(
      Promote.outcome("front", is: "desk", standingFor: "desk-2", before: nil)
        == "front is desk-2 now, as desk is, and stays so when desk changes")
  }
}
