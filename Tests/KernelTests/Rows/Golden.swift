import Foundation
import Testing

/// One example of a fixture file under `Tests/Fixtures/rows`, written by `Scripts/fixtures/rows.py`.
struct GoldenCase: Decodable {
  let name: String
  let numbers: [String: Double]
  let tensors: [String: [Float]]

  /// A tensor's values, row-major.
  subscript(_ name: String) -> [Float] {
    if let values = tensors[name] { return values }
    Issue.record("The fixture has no tensor \(name).")
    return []
  }

  /// A count.
  func count(_ name: String) -> Int { Int(number(name)) }

  func number(_ name: String) -> Double {
    if let value = numbers[name] { return value }
    Issue.record("The fixture has no number \(name).")
    return 0
  }

  /// A tensor of ids or positions.
  func integers(_ name: String) -> [Int32] { self[name].map { Int32($0) } }

  static func load(_ file: String) throws -> [GoldenCase] {
    struct File: Decodable { let cases: [GoldenCase] }
    let folder = URL(filePath: #filePath).appending(path: "../../../Fixtures/rows").standardized
    let data = try Data(contentsOf: folder.appending(path: "\(file).json"))
    return try JSONDecoder().decode(File.self, from: data).cases
  }
}
