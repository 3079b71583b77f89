internal import Foundation
internal import Synchronization

/// Figures for Prometheus, kept in memory.
///
/// Labels come from what the server knows (routes, loaded models, keys), never from what clients send, so that nobody can
/// make it keep more of them. Names have no colons: Prometheus reserves these for recording rules.
final class Metrics: Sendable {
  /// A figure that is counted or measured.
  struct Name: Hashable, Sendable {
    let text: String
    let help: String
    let kind: Kind
    /// Upper bounds of a histogram's buckets.
    var bounds: [Double] = []
  }

  enum Kind: String, Sendable { case counter, gauge, histogram }

  private struct Series: Sendable {
    var value = 0.0
    /// Of a histogram: how many in each bucket, the last without bound.
    var buckets: [Int] = []
  }

  private let series = Mutex<[Name: [[String]: Series]]>([:])
  private let started = Date().timeIntervalSince1970

  /// Counts.
  func add(_ name: Name, _ amount: Double = 1, _ labels: KeyValuePairs<String, String> = [:]) {
    let key = labels.map { $0.key + "=" + Metrics.quoted($0.value) }
    series.withLock { $0[name, default: [:]][key, default: Series()].value += amount }
  }

  /// Measures.
  func observe(_ name: Name, _ value: Double, _ labels: KeyValuePairs<String, String> = [:]) {
    let key = labels.map { $0.key + "=" + Metrics.quoted($0.value) }
    series.withLock { all in
      var found = all[name, default: [:]][key] ?? Series(buckets: [Int](repeating: 0, count: name.bounds.count + 1))
      found.value += value
      found.buckets[name.bounds.firstIndex { value <= $0 } ?? name.bounds.count] += 1
      all[name, default: [:]][key] = found
    }
  }

  /// Everything, in Prometheus's text format.
  ///
  /// - Parameter gauges: What is measured at the moment of asking.
  func text(gauges: [(name: Name, value: Double)]) -> String {
    var text = ""
    for (name, found) in series.withLock({ $0 }).sorted(by: { $0.key.text < $1.key.text }) {
      text += Metrics.header(name)
      for (labels, series) in found.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
        text +=
          name.kind == .histogram
          ? Metrics.histogram(name, labels, series) : Metrics.line(name.text, labels, series.value)
      }
    }
    for (name, value) in gauges + processFigures { text += Metrics.header(name) + Metrics.line(name.text, [], value) }
    return text
  }

  private static func header(_ name: Name) -> String {
    "# HELP \(name.text) \(name.help)\n# TYPE \(name.text) \(name.kind.rawValue)\n"
  }

  private static func line(_ name: String, _ labels: [String], _ value: Double) -> String {
    let number = value == value.rounded() && abs(value) < 1e15 ? String(Int(value)) : String(value)
    return name + (labels.isEmpty ? "" : "{" + labels.joined(separator: ",") + "}") + " " + number + "\n"
  }

  private static func histogram(_ name: Name, _ labels: [String], _ series: Series) -> String {
    var (text, count) = ("", 0)
    for (index, bucket) in series.buckets.enumerated() {
      count += bucket
      let bound = index < name.bounds.count ? String(name.bounds[index]) : "+Inf"
      text += line(name.text + "_bucket", labels + ["le=" + quoted(bound)], Double(count))
    }
    return text + line(name.text + "_sum", labels, series.value) + line(name.text + "_count", labels, Double(count))
  }

  private static func quoted(_ value: String) -> String {
    "\"" + value.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n") + "\""
  }
}

extension Metrics.Name {
  private static let seconds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300]

  static let requests = Metrics.Name(
    text: "hearth_http_requests_total", help: "Requests answered, by route and status.", kind: .counter)
  static let requestSeconds = Metrics.Name(
    text: "hearth_http_request_duration_seconds", help: "From a request's head to the end of its answer.",
    kind: .histogram, bounds: seconds)
  static let firstTokenSeconds = Metrics.Name(
    text: "hearth_time_to_first_token_seconds", help: "From a request to its first token.", kind: .histogram,
    bounds: seconds)
  static let tokenSeconds = Metrics.Name(
    text: "hearth_time_between_tokens_seconds", help: "Between pieces of an answer.", kind: .histogram, bounds: seconds)
  static let promptTokens = Metrics.Name(
    text: "hearth_prompt_tokens_total", help: "Prompt tokens of requests, by model and key.", kind: .counter)
  static let cachedTokens = Metrics.Name(
    text: "hearth_cached_prompt_tokens_total", help: "Prompt tokens that an earlier request had left in the cache.",
    kind: .counter)
  static let completionTokens = Metrics.Name(
    text: "hearth_completion_tokens_total", help: "Tokens written, by model and key.", kind: .counter)
  static let refusals = Metrics.Name(
    text: "hearth_requests_refused_total", help: "Requests refused before anything was computed, by reason.",
    kind: .counter)
  static let clientsGone = Metrics.Name(
    text: "hearth_clients_gone_total", help: "Answers given up because their client had gone.", kind: .counter)
  static let running = Metrics.Name(
    text: "hearth_requests_running", help: "Answers that are computed.", kind: .gauge)
  static let waiting = Metrics.Name(text: "hearth_requests_waiting", help: "Answers that wait.", kind: .gauge)
  static let cacheUse = Metrics.Name(
    text: "hearth_kv_cache_usage_ratio",
    help: "Keys and values in use, cached prefixes included, of the most there may be.",
    kind: .gauge)
  static let passes = Metrics.Name(
    text: "hearth_model_passes_total", help: "Passes of the models.", kind: .counter)
  static let modelsLoaded = Metrics.Name(text: "hearth_models_loaded", help: "Models that can be asked.", kind: .gauge)
  static let droppedLines = Metrics.Name(
    text: "hearth_log_lines_dropped_total", help: "Lines of the log that nobody read in time.", kind: .counter)
  static let ready = Metrics.Name(
    text: "hearth_ready", help: "1 while requests are taken on, 0 while the server ends.", kind: .gauge)
}

extension Metrics {
  /// The figures every process has, under the names that Prometheus's own clients give them.
  private var processFigures: [(name: Name, value: Double)] {
    var figures: [(name: Name, value: Double)] = [
      (Name(text: "process_start_time_seconds", help: "When the process started, since 1970.", kind: .gauge), started)
    ]
    var usage = rusage()
    if getrusage(RUSAGE_SELF.rawValue, &usage) == 0 {
      let seconds =
        Double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + Double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec)
        / 1e6
      figures.append((Name(text: "process_cpu_seconds_total", help: "Processor time.", kind: .counter), seconds))
    }
    let pages = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8))?.split(separator: " ") ?? []
    if pages.count > 1, let resident = Double(pages[1]) {
      let bytes = resident * Double(sysconf(Int32(_SC_PAGESIZE)))
      figures.append((Name(text: "process_resident_memory_bytes", help: "Memory in use.", kind: .gauge), bytes))
    }
    if let files = try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd") {
      figures.append(
        (Name(text: "process_open_fds", help: "Open files and connections.", kind: .gauge), Double(files.count)))
    }
    return figures
  }
}
