/// One event of a TensorBoard log, and how it is laid out in bytes.
///
/// Field numbers are those of tensorboard/compat/proto/event.proto, summary.proto and
/// tensorboard/plugins/hparams/plugin_data.proto at 2.21.
public struct TensorBoardEvent: Sendable, Equatable {
  /// Seconds since 1970.
  public var wallTime: Double
  /// The optimiser step.
  public var step: Int
  /// What happened.
  public var content: Content

  /// What an event can say.
  public enum Content: Sendable, Equatable {
    /// Opens every file.
    case fileVersion
    /// Training starts, or starts again, at this step: what earlier files hold from here on is discarded.
    case sessionStart
    /// A figure.
    case scalar(tag: String, value: Float)
    /// Markdown.
    case text(tag: String, value: String)
    /// The settings that vary between runs and the figures to compare them by.
    case experiment(settings: [(name: String, value: SettingValue)], metrics: [String])
    /// This run's settings.
    case runStart([(name: String, value: SettingValue)])
    /// The run ended, well or not.
    case runEnd(isSuccess: Bool)

    /// Equal when they are laid out alike.
    public static func == (a: Self, b: Self) -> Bool {
      ProtobufMessage { a.encode(into: &$0, wallTime: 0) }.bytes
        == ProtobufMessage { b.encode(into: &$0, wallTime: 0) }.bytes
    }
  }

  /// A setting's value.
  public enum SettingValue: Sendable, Equatable {
    case number(Double)
    case text(String)
    case flag(Bool)
  }

  /// An event at `step`.
  public init(wallTime: Double, step: Int, _ content: Content) {
    self.wallTime = wallTime
    self.step = step
    self.content = content
  }

  /// The event as one record: length, its checksum, the message, its checksum.
  public var record: [UInt8] {
    let message = ProtobufMessage {
      $0.double(1, wallTime)
      if step != 0 { $0.varint(2, Int64(step)) }
      content.encode(into: &$0, wallTime: wallTime)
    }.bytes
    let length = UInt64(message.count).littleEndianBytes
    return length + CRC32C.masked(length).littleEndianBytes + message
      + CRC32C.masked(message).littleEndianBytes
  }
}

extension TensorBoardEvent.Content {
  fileprivate func encode(into event: inout ProtobufMessage, wallTime: Double) {
    switch self {
    case .fileVersion:
      event.string(3, "brain.Event:2")
      event.message(10) { $0.string(1, "hearth") }
    case .sessionStart:
      event.message(7) { $0.varint(1, 1) }
    case .scalar(let tag, let value):
      summary(&event) {
        $0.string(1, tag)
        $0.float(2, value)
      }
    case .text(let tag, let text):
      summary(&event) {
        $0.string(1, tag + "/text_summary")
        $0.message(8) {
          $0.varint(1, 7)
          $0.message(2) { $0.message(2) { $0.varint(1, 1) } }
          $0.string(8, text)
        }
        $0.message(9) { $0.message(1) { $0.string(1, "text") } }
      }
    case .experiment(let settings, let metrics):
      plugin(&event, tag: "_hparams_/experiment") {
        $0.message(2) { experiment in
          for setting in settings {
            experiment.message(4) {
              $0.string(1, setting.name)
              $0.varint(4, setting.value.dataType)
            }
          }
          for metric in metrics {
            experiment.message(5) { $0.message(1) { $0.string(2, metric) } }
          }
        }
      }
    case .runStart(let settings):
      plugin(&event, tag: "_hparams_/session_start_info") {
        $0.message(3) { start in
          for setting in settings {
            start.message(1) {
              $0.string(1, setting.name)
              $0.message(2) { setting.value.encode(into: &$0) }
            }
          }
          if wallTime != 0 { start.double(5, wallTime) }
        }
      }
    case .runEnd(let isSuccess):
      plugin(&event, tag: "_hparams_/session_end_info") {
        $0.message(4) {
          $0.varint(1, isSuccess ? 1 : 2)
          if wallTime != 0 { $0.double(2, wallTime) }
        }
      }
    }
  }

  private func summary(_ event: inout ProtobufMessage, _ fill: (inout ProtobufMessage) -> Void) {
    event.message(5) { $0.message(1, fill) }
  }

  private func plugin(
    _ event: inout ProtobufMessage, tag: String, _ fill: (inout ProtobufMessage) -> Void
  ) {
    summary(&event) {
      $0.string(1, tag)
      $0.message(9) {
        $0.message(1) {
          $0.string(1, "hparams")
          $0.message(2, fill)
        }
      }
    }
  }
}

extension TensorBoardEvent.SettingValue {
  /// `DataType` of plugin_data.proto.
  fileprivate var dataType: Int64 {
    switch self {
    case .text: 1
    case .flag: 2
    case .number: 3
    }
  }

  /// As `google.protobuf.Value`.
  fileprivate func encode(into value: inout ProtobufMessage) {
    switch self {
    case .number(let number): value.double(2, number)
    case .text(let text): value.string(3, text)
    case .flag(let flag): value.varint(4, flag ? 1 : 0)
    }
  }
}
