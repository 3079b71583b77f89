/// A token that is looked for in the text itself, before it is cut into words.
struct AddedToken: Equatable, Sendable {
  var id: Int32
  var content: String
  /// Whether it steers the model (`<|im_end|>`) and so is text unless asked for.
  var isSpecial: Bool
  /// Whether it is found only where no letter, digit or underscore adjoins.
  var isSingleWord = false
  /// Whether it takes the white space before it along.
  var stripsLeft = false
  /// Whether it takes the white space after it along.
  var stripsRight = false
  /// Whether it is looked for in normalised text.
  var isNormalized = false
}
