public import Foundation
internal import Tokenizers

/// The day that templates which write the date take as today.
///
/// A run keeps its day in the recipe, or what it resumes, and what it is evaluated on, would read otherwise than what it
/// learned from.
public enum TemplateDate {
  /// Noon of a day written YYYY-MM-DD, where this computer stands; nil when that is no day.
  public static func noon(of text: String) -> Date? {
    let parts = text.split(separator: "-", omittingEmptySubsequences: false)
    guard parts.map(\.utf8.count) == [4, 2, 2], parts.allSatisfy({ $0.utf8.allSatisfy { (0x30...0x39).contains($0) } })
    else { return nil }
    let numbers = parts.compactMap { Int($0) }
    var day = DateComponents()
    (day.year, day.month, day.day, day.hour) = (numbers[0], numbers[1], numbers[2], 12)
    guard let date = calendar.date(from: day), self.text(of: date) == text else { return nil }
    return date
  }

  /// The day of `date`, YYYY-MM-DD.
  public static func text(of date: Date) -> String {
    let day = calendar.dateComponents([.year, .month, .day], from: date)
    return String(format: "%04d-%02d-%02d", day.year ?? 0, day.month ?? 0, day.day ?? 0)
  }

  private static var calendar: Calendar {
    var calendar = Calendar(identifier: .gregorian)
    calendar.timeZone = .current
    return calendar
  }
}

extension FineTuningRecipe {
  /// What templates take as today in this run; nil is the moment of rendering.
  var renderingDate: Date? { date.flatMap { TemplateDate.noon(of: $0) } }

  /// The recipe with today's date, if the template of `model` writes one and the recipe has none.
  func pinningDate(for model: ChatModel) -> FineTuningRecipe {
    guard date == nil, let template = model.template, template.template.source.contains("strftime_now") else {
      return self
    }
    var recipe = self
    recipe.date = TemplateDate.text(of: Date())
    return recipe
  }
}
