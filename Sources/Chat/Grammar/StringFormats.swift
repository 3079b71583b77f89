/// Formats of strings as patterns. Each describes a part of what its standard allows, so that whatever is written is valid: a date
/// has at most the days that every month of its name has, an address is written out in full.
enum StringFormats {
  static func pattern(_ name: String) -> String? { patterns[name].map { "^(?:\($0))$" } }

  static var names: [String] { patterns.keys.sorted() }

  private static let date =
    "\\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|02-(?:0[1-9]|1\\d|2[0-8]))"
  private static let time = "(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:Z|[+-](?:0\\d|1[0-4]):[0-5]\\d)"
  /// Of at most 61 bytes, so that four are a name of fewer than 253; two dashes side by side mean something else.
  private static let label = "[a-z0-9](?:-?[a-z0-9]){0,30}"
  /// Not all digits, or it could be an address.
  private static let lastLabel = "[a-z](?:-?[a-z0-9]){0,30}"
  private static let byte = "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)"

  private static let patterns = [
    // RFC 3339, section 5.6.
    "date": date, "time": time, "date-time": date + "T" + time,
    // RFC 3339, appendix A.
    "duration":
      "P(?:\\d{1,4}W|\\d{1,4}D(?:T\\d{1,2}H)?|\\d{1,4}Y(?:\\d{1,2}M(?:\\d{1,2}D)?)?|\\d{1,4}M(?:\\d{1,2}D)?"
      + "|T(?:\\d{1,4}H(?:\\d{1,2}M(?:\\d{1,2}S)?)?|\\d{1,4}M(?:\\d{1,2}S)?|\\d{1,4}S))",
    // RFC 9562, section 4.
    "uuid": "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    // RFC 1123, section 2.1.
    "hostname": "(?:\(label)\\.){0,3}\(lastLabel)",
    // RFC 5321, section 4.1.2, without quoted names and literal addresses.
    "email": "[A-Za-z0-9_+-]{1,20}(?:\\.[A-Za-z0-9_+-]{1,20}){0,2}@\(label)\\.\(lastLabel)",
    // RFC 2673, section 3.2; RFC 4291, section 2.2, the first form.
    "ipv4": "\(byte)(?:\\.\(byte)){3}", "ipv6": "[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){7}",
  ]
}
