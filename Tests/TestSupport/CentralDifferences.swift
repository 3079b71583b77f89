/// Derivatives by central differences, to check gradients with.
public enum CentralDifferences {
  /// The derivative of `function` at 0.
  ///
  ///     f′(0) = (4·D(h) − D(2h)) / 3 + O(h⁴)      D(h) = (f(h) − f(−h)) / 2h
  ///
  /// Richardson's extrapolation lets h be large enough that the rounding of an `f` computed in f32 does not show.
  ///
  /// - Parameters:
  ///   - step: h.
  ///   - function: f.
  public static func derivative(step: Double, of function: (Double) throws -> Double) rethrows -> Double {
    func quotient(_ h: Double) throws -> Double { (try function(h) - function(-h)) / (2 * h) }
    return (4 * (try quotient(step)) - (try quotient(2 * step))) / 3
  }
}
