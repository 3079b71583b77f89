import Testing

@testable import Engine

/// A safetensors file from a header and data.
func safetensorsBytes(_ header: String, dataByteCount: Int = 0, length: UInt64? = nil) -> [UInt8] {
  var bytes: [UInt8] = []
  bytes.append(integer: length ?? UInt64(header.utf8.count))
  bytes += header.utf8
  return bytes + [UInt8](repeating: 7, count: dataByteCount)
}

@Suite("Malformed safetensors files")
struct MalformedSafetensorsTests {
  /// A file of one tensor `a` described by `entry`, with `count` bytes of data.
  private static func one(_ entry: String, _ count: Int = 16) -> [UInt8] {
    safetensorsBytes("{\"a\":\(entry)}", dataByteCount: count)
  }

  private static func two(_ a: (Int, Int), _ b: (Int, Int), _ count: Int) -> [UInt8] {
    func entry(_ range: (Int, Int)) -> String {
      "{\"dtype\":\"U8\",\"shape\":[\(range.1 - range.0)],"
        + "\"data_offsets\":[\(range.0),\(range.1)]}"
    }
    return safetensorsBytes("{\"a\":\(entry(a)),\"b\":\(entry(b))}", dataByteCount: count)
  }

  static let valid = one(#"{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}"#)

  static let header: [MalformedFile] = [
    MalformedFile("an empty file", [], "is empty"),
    MalformedFile("four bytes", [2, 0, 0, 0], "cut off", "length of the header"),
    MalformedFile("no header", [2, 0, 0, 0, 0, 0, 0, 0], "cut off"),
    MalformedFile("a header of 2^64", safetensorsBytes("{}", length: .max), "impossible header"),
    MalformedFile("a header of 2^63", safetensorsBytes("{}", length: 1 << 63), "impossible header"),
    MalformedFile(
      "a header of 200 MB", safetensorsBytes("{}", length: 200_000_000), "impossible header"),
    MalformedFile("a header of 0", safetensorsBytes("{}", length: 0), "impossible header"),
    MalformedFile("a header of 1", safetensorsBytes("{}", length: 1), "impossible header"),
    MalformedFile("a header longer than the file", safetensorsBytes("{}", length: 3), "cut off"),
    MalformedFile("a header shorter than its JSON", valid.setting(UInt64(20), at: 0), "JSON"),
    MalformedFile("a list for a header", safetensorsBytes("[1]"), "{"),
    MalformedFile("text for a header", safetensorsBytes("hello"), "{"),
    MalformedFile("JSON cut off", safetensorsBytes("{\"a\":"), "JSON", "end of the document"),
    MalformedFile("JSON with a comma too many", safetensorsBytes("{\"a\":1,}"), "JSON"),
    MalformedFile("JSON with words after it", safetensorsBytes("{}{}"), "JSON", "end"),
    MalformedFile("JSON with a bare name", safetensorsBytes("{a:1}"), "JSON", "name in quotes"),
    MalformedFile("JSON with a bad escape", safetensorsBytes(#"{"\x":1}"#), "backslash"),
    MalformedFile("JSON with half a surrogate", safetensorsBytes(#"{"\ud800":1}"#), "surrogate"),
    MalformedFile(
      "JSON with two first halves", safetensorsBytes(#"{"\ud800\ud800":1}"#), "surrogate"),
    MalformedFile("JSON with a leading zero", safetensorsBytes(#"{"a":01}"#), "leading zeros"),
    MalformedFile("JSON with a bare minus", safetensorsBytes(#"{"a":-}"#), "JSON"),
    MalformedFile("JSON with a bare fraction", safetensorsBytes(#"{"a":1.}"#), "digit"),
    MalformedFile("JSON with a misspelt word", safetensorsBytes(#"{"a":trve}"#), "JSON"),
    MalformedFile("JSON with a tab in a string", safetensorsBytes("{\"a\tb\":1}"), "control"),
    MalformedFile(
      "JSON that is not UTF-8", safetensorsBytes("{\"aa\":1}").setting(UInt8(0xFF), at: 10),
      "UTF-8",
      "byte 10"),
    MalformedFile(
      "JSON nested a million deep",
      safetensorsBytes("{\"a\":" + String(repeating: "[", count: 1_000_000)), "nests deeper"),
    MalformedFile(
      "a tensor twice",
      safetensorsBytes(
        #"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#,
        dataByteCount: 1), "\"a\" twice"),
    MalformedFile(
      "metadata that is a list", safetensorsBytes(#"{"__metadata__":[]}"#), "__metadata__",
      "a list"),
    MalformedFile(
      "metadata with a number", safetensorsBytes(#"{"__metadata__":{"n":1}}"#), "__metadata__",
      "not a string"),
  ]

  static let tensors: [MalformedFile] = [
    MalformedFile("a tensor that is a number", one("1"), "tensor a", "object", "an integer"),
    MalformedFile("a tensor without dtype", one(#"{"shape":[4],"data_offsets":[0,16]}"#), "dtype"),
    MalformedFile(
      "dtype as a number", one(#"{"dtype":4,"shape":[4],"data_offsets":[0,16]}"#), "dtype"),
    MalformedFile(
      "an unknown dtype", one(#"{"dtype":"F12","shape":[4],"data_offsets":[0,16]}"#),
      "unknown dtype", "F12"),
    MalformedFile(
      "a stray property", one(#"{"dtype":"F32","shape":[4],"data_offsets":[0,16],"strides":[1]}"#),
      "strides"),
    MalformedFile("no shape", one(#"{"dtype":"F32","data_offsets":[0,16]}"#), "shape", "nothing"),
    MalformedFile(
      "a negative length", one(#"{"dtype":"F32","shape":[-4],"data_offsets":[0,16]}"#), "shape",
      "0 or more"),
    MalformedFile(
      "a length that is a fraction", one(#"{"dtype":"F32","shape":[4.5],"data_offsets":[0,16]}"#),
      "shape"),
    MalformedFile(
      "a length beyond 2^63",
      one(#"{"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,16]}"#), "shape"),
    MalformedFile(
      "a length that is text", one(#"{"dtype":"F32","shape":["4"],"data_offsets":[0,16]}"#),
      "shape"),
    MalformedFile(
      "a shape that overflows",
      one(#"{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,16]}"#),
      "impossible shape"),
    MalformedFile(
      "an overflow hidden by an empty dimension",
      one(#"{"dtype":"F32","shape":[9223372036854775807,0,3],"data_offsets":[0,0]}"#, 0),
      "impossible shape"),
    MalformedFile(
      "a shape too large", one(#"{"dtype":"F32","shape":[5],"data_offsets":[0,16]}"#),
      "20 bytes for [5] of F32", "found 16"),
    MalformedFile(
      "a shape too small", one(#"{"dtype":"F32","shape":[3],"data_offsets":[0,16]}"#), "12 bytes"),
    MalformedFile("no offsets", one(#"{"dtype":"F32","shape":[4]}"#), "data_offsets"),
    MalformedFile(
      "one offset", one(#"{"dtype":"F32","shape":[4],"data_offsets":[0]}"#), "data_offsets"),
    MalformedFile(
      "three offsets", one(#"{"dtype":"F32","shape":[4],"data_offsets":[0,16,32]}"#),
      "data_offsets"),
    MalformedFile(
      "offsets backwards", one(#"{"dtype":"F32","shape":[4],"data_offsets":[16,0]}"#),
      "begin first"),
    MalformedFile(
      "a negative offset", one(#"{"dtype":"F32","shape":[4],"data_offsets":[-16,0]}"#),
      "data_offsets"),
    MalformedFile(
      "offsets as numbers with fractions",
      one(#"{"dtype":"F32","shape":[4],"data_offsets":[0.0,16.0]}"#), "data_offsets"),
    MalformedFile(
      "an end past the file", one(#"{"dtype":"F32","shape":[8],"data_offsets":[0,32]}"#),
      "past the end", "32 bytes"),
    MalformedFile(
      "an end at 2^63 - 1",
      one(#"{"dtype":"F32","shape":[4],"data_offsets":[0,9223372036854775807]}"#), "past the end"),
    MalformedFile("data cut off", Array(valid.dropLast(1)), "past the end", "16 bytes", "found 15"),
    MalformedFile("bytes after the last tensor", valid + [0], "no tensor", "1 more"),
    MalformedFile("data without tensors", safetensorsBytes("{}", dataByteCount: 4), "no tensor"),
    MalformedFile("tensors that overlap", two((0, 8), (4, 12), 12), "tensor b", "overlaps"),
    MalformedFile("a tensor inside another", two((0, 12), (4, 8), 12), "overlaps"),
    MalformedFile("tensors in one place", two((0, 8), (0, 8), 8), "overlaps"),
    MalformedFile("a gap between tensors", two((0, 4), (8, 12), 12), "tensor b", "gap"),
    MalformedFile("a gap before the first", two((4, 8), (8, 12), 12), "tensor a", "gap"),
  ]

  @Test("refuses", arguments: header + tensors)
  func refuses(_ malformed: MalformedFile) throws {
    let folder = try TemporaryFolder()
    let path = try folder.write(malformed.bytes, as: "model.safetensors")
    expectRefusal(malformed.words, file: path) { _ = try SafetensorsFile(path: path) }
  }

  @Test func refusesEveryTruncation() throws {
    let folder = try TemporaryFolder()
    for count in 0..<Self.valid.count {
      let path = try folder.write(Array(Self.valid[..<count]), as: "model.safetensors")
      expectRefusal([], file: path) { _ = try SafetensorsFile(path: path) }
    }
    _ = try SafetensorsFile(path: folder.write(Self.valid, as: "model.safetensors"))
  }

  @Test func acceptsAnEmptyHeader() throws {
    let folder = try TemporaryFolder()
    let file = try SafetensorsFile(path: folder.write(safetensorsBytes("{}      "), as: "x"))
    #expect(file.tensors.isEmpty)
  }

  @Test func readsEscapesAndNumbersAsPythonWritesThem() throws {
    let text = #"{"a\u00e9\ud83d\ude00\n": [1, -0, 1e3, -2.5E-1, NaN, -Infinity, true, null, {}]}"#
    let bytes = Array(text.utf8)
    let value = try JSONParser.parse(bytes.span, file: "x")
    guard case .object(let object) = value, case .array(let values)? = object["aé😀\n"] else {
      Issue.record("not read as an object with a list")
      return
    }
    #expect(values.count == 9)
    #expect(values[0] == .integer(1))
    #expect(values[1] == .integer(0))
    #expect(values[2].integer == 1000)
    #expect(values[3] == .real(-0.25))
    #expect(values[4].real?.isNaN == true)
    #expect(values[5] == .real(-.infinity))
    #expect(values[7] == .null)
  }
}
