internal import Foundation

/// The waves of rotary position embeddings.
enum RotaryWaves {
  /// Positions in which each pair of a head turns once, 2π · base^(2i/d), `[headWidth / 2]`.
  static func lengths(headWidth: Int, base: Float) -> [Float] {
    (0..<headWidth / 2).map { pair in
      Float(2 * Double.pi * pow(Double(base), Double(2 * pair) / Double(headWidth)))
    }
  }
}
