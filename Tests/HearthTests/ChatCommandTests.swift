import Testing

@testable import hearth

@Suite struct ChatCommandTests {
  @Test(arguments: [
    ("/help", ChatCommand.help), ("/?", .help), ("/system", .system(nil)), ("/system Be brief.", .system("Be brief.")),
    ("/system \"\"", .system("")), ("/system Be\nbrief", .system("Be\nbrief")), ("/retry", .retry), ("/undo", .undo),
    ("/clear", .clear), ("/save talk.json", .save("talk.json")), ("/save  'my talk.json' ", .save("my talk.json")),
    ("/load a b.json", .load("a b.json")), ("/stats", .stats), ("/set", .set(name: nil, value: nil)),
    ("/set top-p", .set(name: "top-p", value: nil)), ("/set top-p 0.5", .set(name: "top-p", value: "0.5")),
    ("/set stop \" \"", .set(name: "stop", value: " ")), ("/exit", .exit), ("/bye", .exit), ("/quit", .exit),
  ])
  func reads(text: String, command: ChatCommand) throws {
    #expect(try ChatCommand(text) == command)
  }

  @Test func saysWhatThereIs() {
    let error = #expect(throws: CommandError.self) { try ChatCommand("/etc/passwd") }
    for (name, _, _) in ChatCommand.list { #expect(error?.description.contains(name) == true) }
    #expect(throws: CommandError.self) { try ChatCommand("/save") }
    #expect(throws: CommandError.self) { try ChatCommand("/load  ") }
    #expect(throws: CommandError.self) { try ChatCommand("/") }
  }

  @Test func leavesCodeAlone() {
    #expect(ChatCommand.isCommand("/help"))
    #expect(ChatCommand.isCommand("/"))
    #expect(!ChatCommand.isCommand("// a comment"))
    #expect(!ChatCommand.isCommand("/* a comment */"))
    #expect(!ChatCommand.isCommand(" /help"))
    #expect(!ChatCommand.isCommand("1/2"))
  }

  @Test func changesSettings() throws {
    var settings = ChatSettings()
    try settings.set("temperature", to: "0.8")
    try settings.set("top_k", to: "40")
    try settings.set("stop", to: "\n\n")
    try settings.set("max-tokens", to: "10")
    try settings.set("seed", to: "7")
    #expect(settings.temperature == 0.8 && settings.topK == 40 && settings.stops == ["\n\n"])
    #expect(settings.maximumTokenCount == 10 && settings.seed == 7)
    for name in ChatSettings.names {
      #expect(settings.value(of: name) != nil)
      try settings.set(name, to: "off")
    }
    #expect(settings.stops.isEmpty && settings.seed == nil && settings.topP == 1)
  }

  @Test(arguments: [
    ("temperature", "hot"), ("temperature", "-1"), ("temperature", "nan"), ("top-p", "1.5"), ("top-k", "-1"),
    ("top-k", "many"), ("max-tokens", "0"), ("stop", ""), ("warmth", "1"), ("repetition-penalty", "0"),
  ])
  func refusesWhatMakesNoSense(name: String, value: String) {
    var settings = ChatSettings()
    #expect(throws: (any Error).self) { try settings.set(name, to: value) }
    #expect(settings == ChatSettings())
  }
}
