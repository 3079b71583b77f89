import CKernels
import Testing

@Suite("Fused products")
struct FusedProductTests {
  /// Tokens on both sides of where each thread prepares all rows for itself.
  @Test("They give the bits of the operators one by one", arguments: [1, 2, 3, 9, 130])
  func fusedIsSeparate(_ tokens: Int) throws {
    let columns = 256, format = try #require(hearth_format_for(3))
    let first = try #require(AffineExample(format, rows: 37, columns: columns))
    let second = try #require(AffineExample(format, rows: 16, columns: columns, terms: 2))
    var noise = AffineNoise(state: UInt64(tokens))
    let x = (0..<tokens * columns).map { _ in noise.next() * 3 }
    let up = (0..<tokens * columns).map { _ in noise.next() }
    let weight = (0..<columns).map { _ in noise.next() }
    let residual = (0..<tokens * 37).map { _ in noise.next() }
    let pools = (1...3).compactMap { hearth_pool_create($0) }
    defer { pools.forEach(hearth_pool_destroy) }

    onEveryInstructionSet { _ in
      for pool in pools {
        var normal = [Float](repeating: 0, count: x.count), gated = normal
        hearth_rms_norm(pool, &normal, nil, x, weight, tokens, columns, 1e-5)
        hearth_swiglu(pool, &gated, x, up, x.count)

        let both = fused(
          HEARTH_INPUT_RMS_NORM, x, weight: weight, up: nil, [first, second], residual: nil, tokens, pool)
        let one = quantizedActivations(normal, tokens: tokens, columns: columns)
        let two = quantizedActivations(normal, terms: 2, tokens: tokens, columns: columns)
        #expect(haveSameBits(both[0], dense(first.product(one, tokens: tokens), 37)))
        #expect(haveSameBits(both[1], dense(second.product(two, terms: 2, tokens: tokens), 16)))

        let down = fused(
          HEARTH_INPUT_SWIGLU, x, weight: nil, up: up, [first], residual: residual, tokens, pool)
        let product = dense(
          first.product(quantizedActivations(gated, tokens: tokens, columns: columns), tokens: tokens), 37)
        #expect(haveSameBits(down[0], zip(product, residual).map { $0 + $1 }))

        let plain = fused(
          HEARTH_INPUT_PLAIN, x, weight: nil, up: nil, [second], residual: nil, tokens, pool)
        let activations = quantizedActivations(x, terms: 2, tokens: tokens, columns: columns)
        #expect(haveSameBits(plain[0], dense(second.product(activations, terms: 2, tokens: tokens), 16)))
      }
    }
  }

  /// Without the gaps between rows.
  private func dense(_ y: [Float], _ rows: Int) -> [Float] {
    y.enumerated().filter { $0.offset % (rows + 3) < rows }.map(\.element)
  }

  private func fused(
    _ kind: hearth_input_kind, _ x: [Float], weight: [Float]?, up: [Float]?, _ examples: [AffineExample],
    residual: [Float]?, _ tokens: Int, _ pool: OpaquePointer
  ) -> [[Float]] {
    let columns = examples[0].columns
    let ys = examples.map { UnsafeMutablePointer<Float>.allocate(capacity: tokens * $0.rows) }
    defer { ys.forEach { $0.deallocate() } }
    let room = hearth_activation_bytes(columns, 2) * tokens * Int(hearth_pool_threads(pool))
    var activations = [UInt8](repeating: 0, count: room)
    x.withUnsafeBufferPointer { x in
      (weight ?? []).withUnsafeBufferPointer { weight in
        (up ?? []).withUnsafeBufferPointer { up in
          var input = hearth_projection_input(
            kind: kind, x: x.baseAddress, ldx: columns, weight: weight.baseAddress, up: up.baseAddress,
            epsilon: 1e-5)
          let matrices = examples.map { Optional($0.matrix) }
          hearth_affine_project(
            pool, &input, tokens, examples.count, matrices, ys.map(Optional.init), examples.map(\.rows),
            residual, examples[0].rows, &activations)
        }
      }
    }
    return zip(ys, examples).map { Array(UnsafeBufferPointer(start: $0, count: tokens * $1.rows)) }
  }
}
