/// What storing values in fewer bits cost, by class of tensor.
///
///     relative error = √(Σ (w − ŵ)² / Σ w²)
///
/// Sums run in f64 over the tensors in the order they were written.
public final class QuantizationError {
  /// The sums of one class.
  public struct Sum: Sendable, Equatable {
    /// Σ (w − ŵ)²
    var squaredError = 0.0
    /// Σ w²
    var squares = 0.0
    /// Numbers in the class.
    public fileprivate(set) var count = 0
    /// The types that its tensors were stored in, in order of appearance.
    public fileprivate(set) var types: [String] = []

    fileprivate mutating func add(_ error: Double, _ squares: Double, count: Int, type: String) {
      squaredError += error
      self.squares += squares
      self.count += count
      if !types.contains(type) { types.append(type) }
    }

    /// The relative root-mean-square error; 0 for zeros that stayed zeros.
    public var relative: Double { squares > 0 ? (squaredError / squares).squareRoot() : 0 }
  }

  /// By the tensor's name without the block's number, "attn_q.weight", in order of appearance.
  public private(set) var classes: [(name: String, sum: Sum)] = []
  /// Over all tensors.
  public private(set) var overall = Sum()

  /// Nothing yet.
  public init() {}

  /// Counts values of a tensor and what they became.
  ///
  /// - Parameter stored: What the file's bytes stand for; nil when they stand for the values exactly.
  func add(_ name: String, type: GGMLType, _ values: [Float], stored: [Float]?) {
    var (error, squares) = (0.0, 0.0)
    for (index, value) in values.enumerated() {
      squares += Double(value) * Double(value)
      if let stored {
        let difference = Double(value) - Double(stored[index])
        error += difference * difference
      }
    }
    let kind = QuantizationError.className(name)
    let index = classes.firstIndex { $0.name == kind } ?? classes.count
    if index == classes.count { classes.append((kind, Sum())) }
    classes[index].sum.add(error, squares, count: values.count, type: type.name)
    overall.add(error, squares, count: values.count, type: type.name)
  }

  /// "blk.7.attn_q.weight" is an "attn_q.weight".
  static func className(_ name: String) -> String {
    let parts = name.split(separator: ".")
    return parts.first == "blk" && parts.count > 2 ? parts.dropFirst(2).joined(separator: ".") : name
  }
}
