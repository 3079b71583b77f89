/// Loss over steps as an inline SVG: training thin with a smoothed line over it, held-out with dots, the best step marked.
struct LossChart {
  private let training: [Report.Point]
  private let validation: [Report.Point]
  private let bestStep: Int?

  private static let width = 720.0
  private static let height = 320.0
  private static let left = 54.0
  private static let right = 16.0
  private static let top = 14.0
  private static let bottom = 40.0

  /// A chart of what is finite in both series.
  init(training: [Report.Point], validation: [Report.Point], bestStep: Int?) {
    self.training = training.filter(\.value.isFinite)
    self.validation = validation.filter(\.value.isFinite)
    self.bestStep = bestStep
  }

  /// One sentence for those who do not see the drawing.
  var summary: String {
    var parts: [String] = []
    if let first = training.first, let last = training.last {
      parts.append(
        "Training loss from \(Report.fixed(first.value, decimals: 3)) to "
          + "\(Report.fixed(last.value, decimals: 3)) over \(last.step) steps")
    }
    if let best = validation.min(by: { $0.value < $1.value }) {
      parts.append("held-out loss best at \(Report.fixed(best.value, decimals: 3)) after step \(best.step)")
    }
    return parts.joined(separator: "; ") + (parts.isEmpty ? "" : ".")
  }

  /// The drawing, nil when there is nothing to draw.
  var svg: String? {
    guard let scale = Scale(training + validation) else { return nil }
    let points = Self.thinned(Self.smoothed(training).filter(\.value.isFinite))
    var parts: [String] = []
    for value in scale.valueTicks {
      let y = Self.number(scale.y(value))
      parts.append(
        "<line class=\"grid\" x1=\"\(Self.number(Self.left))\" x2=\"\(Self.number(Self.width - Self.right))\" y1=\"\(y)\" y2=\"\(y)\"/>"
          + "<text x=\"\(Self.number(Self.left - 8))\" y=\"\(y)\" dy=\".32em\" text-anchor=\"end\">\(Self.tick(value))</text>"
      )
    }
    for step in scale.stepTicks {
      let x = Self.number(scale.x(Double(step)))
      parts.append(
        "<text x=\"\(x)\" y=\"\(Self.number(Self.height - Self.bottom + 18))\" text-anchor=\"middle\">\(step)</text>")
    }
    parts.append(
      "<text x=\"\(Self.number((Self.left + Self.width - Self.right) / 2))\" y=\"\(Self.number(Self.height - 4))\" text-anchor=\"middle\">step</text>"
    )
    if let bestStep, let best = validation.first(where: { $0.step == bestStep }) {
      let x = Self.number(scale.x(Double(best.step)))
      parts.append(
        "<line class=\"best\" x1=\"\(x)\" x2=\"\(x)\" y1=\"\(Self.number(Self.top))\" y2=\"\(Self.number(Self.height - Self.bottom))\"/>"
      )
    }
    if training.count > 1 {
      parts.append(line(Self.thinned(training), scale, "raw"))
      parts.append(line(points, scale, "training"))
    }
    if validation.count > 1 { parts.append(line(Self.thinned(validation), scale, "validation")) }
    for point in Self.thinned(validation) {
      let style = point.step == bestStep ? "dot chosen" : "dot"
      let radius = point.step == bestStep ? "5.5" : "3.5"
      parts.append(
        "<circle class=\"\(style)\" r=\"\(radius)\" cx=\"\(Self.number(scale.x(Double(point.step))))\" cy=\"\(Self.number(scale.y(point.value)))\"/>"
      )
    }
    return """
      <svg viewBox="0 0 \(Self.number(Self.width)) \(Self.number(Self.height))" role="img" aria-label="\(Report.escaped(summary))">
      \(parts.joined(separator: "\n"))
      </svg>
      <p class="legend"><span class="training">Training</span>\(validation.isEmpty ? "" : "<span class=\"validation\">Held out</span>")\(bestStep == nil ? "" : "<span class=\"chosen\">Kept step</span>")</p>
      """
  }

