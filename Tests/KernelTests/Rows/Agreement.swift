import CKernels
import Testing

/// Repeatable noise in -1 ..< 1.
struct RowNoise {
  private var state: UInt64

  init(_ seed: UInt64) { state = seed &* 2_654_435_769 &+ 1 }

  mutating func next() -> Float {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Float(Int32(truncatingIfNeeded: state >> 32)) / 2_147_483_648
  }

  mutating func array(_ count: Int, scale: Float = 1) -> [Float] {
    (0..<count).map { _ in scale * next() }
  }
}

/// Computes on every instruction set, alone and with pools of one to three workers, expects the same bits
/// everywhere and returns them.
func everywhere(
  _ name: String, sourceLocation: SourceLocation = #_sourceLocation,
  _ compute: (OpaquePointer?) -> [Float]
) -> [Float] {
  var reference: [Float] = []
  onEveryInstructionSet { instructionSet in
    for threads in 0...3 {
      let pool = threads == 0 ? nil : hearth_pool_create(Int32(threads))
      defer { if let pool { hearth_pool_destroy(pool) } }
      let result = compute(pool)
      if instructionSet == HEARTH_ISA_SCALAR && threads == 0 { reference = result }
      let place = zip(reference, result).enumerated().first {
        $0.element.0.bitPattern != $0.element.1.bitPattern
      }?.offset
      let isa = String(cString: hearth_isa_name(instructionSet))
      #expect(
        place == nil && result.count == reference.count,
        "\(name) differs from scalar on \(isa) with \(threads) threads at \(place ?? -1)",
        sourceLocation: sourceLocation)
    }
  }
  return reference
}

/// Expects |got - expected| <= tolerance * max(1, |expected|) everywhere.
func expectClose(
  _ name: String, _ got: some Collection<Float>, _ expected: some Collection<Float>,
  tolerance: Float = 2e-6, sourceLocation: SourceLocation = #_sourceLocation
) {
  #expect(got.count == expected.count, "\(name)", sourceLocation: sourceLocation)
  var worst: Float = 0
  for (x, y) in zip(got, expected) {
    let error = abs(x - y) / max(1, abs(y))
    worst = error > worst || error.isNaN ? error : worst
  }
  #expect(worst <= tolerance, "\(name): error \(worst)", sourceLocation: sourceLocation)
}

/// Expects `gradient` to be the slope of `loss` at `x`: central differences along random directions.
func expectSlope(
  _ name: String, of loss: ([Float]) -> Double, at x: [Float], gradient: [Float],
  step: Float = 1e-2, tolerance: Double = 2e-3, sourceLocation: SourceLocation = #_sourceLocation
) {
  var noise = RowNoise(UInt64(x.count) + 5)
  for _ in 0..<3 {
    let direction = noise.array(x.count)
    let ahead = loss(zip(x, direction).map { $0 + step * $1 })
    let behind = loss(zip(x, direction).map { $0 - step * $1 })
    let slope = (ahead - behind) / Double(2 * step)
    let claimed = zip(gradient, direction).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
    let size = zip(gradient, direction).reduce(0.0) { $0 + abs(Double($1.0) * Double($1.1)) }
    #expect(
      abs(slope - claimed) <= tolerance * max(size, 1e-3),
      "\(name): slope \(slope), gradient says \(claimed)", sourceLocation: sourceLocation)
  }
}

/// Σ a·b in double precision: a loss whose gradient in `a` is `b`.
func inner(_ a: [Float], _ b: [Float]) -> Double {
  zip(a, b).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
}
