/// A model's file cannot be used: what, where, what was expected, what was found, what to do.
///
///     Qwen3-0.6B.gguf: tensor blk.3.attn_q.weight has the wrong shape: expected [1024, 1024],
///     found [2048, 1024]. The file is damaged or belongs to another model.
public struct CheckpointError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The class of failure, for programs that must tell them apart.
  public enum Kind: Sendable, Equatable {
    /// The operating system would not open or read the file.
    case unreadable
    /// The file is something other than a checkpoint.
    case notACheckpoint
    /// The file ends before what it announces.
    case truncated
    /// The file breaks the rules of its format.
    case malformed
    /// The file is right, but needs what Hearth does not do.
    case unsupported
    /// A key or tensor that is needed is not there.
    case missing
    /// A key or tensor is there with another type, value or shape.
    case mismatch
  }

  /// Where in the file.
  public enum Place: Sendable, Equatable, CustomStringConvertible {
    /// A metadata or configuration key, nested ones joined by dots.
    case key(String)
    /// A tensor, by its name in the file.
    case tensor(String)
    /// An offset from the beginning of the file.
    case byte(Int)

    /// As it stands in the message; control characters are made visible.
    public var description: String {
      switch self {
      case .key(let name): "key \(printable(name))"
      case .tensor(let name): "tensor \(printable(name))"
      case .byte(let offset): "byte \(offset)"
      }
    }
  }

  /// The class of failure.
  public var kind: Kind
  /// The path of the file.
  public var file: String
  /// Where in it, if the failure has a place.
  public var place: Place?
  /// What is wrong, as the rest of a sentence that begins with the place or file.
  public var problem: String
  /// What should have been there.
  public var expected: String?
  /// What was there.
  public var found: String?
  /// What to do about it.
  public var advice: String?

  /// An error with its parts.
  public init(
    _ kind: Kind, file: String, place: Place? = nil, _ problem: String, expected: String? = nil,
    found: String? = nil, advice: String? = nil
  ) {
    self.kind = kind
    self.file = file
    self.place = place
    self.problem = problem
    self.expected = expected
    self.found = found
    self.advice = advice ?? CheckpointError.advice(for: kind)
  }

  /// A refusal of the operating system.
  public init(_ error: FileError) {
    kind = .unreadable
    file = error.path
    problem = error.problem
    advice = error.advice
  }

  /// "FILE: PLACE PROBLEM: expected …, found …. ADVICE."
  public var description: String {
    var text = "\(file.isEmpty ? "(empty path)" : printable(file, limit: 1024)): "
    if let place { text += "\(place) " }
    text += problem
    switch (expected, found) {
    case (let expected?, let found?): text += ": expected \(expected), found \(found)"
    case (let expected?, nil): text += ": expected \(expected)"
    case (nil, let found?): text += ": found \(found)"
    case (nil, nil): break
    }
    text += "."
    if let advice { text += " \(advice)." }
    return text
  }

  private static func advice(for kind: Kind) -> String? {
    switch kind {
    case .truncated: "The download or copy is incomplete: fetch the file again"
    case .malformed: "The file is damaged or was written by a faulty program: fetch it again"
    case .unreadable, .notACheckpoint, .unsupported, .missing, .mismatch: nil
    }
  }
}