  private func line(_ points: [Report.Point], _ scale: Scale, _ style: String) -> String {
    let places = points.map {
      "\(Self.number(scale.x(Double($0.step)))),\(Self.number(scale.y($0.value)))"
    }
    return "<polyline class=\"\(style)\" points=\"\(places.joined(separator: " "))\"/>"
  }

  /// The mean of a tenth of the run around each point, of what there is of it at the ends, so that the line does not lag.
  private static func smoothed(_ points: [Report.Point]) -> [Report.Point] {
    var sums = [0.0]
    for point in points { sums.append((sums.last ?? 0) + point.value) }
    let reach = points.count / 20
    return points.enumerated().map { index, point in
      let first = max(index - reach, 0)
      let end = min(index + reach + 1, points.count)
      return Report.Point(step: point.step, value: (sums[end] - sums[first]) / Double(end - first))
    }
  }

  /// At most about 600 points: of each stretch the lowest and the highest, so that spikes stay.
  private static func thinned(_ points: [Report.Point]) -> [Report.Point] {
    let stretch = (points.count + 299) / 300
    guard stretch > 2 else { return points }
    var kept: [Report.Point] = []
    for start in stride(from: 0, to: points.count, by: stretch) {
      let range = start..<min(start + stretch, points.count)
      guard let low = range.min(by: { points[$0].value < points[$1].value }),
        let high = range.max(by: { points[$0].value < points[$1].value })
      else { continue }
      kept.append(contentsOf: Set([low, high]).sorted().map { points[$0] })
    }
    return kept
  }

  private static func number(_ value: Double) -> String {
    Report.fixed(value, decimals: 1).replacing("−", with: "-")
  }

  private static func tick(_ value: Double) -> String {
    var text = Report.fixed(value, decimals: 3)
    while text.last == "0" { text.removeLast() }
    if text.last == "." { text.removeLast() }
    return text
  }

  /// From figures to places.
  private struct Scale {
    let steps: ClosedRange<Double>
    let values: ClosedRange<Double>
    let valueTicks: [Double]
    let stepTicks: [Int]

    init?(_ points: [Report.Point]) {
      guard let first = points.map(\.step).min(), let last = points.map(\.step).max(),
        let highest = points.map(\.value).max(), let lowest = points.map(\.value).min()
      else { return nil }
      steps = Double(first)...max(Double(last), Double(first) + 1)
      let span = max(highest - lowest, 0.001)
      let gap = Self.roundStep(span / 5)
      let bottom = (lowest / gap).rounded(.down) * gap
      let top = max((highest / gap).rounded(.up) * gap, bottom + gap)
      values = bottom...top
      valueTicks = (0...Int(min(((top - bottom) / gap).rounded(), 20))).map { bottom + Double($0) * gap }
      let stride = max(Int(Self.roundStep((steps.upperBound - steps.lowerBound) / 6)), 1)
      let start = (first + stride - 1) / stride * stride
      stepTicks = Array(Swift.stride(from: start, through: last, by: stride))
    }

    /// The next larger of 1, 2 and 5 times a power of ten.
    private static func roundStep(_ value: Double) -> Double {
      var unit = 1e-6
      while unit < 1e15 {
        for factor in [1.0, 2, 5] where unit * factor >= value { return unit * factor }
        unit *= 10
      }
      return unit
    }

    func x(_ step: Double) -> Double {
      let share = (step - steps.lowerBound) / (steps.upperBound - steps.lowerBound)
      return LossChart.left + share * (LossChart.width - LossChart.left - LossChart.right)
    }

    func y(_ value: Double) -> Double {
      let share = (value - values.lowerBound) / (values.upperBound - values.lowerBound)
      return LossChart.height - LossChart.bottom
        - share * (LossChart.height - LossChart.top - LossChart.bottom)
    }
  }
}
