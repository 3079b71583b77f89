import Foundation
import Testing

@testable import Chat

struct ReportTests {
  static var sample: Report {
    var report = Report(
      title: "Marta's help desk", subtitle: "SmolLM2-135M-Instruct, LoRA on 300 conversations")
    report.highlights = [
      .init("Steps", "480"), .init("Time", "4 min 12 s"), .init("Speed", "412 tokens/s"),
      .init("Adapter", "9.8 MB"),
    ]
    report.comparisons = [
      .init(
        name: "Key fact right", explanation: "of 60 held-out questions", base: 0.0167, tuned: 0.8333,
        interval: 0.71...0.92, lowerIsBetter: false, format: .percent),
      .init(
        name: "Held-out loss", explanation: "nats per answer token", base: 3.412, tuned: 0.981,
        interval: (-2.7)...(-2.2), lowerIsBetter: true),
      .init(
        name: "Token F1", explanation: "SQuAD's rule", base: 0.121, tuned: 0.115,
        interval: (-0.04)...0.03, lowerIsBetter: false, format: .percent),
      .init(
        name: "General text", explanation: "bits per byte of a fixed page", base: 0.912, tuned: 0.934,
        lowerIsBetter: true),
    ]
    report.trainingLoss = (1...480).map { step in
      let wave = Double((step * 7_919) % 101) / 101 - 0.5
      return .init(step: step, value: 0.5 + 3 / (1 + Double(step) / 40) + wave * 0.4)
    }
    report.validationLoss = (1...8).map {
      .init(step: $0 * 60, value: 0.95 + 2.4 / (1 + Double($0)) + max(0, Double($0) - 6) * 0.09)
    }
    report.bestStep = 360
    report.samples = [
      .init(
        question: "How long may I return a lamp?", reference: "You have 14 days.",
        base: "You can return a lamp within 30 days of purchase as long as it is in its original packaging.",
        tuned: "You have 14 days from the day you received it.", baseIsRight: false, tunedIsRight: true),
      .init(
        question: "Where do I find <b>you</b> & \"yours\"?\n<script>alert(1)</script>",
        reference: "At the quay, number 12.", base: "", tuned: "At the quay, <img src=x onerror=alert(1)>.",
        baseIsRight: false, tunedIsRight: false),
    ]
    report.notes = ["2 conversations were cut to 512 tokens; 31 tokens to learn were lost."]
    report.recipe = [
      .init("model", "smollm2"), .init("method", "lora, rank 16, alpha 32, all linear layers"),
      .init("learning rate", "0.001, cosine, 3 % warm-up"), .init("seed", "7"),
    ]
    return report
  }

  @Test func nothingForeignGetsIn() throws {
    let html = Self.sample.html
    for forbidden in [
      "<script", "<img", "<b>you", "http:", "https:", "src=\"", "url(", "@import", "javascript:", "onload",
    ] {
      #expect(!html.contains(forbidden), "\(forbidden)")
    }
    #expect(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;"))
    #expect(html.contains("Marta&#39;s help desk"))
    #expect(html.contains("prefers-color-scheme: dark") && html.contains("width=device-width"))
    #expect(Report.escaped("\u{202E}\u{0}\u{1B}\u{85}") == "\u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD}")
  }

  /// Tags close in order, every attribute is quoted.
  @Test func wellFormed() throws {
    let html = Self.sample.html
    let body = try #require(html.firstRange(of: "<body>").map { html[$0.lowerBound...] })
    var open: [Substring] = ["html"]
    var rest = body
    while let start = rest.firstIndex(of: "<"), let end = rest[start...].firstIndex(of: ">") {
      let tag = rest[rest.index(after: start)..<end]
      rest = rest[rest.index(after: end)...]
      if tag.hasSuffix("/") { continue }
      if tag.hasPrefix("/") {
        #expect(open.popLast() == tag.dropFirst())
      } else {
        open.append(tag.prefix { $0 != " " })
        #expect(tag.count { $0 == "\"" } == 2 * tag.count { $0 == "=" } || tag.contains("aria-label"))
      }
    }
    #expect(open.isEmpty)
  }

  @Test func verdictsFollowTheInterval() {
    let rows = Self.sample.comparisons
    #expect(rows.map(\.verdict) == ["better", "better", "", "worse"])
    #expect(rows[0].shown(0.8333) == "83.3 %")
    #expect(rows[1].shown(-2.431, signed: true) == "−2.431")
    #expect(rows[1].shown(0.000_1, signed: true) == "0.000")
    #expect(rows[1].shown(.nan) == "not a number" && rows[1].shown(-.infinity) == "−∞")
  }

  @Test func oddFiguresAreDrawn() {
    for values: [Double] in [
      [], [1], [1, 1], [.nan, 1], [.infinity, 2, 3], [0, 0], [-1, 1e300], [1e-300, 1], [-1e308, 1e308],
    ] {
      var report = Report(title: "", subtitle: "")
      report.trainingLoss = values.enumerated().map { .init(step: $0 * 1_000_000, value: $1) }
      report.validationLoss = values.map { .init(step: 5, value: $0) }
      report.bestStep = 5
      let html = report.html
      #expect(html.contains("<svg") == values.contains { $0.isFinite })
    }
    let long = (0..<20_000).map { Report.Point(step: $0, value: $0 == 7_777 ? 9 : 1) }
    let chart = LossChart(training: long, validation: [], bestStep: nil)
    #expect((chart.svg?.utf8.count ?? 0) < 40_000)
  }

  /// For looking at it: `HEARTH_REPORT=/tmp/report.html swift test --filter ReportTests`.
  @Test func writesAPageOnRequest() throws {
    guard let path = ProcessInfo.processInfo.environment["HEARTH_REPORT"] else { return }
    try Data(Self.sample.html.utf8).write(to: URL(fileURLWithPath: path))
  }
}
