internal import Foundation

/// Training or evaluation examples in the order of their files.
///
/// Everything is held in memory as text: right for personal and company data sets up to some gigabytes. Reading itself
/// goes line by line; `DatasetReader` gives the examples one at a time to whoever needs no more.
public struct Dataset: Sendable, Equatable {
  /// The examples, file by file, line by line.
  public var examples: [Example]
  /// The shapes that the files have, in the order of their first appearance.
  public private(set) var shapes: [DatasetShape] = []

  /// A data set of `examples`.
  public init(_ examples: [Example]) { self.examples = examples }

  /// Reads `files`, each of one shape.
  ///
  /// - Throws: the first problem, with its file and line. `problems` lists more of them.
  public init(files: [String], limits: DatasetReader.Limits = .init()) throws(DatasetError) {
    examples = []
    for file in files {
      var reader = try DatasetReader(file: file, limits: limits)
      while let example = try reader.next() { examples.append(example) }
      if let shape = reader.shape, !shapes.contains(shape) { shapes.append(shape) }
    }
  }

  /// The first `limit` problems of `file`, one a line at most, for a user who wants to mend them in one go.
  public static func problems(
    in file: String, limit: Int = 20, limits: DatasetReader.Limits = .init()
  ) -> [DatasetError] {
    var problems: [DatasetError] = []
    do throws(DatasetError) {
      var reader = try DatasetReader(file: file, limits: limits)
      while problems.count < limit {
        do throws(DatasetError) {
          guard try reader.next() != nil else { break }
        } catch {
          problems.append(error)
          if !reader.canContinue { break }
        }
      }
    } catch {
      problems.append(error)
    }
    return problems
  }
}

/// Reads one data file, example by example: JSONL, or a JSON list of objects.
public struct DatasetReader: ~Copyable {
  /// What is refused so that a wrong file fails quickly instead of filling memory.
  public struct Limits: Sendable, Equatable {
    /// Bytes of one line of JSONL.
    public var lineLength = 16 << 20
    /// Bytes of a file that is one JSON list, which is held in memory whole.
    public var listLength = 1 << 30

    /// 16 MiB a line, 1 GiB a list.
    public init() {}
  }

  /// The shape of the file, known after the first example.
  public private(set) var shape: DatasetShape?
  /// False after an error that leaves no place to continue from.
  public private(set) var canContinue = true

  /// What the last example was made from.
  private(set) var element: JSONElement?
  /// Whether the file is one JSON list.
  var isList: Bool { list != nil }

  private let file: String
  private let limits: Limits
  private var lines: LineReader
  private var list: JSONListReader?
  private var shapeLine = 0
  private var exampleCount = 0
  private var isStarted = false
  private var hasFailed = false

  /// Opens `file`.
  ///
  /// - Throws: `cannotOpen`, `isFolder`.
  public init(file: String, limits: Limits = .init()) throws(DatasetError) {
    self.file = file
    self.limits = limits
    lines = try LineReader(file: file, maximumLineLength: limits.lineLength)
  }

  /// The next example, nil at the end.
  ///
  /// - Throws: what is wrong with the next line; the call after that goes on behind it where `canContinue` says so.
  public mutating func next() throws(DatasetError) -> Example? {
    guard canContinue else { return nil }
    do throws(DatasetError) {
      let example = try readNext()
      if example == nil, exampleCount == 0, !hasFailed {
        canContinue = false
        throw DatasetError(
          .emptyFile, file: file, expected: "at least one example", found: "an empty file",
          remedy: "write one JSON object a line, such as {\"input\": \"…\", \"output\": \"…\"}")
      }
      if example != nil { exampleCount += 1 }
      return example
    } catch {
      hasFailed = true
      switch error.kind {
      case .cannotRead, .wrongEncoding, .compressed, .fileTooLong: canContinue = false
      case .emptyFile: break
      default: if list?.isBroken ?? false { canContinue = false }
      }
      throw error
    }
  }

  private mutating func readNext() throws(DatasetError) -> Example? {
    if list != nil { return try nextOfList() }
    while let line = try lines.next() {
      guard let first = line.bytes.first(where: { !Self.isSpace($0) }) else { continue }
      if !isStarted {
        isStarted = true
        if first == UInt8(ascii: "[") {
          list = try JSONListReader(file: file, limit: limits.listLength)
          return try nextOfList()
        }
      }
      return try example(line)
    }
    return nil
  }

  private mutating func nextOfList() throws(DatasetError) -> Example? {
    guard let (element, line) = try list?.next() else { return nil }
    return try example(element, line: line)
  }

  private mutating func example(_ line: LineReader.Line) throws(DatasetError) -> Example {
    guard String(validating: line.bytes, as: UTF8.self) != nil else {
      throw DatasetError(
        .invalidUTF8, file: file, line: line.number, expected: "UTF-8",
        found: "bytes that are not", remedy: "save the file as UTF-8")
    }
    var reader = JSONReader(line.bytes)
    let element: JSONElement
    do throws(JSONReader.Failure) {
      element = try reader.value()
      reader.skipWhitespace()
      if reader.next != nil {
        throw reader.failure(.malformedJSON, "the end of the line after one object", reader.found())
      }
    } catch {
      let isCut = error.kind == .truncated && !line.isComplete
      throw error.described(
        file: file, line: line.number, lineStart: 0,
        remedy: isCut ? "the file seems cut off here; complete or remove the last line" : nil)
    }
    return try example(element, line: line.number)
  }

  private mutating func example(_ element: JSONElement, line: Int) throws(DatasetError) -> Example {
    self.element = element
    let parser = ExampleParser(file: file, line: line)
    let found = try parser.shape(of: element)
    if let shape, shape != found {
      throw DatasetError(
        .mixedShapes, file: file, line: line,
        expected: "\(shape.display) as on line \(shapeLine)", found: found.display,
        remedy: "keep one shape to a file and give several files")
    }
    if shape == nil {
      shape = found
      shapeLine = line
    }
    return try parser.example(element, shape: found)
  }

  private static func isSpace(_ byte: UInt8) -> Bool {
    byte == 0x20 || byte == 0x09 || byte == 0x0D
  }
}

extension JSONReader.Failure {
  /// The failure with its place in the file.
  func described(file: String, line: Int, lineStart: Int, remedy: String? = nil) -> DatasetError {
    let advice: String
    switch kind {
    case .truncated: advice = "an object must end on the line it starts on"
    case .loneSurrogate: advice = "write the character itself, or both halves of its pair"
    case .duplicateKey: advice = "remove one of them"
    case .nulCharacter: advice = "remove it"
    default: advice = "check it with a JSON validator"
    }
    return DatasetError(
      kind, file: file, line: line, expected: expected,
      found: "\(found) at byte \(offset - lineStart + 1)", remedy: remedy ?? advice)
  }
}
