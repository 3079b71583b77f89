import CKernels
import Testing

@Suite("RoPE")
struct RopeTests {
  @Test("Both pairings are the published ones and turn back")
  func pairings() throws {
    for golden in try GoldenCase.load("rope") {
      let (rows, heads) = (golden.count("rows"), golden.count("heads"))
      let (width, rotary) = (golden.count("headWidth"), golden.count("rotaryWidth"))
      let positions = golden.integers("positions")
      for (pairing, name) in [(HEARTH_ROPE_HALVES, "halves"), (HEARTH_ROPE_NEIGHBOURS, "neighbours")] {
        func turn(_ x: [Float], _ pool: OpaquePointer?, inverse: Bool) -> [Float] {
          var x = x
          hearth_rope(
            pool, &x, positions, golden["cosines"], golden["sines"], rows, heads, width, rotary,
            pairing, inverse)
          return x
        }
        let turned = everywhere(name) { turn(golden["x"], $0, inverse: false) }
        expectClose(name, turned, golden[name], tolerance: 1e-6)
        let back = everywhere(name) { turn(turned, $0, inverse: true) }
        expectClose("\(name), back", back, golden["x"], tolerance: 1e-6)
      }
    }
  }

  @Test("Work shared among workers gives the same bits")
  func shared() {
    var noise = RowNoise(8)
    let (rows, heads, width) = (37, 9, 64)
    let x = noise.array(rows * heads * width), table = noise.array(rows * width / 2)
    let positions = (0..<Int32(rows)).reversed().map { $0 }
    _ = everywhere("rope") { pool in
      var y = x
      for pairing in [HEARTH_ROPE_HALVES, HEARTH_ROPE_NEIGHBOURS] {
        hearth_rope(
          pool, &y, positions, table, table, rows, heads, width, width, pairing, false)
      }
      return y
    }
  }
}
