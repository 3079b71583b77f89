import Foundation
import Testing
import Tokenizers

@Suite("Malformed and hostile templates")
struct HostileTemplateTests {
  static let limits = TemplateLimits(steps: 100_000, outputBytes: 1 << 20, depth: 400)

  static func nested(_ open: String, _ core: String, _ close: String, _ count: Int) -> String {
    String(repeating: open, count: count) + core + String(repeating: close, count: count)
  }

  static let templates: [(String, TemplateError.Kind)] = [
    ("{{", .syntax), ("{%", .syntax), ("{#", .syntax), ("{% raw %}", .syntax), ("{{ 'a", .syntax),
    ("{{ 'a\\x' }}", .syntax), ("{{ 'a\\ud800' }}", .syntax), ("{% if x %}", .syntax),
    ("{% for x in y %}{% else %}", .syntax), ("{% endfor %}", .syntax), ("{% nope %}", .syntax),
    ("{{ x|nope }}", .syntax), ("{{ x is nope }}", .syntax), ("{{ a b }}", .syntax),
    ("{{ (1] }}", .syntax), ("{{ ) }}", .syntax), ("{{ ? }}", .syntax), ("{{ }}", .syntax),
    ("{% set x = %}", .syntax), ("{% break %}", .syntax), ("{% include 'x' %}", .unsupported),
    ("{{ 99999999999999999999 }}", .limit), ("{{ 2 ** 64 }}", .limit),
    ("{{ 9223372036854775807 + 1 }}", .limit), ("{{ range(10 ** 9) }}", .limit),
    ("{{ range(-9223372036854775807, 9223372036854775807) }}", .limit),
    ("{{ 'a' * 10 ** 9 }}", .limit), ("{{ 'a' * 9223372036854775807 }}", .limit),
    ("{{ [1] * 10 ** 9 }}", .limit), ("{{ 'a'|center(10 ** 12) }}", .limit),
    ("{{ 'a'|indent(10 ** 12) }}", .limit), ("{{ '%1000000000000d' % 1 }}", .limit),
    ("{{ '{:9999999999}'.format(1) }}", .limit), ("{{ '%.99999f' % 1.5 }}", .limit),
    ("{{ 'a'.zfill(10 ** 12) }}", .limit), ("{{ ['a']|batch(10 ** 12, 'x')|list }}", .limit),
    ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", .limit),
    ("{% macro m(n) %}{{ m(n + 1) ~ m(n + 1) }}{% endmacro %}{{ m(0) }}", .limit),
    ("{% for x in [[1]] recursive %}{{ loop([x]) }}{% endfor %}", .limit),
    ("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", .limit),
    ("{% set n = namespace(s='ab') %}{% for x in range(99) %}{% set n.s = n.s + n.s %}{% endfor %}", .limit),
    ("{% set n = namespace(l=[]) %}{% for x in range(9999) %}{% set n.l = [n.l] %}{% endfor %}", .limit),
    ("{% set n = namespace(l=[1]) %}{% for x in range(99) %}{% set n.l = n.l + n.l %}{% endfor %}", .limit),
    ("{% set n = namespace(l=[1]) %}{% for x in range(9999) %}{% set n.l = n.l|map('string') %}{% endfor %}", .limit),
    ("{% set n = namespace() %}{% set n.n = n %}{{ n }}", .limit),
    ("{% for x in range(99999) %}{{ 'long text' * 99 }}{% endfor %}", .limit),
    ("{{ ('a' * 300000).replace('a', 'b' * 300000) }}", .limit),
    ("{% set a = 'a' * 400000 %}{% set b = 'a' * 200000 ~ 'b' %}{{ b in a }}", .limit),
    ("{{ [].append(1) }}", .security), ("{{ ''.__class__.__mro__ }}", .security),
    ("{% set n = namespace(_x=1) %}", .security), ("{{ x.y.z }}", .undefined), ("{{ x() }}", .undefined),
    ("{{ 1 / 0 }}", .value), ("{{ 'a' - 1 }}", .type), ("{{ raise_exception('no') }}", .raised),
    (nested("(", "1", ")", 100_000), .limit), (nested("[", "1", "]", 100_000), .limit),
    (nested("{'a':", "1", "}", 100_000), .limit), (nested("-", "1", "", 100_000), .limit),
    (nested("x[", "1", "]", 100_000), .limit), (nested("f(", "1", ")", 100_000), .limit),
    (nested("1 if x else ", "1", "", 100_000), .limit), ("1" + nested(" + 1", "", "", 100_000), .limit),
    ("x" + nested(".x", "", "", 100_000), .limit), ("x" + nested("|upper", "", "", 100_000), .limit),
    (nested("{% if x %}", "", "{% endif %}", 50_000), .limit),
    (nested("{% for x in y %}", "", "{% endfor %}", 50_000), .limit),
  ].map { source, kind in
    (source.hasPrefix("{") && !source.hasPrefix("{'") ? source : "{{ \(source) }}", kind)
  }

  @Test("end in an error of the right kind, quickly", arguments: templates.indices)
  func failsQuickly(_ index: Int) {
    let (source, kind) = Self.templates[index]
    let start = processorTime()
    do {
      let text = try Template(source).render([:], limits: Self.limits)
      Issue.record("rendered \(text.prefix(100)) from \(source.prefix(100))")
    } catch {
      #expect(error.kind == kind, "\(source.prefix(100)): \(error)")
      #expect(error.template == "chat_template" && error.line >= 1)
    }
    #expect(processorTime() - start < 10)
  }

  @Test("Mutated templates end in text or an error")
  func survivesMutation() throws {
    var state: UInt64 = 7
    func random(_ bound: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(state >> 33) % bound
    }
    let pieces = [
      "{{", "}}", "{%", "%}", "{#", "#}", "-", "+", "if", "for x in", "endfor", "endif", "set", "(", ")",
      "[", "]", "'", "\"", "|", ".", "messages", "loop", "1", "*", "**", "macro m()", "endmacro", ",", ":",
      "\\", "is", "not", "else", "~", "=", "\n", "é",
    ]
    let seeds = [
      ChatTemplate.chatML,
      "{% macro m(a) %}{{ a|upper }}{% endmacro %}{% for x in messages %}{{ m(x.role)[1:] ~ loop.index }}{% endfor %}",
      "{%- set n = namespace(i=0) -%}{% if messages[0]['role'] == 'user' %}{{ messages|tojson(indent=2) }}{% endif %}",
    ]
    let context: [String: TemplateValue] = ["messages": [["role": "user", "content": "Hi"]]]
    let limits = TemplateLimits(steps: 5000, outputBytes: 1 << 16, depth: 100)
    for round in 0..<500 {
      var source = Array(seeds[round % seeds.count].unicodeScalars)
      for _ in 0...random(4) {
        let place = random(source.count)
        switch random(3) {
        case 0: source.remove(at: place)
        case 1: source.insert(contentsOf: pieces[random(pieces.count)].unicodeScalars, at: place)
        default: source.removeSubrange(place..<min(place + random(12), source.count))
        }
        if source.isEmpty { source = ["{"] }
      }
      var text = String.UnicodeScalarView()
      text.append(contentsOf: source)
      _ = try? Template(String(text)).render(context, limits: limits)
    }
  }
}

/// Seconds that this thread has computed: what a test may bound on a machine that does other things as well.
private func processorTime() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}
