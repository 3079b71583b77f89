internal import CKernels
internal import Glibc

/// Rotary position embedding.
///
///     (x[i], x[j]) turned by the angle  position · θᵢ      θᵢ = base^(−2i/d) / factor[i]
///
/// Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding" (arXiv:2104.09864), equation 15. Angles are rounded to
/// f32 as `transformers` does, so that far positions agree.
@safe
final class RoPE {
  /// Which two elements of a head turn together.
  enum Pairing {
    /// (2i, 2i + 1): Meta's order, and that of GGUF files of architecture llama.
    case neighbours
    /// (i, i + d/2): GPT-NeoX's order, and that of Hugging Face folders.
    case halves
  }

  let headWidth: Int
  let pairing: Pairing
  /// Angle for each position step, `[headWidth / 2]`.
  let frequencies: [Float]
  private var cosines: [Float] = []
  private var sines: [Float] = []
  private var positionCount = 0

  init(headWidth: Int, pairing: Pairing, frequencies: [Float]) {
    self.headWidth = headWidth
    self.pairing = pairing
    self.frequencies = frequencies
  }

  /// base^(−2i/d) for each pair.
  static func frequencies(headWidth: Int, base: Float) -> [Float] {
    (0..<headWidth / 2).map { 1 / powf(base, Float(2 * $0) / Float(headWidth)) }
  }

  /// Angles for each position step with the scaling that a checkpoint asks for.
  static func frequencies(headWidth: Int, _ settings: RoPESettings) -> [Float] {
    let frequencies = frequencies(headWidth: headWidth, base: Float(settings.base))
    switch settings.scaling {
    case .none: return frequencies
    case .linear(let factor): return frequencies.map { $0 / Float(factor) }
    case .llama3(let factor, let low, let high, let original):
      return llama3(
        frequencies, factor: Float(factor), lowFrequencyFactor: Float(low), highFrequencyFactor: Float(high),
        originalContext: Float(original))
    }
  }

  /// Llama 3's stretched frequencies: long waves slowed by `factor`, short ones kept, a ramp between.
  ///
  /// Meta, `llama-models`, `apply_scaling`.
  static func llama3(
    _ frequencies: [Float], factor: Float, lowFrequencyFactor: Float, highFrequencyFactor: Float,
    originalContext: Float
  ) -> [Float] {
    frequencies.map { frequency in
      let wavelength = 2 * Float.pi / frequency
      if wavelength > originalContext / lowFrequencyFactor { return frequency / factor }
      if wavelength < originalContext / highFrequencyFactor { return frequency }
      let smooth =
        (originalContext / wavelength - lowFrequencyFactor) / (highFrequencyFactor - lowFrequencyFactor)
      return (1 - smooth) * frequency / factor + smooth * frequency
    }
  }

  /// Runs `body` with tables that cover positions below `count`.
  func withTables(
    _ count: Int, _ body: (_ cosines: UnsafePointer<Float>, _ sines: UnsafePointer<Float>) -> Void
  ) {
    if positionCount < count {
      let wanted = max(count, positionCount * 2, 256)
      for position in positionCount..<wanted {
        for frequency in frequencies {
          let angle = Double(Float(position) * frequency)
          cosines.append(Float(cos(angle)))
          sines.append(Float(sin(angle)))
        }
      }
      positionCount = wanted
    }
    unsafe cosines.withUnsafeBufferPointer { cosines in
      unsafe sines.withUnsafeBufferPointer { sines in
        if let c = cosines.baseAddress, let s = sines.baseAddress { unsafe body(c, s) }
      }
    }
  }
}

extension Pass {
  /// Turns each head of `x`, `[tokens, heads · headWidth]`, in place; x is not to be used in another way.
  ///
  /// The gradient turns back: dx = R(−angle)·dy, in place likewise.
  func rope(_ x: Tensor, _ rope: RoPE) -> Tensor {
    turn(x, rope, inverse: false)
    guard let tape, x.requiresGradient else { return x }
    let slot = x.slot
    tape.record { [self] in
      if let gradient = slot.gradient { turn(gradient, rope, inverse: true) }
    }
    return x
  }

  private func turn(_ x: Tensor, _ rope: RoPE, inverse: Bool) {
    unsafe rope.withTables(positionLimit) { cosines, sines in
      unsafe hearth_rope(
        pool.pointer, x.data, positions, cosines, sines, x.rows, x.columns / rope.headWidth,
        rope.headWidth, rope.headWidth,
        rope.pairing == .neighbours ? HEARTH_ROPE_NEIGHBOURS : HEARTH_ROPE_HALVES, inverse)
    }
  }
}
