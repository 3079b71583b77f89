internal import ArgumentParser
internal import Chat
internal import Engine
internal import Foundation
internal import Tokenizers

/// Text to token ids and back.
struct Tokenize: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show the tokens of a text, or the text of tokens.",
    discussion: """
      Examples:
        hearth tokenize smollm2 "It's 2026."
        hearth tokenize smollm2 --decode "504 1780 42"
        echo '{"text": "Hello"}' | hearth tokenize smollm2 --lines
      """)

  @Argument(help: "A model's name or path.") var model: String
  @Argument(help: "The text, or with --decode ids separated by spaces or commas; stdin when absent.") var text: String?
  @Flag(help: "Turn ids into text.") var decode = false
  @Flag(help: "Recognise special tokens in the text.") var special = false
  @Flag(help: "One JSON object a line on stdin, one a line on stdout.") var lines = false
  @Flag(help: "Print JSON.") var json = false

  private struct Input: Decodable {
    var text: String?
    var special: Bool?
    var ids: [Int32]?
  }
  struct Pieces: JSONWritable {
    let ids: [Int32]
    let pieces: [String]

    func write(to json: inout JSONWriter) {
      json.verbatim("{\"ids\":")
      json.array(ids) { json, id in json.integer(id) }
      json.verbatim(",\"pieces\":")
      json.array(pieces) { json, piece in json.string(piece) }
      json.verbatim("}")
    }
  }
  private struct Text: Encodable { let text: String }

  func run() throws {
    let tokenizer = try TextLayer.tokenizer(at: ModelStore().locate(model).path)
    func answer(_ input: Input) throws -> any Encodable {
      if decode {
        guard let ids = input.ids else { throw CommandError("the field ids is missing") }
        if let stranger = ids.first(where: { $0 < 0 || Int($0) >= tokenizer.vocabularyCount }) {
          throw CommandError(
            "token id \(stranger) is outside the vocabulary: expected 0 to \(tokenizer.vocabularyCount - 1)")
        }
        return Text(text: tokenizer.decode(ids))
      }
      guard let text = input.text else { throw CommandError("the field text is missing") }
      let ids = tokenizer.encode(text, special: input.special ?? special)
      return Pieces(ids: ids, pieces: ids.map { tokenizer.piece(of: $0) })
    }
    if lines { return try LineProtocol.run(Input.self, answer) }

    let given = try text ?? StandardInput.text()
    var input = Input()
    if decode {
      input.ids = try given.split(whereSeparator: { $0 == "," || $0.isWhitespace }).map { part in
        guard let id = Int32(part) else {
          throw CommandError(
            "\(part): is not a token id: expected whole numbers, separated by spaces or commas")
        }
        return id
      }
    } else {
      input.text = given
    }
    let result = try answer(input)
    if json {
      try JSONOutput.write(result)
    } else if let pieces = result as? Pieces {
      for (id, piece) in zip(pieces.ids, pieces.pieces) { print("\(id)\t\(piece.debugDescription)") }
    } else if let text = result as? Text {
      print(text.text)
    }
  }
}

extension Tokenizer {
  /// A token's text for display; bytes that are no text on their own as U+FFFD.
  func piece(of id: Int32) -> String { String(decoding: bytes(of: id), as: UTF8.self) }
}
