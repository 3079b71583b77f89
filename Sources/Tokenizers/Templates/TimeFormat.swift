internal import Foundation

/// Dates as `strftime` writes them in the C locale.
struct TimeFormat {
  private let year: Int
  private let month: Int
  private let day: Int
  /// From 1.
  private let dayOfYear: Int
  /// From 0, Sunday.
  private let weekday: Int
  private let hour: Int
  private let minute: Int
  private let second: Int
  private let microsecond: Int

  /// The local time of `date` in `timeZone`.
  init(_ date: Date, _ timeZone: TimeZone) {
    let offset = timeZone.secondsFromGMT(for: date)
    // Beyond these years neither Python nor anyone's clock goes.
    let clamped = min(max(date.timeIntervalSince1970, -62_135_596_800), 253_402_300_799)
    let seconds = clamped.rounded(.down)
    let local = Int(seconds) + offset
    microsecond = Int((clamped - seconds) * 1_000_000)
    let days = local >= 0 ? local / 86_400 : (local - 86_399) / 86_400
    let time = local - days * 86_400
    hour = time / 3600
    minute = time / 60 % 60
    second = time % 60
    weekday = ((days + 4) % 7 + 7) % 7
    // Days since 1 March of year 0, in eras of 400 years; years begin in March, so that the day
    // added in leap years comes last.
    let shifted = days + 719_468
    let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
    let dayOfEra = shifted - era * 146_097
    let yearOfEra =
      (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayFromMarch = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let monthFromMarch = (5 * dayFromMarch + 2) / 153
    day = dayFromMarch - (153 * monthFromMarch + 2) / 5 + 1
    month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
    year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
    dayOfYear =
      month <= 2 ? dayFromMarch - 305 : dayFromMarch + 60 + (isLeap ? 1 : 0)
  }

  private static let months = [
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
  ]
  private static let weekdays = [
    "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday",
  ]

  /// `format` with its directives filled in; an unknown one stays as it is.
  func string(_ format: String) -> String {
    var result = ""
    var scalars = format.unicodeScalars.makeIterator()
    while let scalar = scalars.next() {
      guard scalar == "%" else {
        result.unicodeScalars.append(scalar)
        continue
      }
      guard var directive = scalars.next() else { return result + "%" }
      var flag: Unicode.Scalar?
      if "-_0^#".unicodeScalars.contains(directive), let next = scalars.next() {
        flag = directive
        directive = next
      }
      result += field(directive, flag)
    }
    return result
  }

  private func field(_ directive: Unicode.Scalar, _ flag: Unicode.Scalar?) -> String {
    func number(_ value: Int, _ width: Int, _ fill: Character = "0") -> String {
      if flag == "-" { return String(value) }
      let fill: Character = flag == "_" ? " " : flag == "0" ? "0" : fill
      let digits = String(value)
      return String(repeating: fill, count: max(0, width - digits.count)) + digits
    }
    func name(_ text: String) -> String { flag == "^" || flag == "#" ? text.uppercased() : text }
    let hour12 = hour % 12 == 0 ? 12 : hour % 12
    switch directive {
    case "Y": return String(year)
    case "C": return number(year / 100, 2)
    case "y": return number(year % 100, 2)
    case "m": return number(month, 2)
    case "d": return number(day, 2)
    case "e": return number(day, 2, " ")
    case "H": return number(hour, 2)
    case "I": return number(hour12, 2)
    case "k": return number(hour, 2, " ")
    case "l": return number(hour12, 2, " ")
    case "M": return number(minute, 2)
    case "S": return number(second, 2)
    case "f": return number(microsecond, 6)
    case "j": return number(dayOfYear, 3)
    case "p": return hour < 12 ? "AM" : "PM"
    case "P": return hour < 12 ? "am" : "pm"
    case "B": return name(Self.months[month - 1])
    case "b", "h": return name(String(Self.months[month - 1].prefix(3)))
    case "A": return name(Self.weekdays[weekday])
    case "a": return name(String(Self.weekdays[weekday].prefix(3)))
    case "w": return String(weekday)
    case "u": return String(weekday == 0 ? 7 : weekday)
    case "U": return number((dayOfYear + 6 - weekday) / 7, 2)
    case "W": return number((dayOfYear + 6 - (weekday + 6) % 7) / 7, 2)
    case "D", "x": return string("%m/%d/%y")
    case "F": return string("%Y-%m-%d")
    case "T", "X": return string("%H:%M:%S")
    case "R": return string("%H:%M")
    case "r": return string("%I:%M:%S %p")
    case "c": return string("%a %b %e %H:%M:%S %Y")
    // A time without a zone, as Python's `datetime.now()` is, has neither.
    case "Z", "z": return ""
    case "n": return "\n"
    case "t": return "\t"
    case "%": return "%"
    default: return "%" + (flag.map(String.init) ?? "") + String(directive)
    }
  }
}
