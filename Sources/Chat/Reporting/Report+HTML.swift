extension Report {
  /// The page.
  public var html: String {
    let sections = [
      header, comparisonSection, lossSection, sampleSection, noteSection, recipeSection,
    ]
    return """
      <!doctype html>
      <html lang="en">
      <head>
      <meta charset="utf-8">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <meta name="color-scheme" content="light dark">
      <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
      <title>\(Self.escaped(title))</title>
      <style>\(Self.styleSheet)</style>
      </head>
      <body>
      <main>
      \(sections.filter { !$0.isEmpty }.joined(separator: "\n"))
      </main>
      <footer>Made by Hearth on this computer. This page loads nothing and runs nothing.</footer>
      </body>
      </html>

      """
  }

  private var header: String {
    let facts = highlights.map { fact in
      "<div><dt>\(Self.escaped(fact.name))</dt><dd>\(Self.escaped(fact.value))</dd></div>"
    }
    return """
      <header>
      <h1>\(Self.escaped(title))</h1>
      <p class="lead">\(Self.escaped(subtitle))</p>
      \(facts.isEmpty ? "" : "<dl class=\"facts\">\(facts.joined())</dl>")
      </header>
      """
  }

  private var comparisonSection: String {
    guard !comparisons.isEmpty else { return "" }
    let rows = comparisons.map { row in
      let verdict = row.verdict
      let interval =
        row.interval.map {
          "<small>\(row.shown($0.lowerBound, signed: true)) to \(row.shown($0.upperBound, signed: true))</small>"
        } ?? ""
      return """
        <tr><th scope="row">\(Self.escaped(row.name))<small>\(Self.escaped(row.explanation))</small></th>\
        <td data-label="Base">\(row.base.map { row.shown($0) } ?? "–")</td>\
        <td data-label="Tuned" class="strong">\(row.shown(row.tuned))</td>\
        <td data-label="Difference" class="\(verdict)">\(row.difference.map { row.shown($0, signed: true) } ?? "–")\(interval)</td></tr>
        """
    }
    let note =
      comparisons.contains { $0.interval != nil }
      ? "<p class=\"caption\">Small figures: 95 % interval of the difference, paired bootstrap over the same examples.</p>"
      : ""
    return """
      <section>
      <h2>Base and tuned</h2>
      <table class="comparison">
      <thead><tr><th scope="col">Measure</th><th scope="col">Base</th><th scope="col">Tuned</th><th scope="col">Difference</th></tr></thead>
      <tbody>
      \(rows.joined(separator: "\n"))
      </tbody>
      </table>
      \(note)
      </section>
      """
  }

  private var lossSection: String {
    let chart = LossChart(training: trainingLoss, validation: validationLoss, bestStep: bestStep)
    guard let drawing = chart.svg else { return "" }
    return """
      <section>
      <h2>Loss</h2>
      <figure>
      \(drawing)
      <figcaption class="caption">\(Self.escaped(chart.summary))</figcaption>
      </figure>
      </section>
      """
  }

  private var sampleSection: String {
    guard !samples.isEmpty else { return "" }
    let articles = samples.map { sample in
      let base = sample.base.map { Self.answer("Base", $0, sample.baseIsRight, "") } ?? ""
      return """
        <article>
        <h3>\(Self.escaped(sample.question))</h3>
        <div class="answers\(sample.base == nil ? " alone" : "")">
        \(base)\(Self.answer("Tuned", sample.tuned, sample.tunedIsRight, " tuned"))
        </div>
        <p class="reference"><span>Reference</span> \(Self.escaped(sample.reference))</p>
        </article>
        """
    }
    return """
      <section>
      <h2>Answers</h2>
      \(articles.joined(separator: "\n"))
      </section>
      """
  }

  private static func answer(_ who: String, _ text: String, _ isRight: Bool?, _ style: String)
    -> String
  {
    let mark =
      switch isRight {
      case true: "<span class=\"better\">✓ right</span>"
      case false: "<span class=\"worse\">✗ wrong</span>"
      default: ""
      }
    let shown = text.isEmpty ? "<em>(nothing)</em>" : escaped(text)
    return "<div class=\"answer\(style)\"><h4>\(who) \(mark)</h4><p>\(shown)</p></div>"
  }

  private var noteSection: String {
    guard !notes.isEmpty else { return "" }
    let items = notes.map { "<li>\(Self.escaped($0))</li>" }.joined(separator: "\n")
    return "<section>\n<h2>Notes</h2>\n<ul>\n\(items)\n</ul>\n</section>"
  }

  private var recipeSection: String {
    guard !recipe.isEmpty else { return "" }
    let rows = recipe.map { entry in
      "<tr><th scope=\"row\">\(Self.escaped(entry.name))</th><td>\(Self.escaped(entry.value))</td></tr>"
    }
    return """
      <section>
      <h2>Recipe</h2>
      <table class="recipe"><tbody>
      \(rows.joined(separator: "\n"))
      </tbody></table>
      </section>
      """
  }

  /// Text made safe to stand in HTML, in attributes too; control characters other than line ends and tabs show as U+FFFD.
  static func escaped(_ text: String) -> String {
    var escaped = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": escaped += "&amp;"
      case "<": escaped += "&lt;"
      case ">": escaped += "&gt;"
      case "\"": escaped += "&quot;"
      case "'": escaped += "&#39;"
      case "\n", "\t": escaped.unicodeScalars.append(scalar)
      case "\u{0}"..<"\u{20}", "\u{7F}"..<"\u{A0}": escaped += "\u{FFFD}"
      // Marks that reorder text could make an answer read as another.
      case "\u{202A}"..."\u{202E}", "\u{2066}"..."\u{2069}": escaped += "\u{FFFD}"
      default: escaped.unicodeScalars.append(scalar)
      }
    }
    return escaped
  }
}

extension Report.Comparison {
  /// Tuned minus base.
  var difference: Double? { base.map { tuned - $0 } }

  /// `better`, `worse`, or empty when the interval holds zero or there is nothing to compare.
  var verdict: String {
    guard let difference, difference.isFinite, difference != 0 else { return "" }
    if let interval, interval.contains(0) { return "" }
    return (difference < 0) == lowerIsBetter ? "better" : "worse"
  }

  /// A figure as the table shows it.
  func shown(_ value: Double, signed: Bool = false) -> String {
    let text =
      switch format {
      case .decimal: Report.fixed(abs(value), decimals: 3)
      case .percent: Report.fixed(abs(value) * 100, decimals: 1) + (signed ? " points" : " %")
      }
    let isZero = !text.contains { $0 != "0" && $0.isNumber } && value.isFinite
    if value < 0, !isZero { return "−" + text }
    return signed && !isZero && value > 0 ? "+" + text : text
  }
}

extension Report {
  /// `value` with so many decimals, a point between.
  static func fixed(_ value: Double, decimals: Int) -> String {
    guard value.isFinite else { return value.isNaN ? "not a number" : (value < 0 ? "−∞" : "∞") }
    guard abs(value) < 1e12 else { return "\(value)" }
    var scale = 1.0
    for _ in 0..<max(decimals, 0) { scale *= 10 }
    let scaled = Int((abs(value) * scale).rounded())
    let digits = String(scaled)
    let padded = String(repeating: "0", count: max(0, decimals + 1 - digits.count)) + digits
    let sign = value < 0 && scaled != 0 ? "−" : ""
    guard decimals > 0 else { return sign + padded }
    return sign + padded.dropLast(decimals) + "." + padded.suffix(decimals)
  }
}
