import Foundation
import TestSupport
import Testing

@testable import Chat

/// Key facts come from wherever examples may: JSONL and JSON lists.
@Suite struct KeyFactReaderTests {
  private static let objects = [
    #"{"prompt":"a","completion":"b","key":["red","rot"]}"#,
    #"{"prompt":"c","completion":"d"}"#,
    #"{"prompt":"e","completion":"f","key":null}"#,
    #"{"prompt":"g","completion":"h","key":["blue"]}"#,
  ]

  private func facts(_ text: String) throws -> [KeyFact?] {
    try withFile(Array(text.utf8), named: "held.json") { path in
      try KeyFactReader([path, path]).facts(of: try Dataset(files: [path, path]).examples)
    }
  }

  @Test(arguments: [
    objects.joined(separator: "\n") + "\n",
    "\u{FEFF}" + objects.joined(separator: "\n\n \n"),
    "[\n" + objects.joined(separator: ",\n") + "\n]\n",
    // Two elements on one line are still two.
    " \n[" + objects.joined(separator: ",") + "]",
  ])
  func areReadFromEveryShape(text: String) throws {
    let found = try facts(text)
    #expect(found.count == 8)
    for start in [0, 4] {
      #expect(found[start]?.isStated(in: "it is red") == true)
      #expect(found[start]?.isStated(in: "it is blue") == false)
      #expect(found[start + 1] == nil && found[start + 2] == nil)
      #expect(found[start + 3]?.isStated(in: "blue") == true)
    }
  }

  @Test(arguments: [#""red""#, "7", #"["red", 7]"#, "{}"])
  func aKeyThatIsNoListIsNamed(key: String) throws {
    let bad = #"{"prompt":"a","completion":"b","key":KEY}"#.replacing("KEY", with: key)
    let lines = #expect(throws: RunError.self) { _ = try facts(Self.objects[1] + "\n" + bad + "\n") }
    #expect(lines?.description.contains("held.json:2: key: expected a list of strings") == true)
    let list = #expect(throws: RunError.self) { _ = try facts("[\(Self.objects[1]),\(Self.objects[2]),\n\(bad)]") }
    #expect(list?.description.contains("held.json:2: element 3: key: expected a list of strings") == true)
  }
}
