extension LanguageModel {
  /// The Hugging Face name of the first parameter that holds NaN or an infinity; nil when all numbers are finite.
  ///
  /// Reads every weight: for saying what is wrong once something is, not for every load.
  public var tensorThatIsNotFinite: String? {
    parameters.first { parameter in !parameter.values(pool).allSatisfy(\.isFinite) }?.name.huggingFace
  }
}
