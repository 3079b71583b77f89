internal import Foundation

extension String {
  /// The text as duplicates are compared: composed (NFC), lower case, each run of white space one space, none at the ends.
  var folded: String {
    let composed = precomposedStringWithCanonicalMapping.lowercased()
    return composed.split(whereSeparator: \.isWhitespace).joined(separator: " ")
  }
}
