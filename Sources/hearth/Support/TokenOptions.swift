internal import ArgumentParser
internal import Server

/// Whose JSON Web Tokens a server takes beside its own keys.
struct TokenOptions: ParsableArguments {
  @Option(help: "Take bearer tokens of this OpenID Connect issuer, whose keys are fetched and renewed.")
  var oidcIssuer: String?
  @Option(help: "What tokens must have among their aud.") var oidcAudience: String?
  @Option(help: "Take the issuer's keys from this file (a JSON Web Key Set), read again when it changes.")
  var oidcKeys: String?
  @Option(help: "The claim that says what may be done; realm_access.roles leads into an object.")
  var oidcScopeClaim = "scope"
  @Option(help: "Scopes for a word of that claim, as in staff=chat,embed (default: words that are scopes).")
  var oidcMap: [String] = []
  @Option(help: "Requests a minute for each subject (default: any number).") var oidcRate: Int?
  @Option(help: "Tokens read and written a day for each subject (default: any number).") var oidcTokensPerDay: Int?
  @Option(help: "Models that subjects may ask, several with commas, beside what their own jobs make (default: any).")
  var oidcModels: String?

  func validate() throws {
    if (oidcIssuer == nil) != (oidcAudience == nil) {
      throw ValidationError("--oidc-issuer and --oidc-audience: give both or neither")
    }
    if oidcIssuer == nil,
      oidcKeys != nil || !oidcMap.isEmpty || oidcRate != nil || oidcTokensPerDay != nil
        || oidcModels != nil
    {
      throw ValidationError("--oidc-…: give --oidc-issuer and --oidc-audience too")
    }
    if oidcScopeClaim.isEmpty { throw ValidationError("--oidc-scope-claim: expected a claim's name") }
    if let oidcRate, oidcRate < 1 { throw ValidationError("--oidc-rate \(oidcRate): expected at least 1") }
    if let oidcTokensPerDay, oidcTokensPerDay < 1 {
      throw ValidationError("--oidc-tokens-per-day \(oidcTokensPerDay): expected at least 1")
    }
  }

  /// nil when no tokens are taken.
  func settings() throws -> OpenIDSettings? {
    guard let oidcIssuer, let oidcAudience else { return nil }
    var settings = try OpenIDSettings(
      issuer: oidcIssuer, audience: oidcAudience, keys: oidcKeys.map { .file($0) } ?? .discovery)
    settings.scopeClaim = oidcScopeClaim
    for text in oidcMap { try settings.map(text) }
    (settings.requestsPerMinute, settings.tokensPerDay) = (oidcRate, oidcTokensPerDay)
    if let oidcModels { try settings.limit(to: oidcModels.split(separator: ",").map(String.init)) }
    return settings
  }
}
